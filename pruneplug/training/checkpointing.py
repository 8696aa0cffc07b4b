"""A training session to a checkpoint, and back."""

import logging
import platform
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pruneplug.training.checkpoints.callbacks.state import CallbackState
from pruneplug.training.checkpoints.checkpoint import FINAL_METRICS, Checkpoint
from pruneplug.training.checkpoints.manifest import DamagedCheckpointError
from pruneplug.training.checkpoints.saving_rules import Alarm
from pruneplug.training.checkpoints.store import CheckpointStore
from pruneplug.training.checkpoints.variables import (
    random_state,
    restore_random_state,
    restore_variables,
    state_variables,
    view_variables,
)
from pruneplug.training.faults import check_weights
from pruneplug.training.model.replicas import Replicas
from pruneplug.training.session import Session

_logger = logging.getLogger(__name__)

# Where a run stands that has only taken steps: none of its epochs has come to anything.
_POSITION: dict[str, Any] = {"trained": None, "evaluated": 0, "stopped": False, "logs": {}}


class Keeper:
    """Saves and restores one session.

    Args:
        store: Where checkpoints go; None writes none.
        session: Saved between two of its events, when everything is at rest.
        callbacks: The state of its callbacks.
        identity: See `identity`.
        alarm: Goes off when a checkpoint is due by time.
        force: Whether to take what fits from a checkpoint of another model.
    """

    def __init__(
        self,
        store: CheckpointStore | None,
        session: Session,
        callbacks: CallbackState,
        identity: Mapping[str, Any],
        alarm: Alarm,
        force: bool = False,
    ) -> None:
        self._store = store
        self._session = session
        self._callbacks = callbacks
        self._identity = identity
        self._alarm = alarm
        self._force = force
        model = session.model
        own = [*model.variables, *model.metrics_variables]
        self._replicas = Replicas(model.distribute_strategy, own)
        self._last: tuple[Path, int] | None = None
        self._saved: tuple[int, int, int] | None = None
        self._best_at: int | None = None

    def between(self, due: bool) -> None:
        """Save if it is due, by an event or by time."""
        if due or self._alarm.due():
            self.save()

    def secure(self, positioned: bool = True) -> None:
        """Save unless this position is saved already, or is none that a run can go on from."""
        if self._session.resting and self._saved != self._position():
            self.save(positioned=positioned)

    def last(self) -> str:
        """Say from where the run can go on."""
        if self._store is None:
            return "Nothing was saved, as there is no folder for checkpoints."
        if self._last is None:
            return "There is no checkpoint yet: the run will begin anew."
        path, step = self._last
        return f"It can go on from step {step}, which is saved in {path}."

    def save(
        self, final_metrics: Mapping[str, float] | None = None, positioned: bool = True
    ) -> Path | None:
        """Write a checkpoint; one that cannot be written costs a warning and no more.

        Args:
            final_metrics: The final metrics, which marks the run as finished.
            positioned: Whether the training data stands where it should.

        Returns:
            Its folder, None without a store or if it could not be written.

        Raises:
            TrainingDivergedError: If a weight is NaN or infinite.
        """
        if self._store is None:
            return None
        session = self._session
        check_weights(session.model, session.step)
        extra = session.feed.save if positioned else _nothing
        try:
            session.log.flush()
            checkpoint = self._checkpoint(self._store, final_metrics)
            path = self._store.save(checkpoint, extra, final=final_metrics is not None)
        except OSError as error:
            warnings.warn(
                f"The checkpoint of step {session.step} could not be written ({error}); training "
                f"goes on. {self.last()}",
                stacklevel=2,
            )
            return None
        finally:
            self._alarm.set()
        self._last, self._saved = (path, session.step), self._position()
        return path

    def _checkpoint(
        self, store: CheckpointStore, final_metrics: Mapping[str, float] | None
    ) -> Checkpoint:
        session, best = self._session, self._session.best
        states, arrays = self._callbacks.save()
        sections: dict[str, Any] = {
            name: view_variables(variables)
            for name, variables in state_variables(session.model).items()
        }
        sections["replicas"] = list(self._replicas.read())
        sections["callbacks"] = arrays
        needs = []
        if best.step is not None and final_metrics is None:
            if self._best_is_in(store):
                self._best_at = best.step
                needs = [best.step]
            else:  # averages, or its own checkpoint could not be written or is another run's
                names = [variable.path for variable in session.model.variables]
                sections["best"] = list(zip(names, best.weights, strict=True))
        facts = {**self._facts(), "callbacks": states, FINAL_METRICS: final_metrics}
        return Checkpoint(session.step, facts, sections, needs)

    def _best_is_in(self, store: CheckpointStore) -> bool:
        """Return whether the best weights are those of the model in a checkpoint."""
        session, best = self._session, self._session.best
        if best.step != session.step:
            return best.step == self._best_at and best.step in store.steps()
        # They were taken while averages stood in the model, or a callback has set others since.
        now = view_variables(session.model.variables)
        pairs = zip(now, best.weights, strict=True)
        return all(np.array_equal(value, kept) for (_, value), kept in pairs)

    def restore(self, checkpoint: Checkpoint, anew: bool = False) -> None:
        """Bring the session, freshly prepared, to where the checkpoint was written.

        Args:
            checkpoint: It passes the checks of `resume`.
            anew: Whether it is another run's, of which the state counts and not what came of it.

        Raises:
            ValueError: If the checkpoint belongs to another model or other callbacks, with the
                differences, or lies beyond the planned end.
        """
        session, facts, sections = self._session, checkpoint.facts, checkpoint.sections
        session.step = checkpoint.step
        if session.step > session.plan.total_steps:
            raise ValueError(
                f"epochs must reach beyond the checkpoint's step {session.step}; "
                f"got epochs={session.plan.epochs}, {session.plan.total_steps} steps."
            )
        if anew:  # its epochs may have another length
            facts = {**facts, **_POSITION, "epoch": session.step // session.plan.steps_per_epoch}
        session.epoch = facts["epoch"]
        amid = session.step % session.plan.steps_per_epoch and not facts["stopped"]
        if amid or facts["trained"] is not None:
            session.callbacks.on_epoch_begin(session.epoch)
        session.feed.restore(session.step, checkpoint.extra)
        if session.validation is not None:
            session.validation.restore(facts["epoch"], facts["evaluated"])
        restore_variables(session.model, sections, self._force)
        self._replicas.write(sections.get("replicas", []))
        self._callbacks.restore(facts["callbacks"], [a for _, a in sections["callbacks"]])
        session.logs, session.trained = dict(facts["logs"]), facts["trained"]
        session.model.stop_training = facts["stopped"]
        if not anew:
            _restore_best(checkpoint, session)
            self._best_at = None if "best" in sections else session.best.step
        restore_random_state(facts["random"])
        self._last = checkpoint.path, checkpoint.step
        _logger.info("Resumed at step %d from %s.", session.step, checkpoint.path)

    def _position(self) -> tuple[int, int, int]:
        session = self._session
        evaluated = 0 if session.validation is None else session.validation.position
        return session.step, session.epoch, evaluated

    def _facts(self) -> dict[str, Any]:
        session = self._session
        return {
            "identity": self._identity,
            "epoch": session.epoch,
            "epochs": session.plan.epochs,
            "logs": session.logs,
            "trained": session.trained,
            "evaluated": self._position()[2],
            "history": session.model.history.history,
            "stopped": bool(session.model.stop_training),
            "best": session.best.save(),
            "random": random_state(),
            "versions": _versions(),
        }


def _restore_best(checkpoint: Checkpoint, session: Session) -> None:
    state = checkpoint.facts["best"]
    if state["step"] is None or checkpoint.is_finished:
        return
    weights = checkpoint.sections.get("best")
    try:
        if weights is None and state["step"] == checkpoint.step:
            weights = checkpoint.sections["model"]
        elif weights is None:
            weights = CheckpointStore(checkpoint.path.parent).at(state["step"]).sections["model"]
    except DamagedCheckpointError as error:
        warnings.warn(f"The best model so far is lost: {error}.", stacklevel=2)
        return
    session.best.restore(state, [array for _, array in weights])


def _nothing(folder: Path) -> None:
    """Write no position: a run that resumes finds it by reading from the beginning."""


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
    }
