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

from pruneplug.training.callback_state import CallbackState
from pruneplug.training.checkpoint import Checkpoint
from pruneplug.training.checkpoint_store import CheckpointStore
from pruneplug.training.manifest import DamagedCheckpointError
from pruneplug.training.session import Session
from pruneplug.training.state import (
    random_state,
    read_variables,
    restore_random_state,
    restore_variables,
    state_variables,
)

_logger = logging.getLogger(__name__)


class Keeper:
    """Saves and restores one session.

    Args:
        store: Where checkpoints go; None writes none.
        session: Saved between two of its events, when everything is at rest.
        callbacks: The state of its callbacks.
        identity: See `identity`.
    """

    def __init__(
        self,
        store: CheckpointStore | None,
        session: Session,
        callbacks: CallbackState,
        identity: Mapping[str, Any],
    ) -> None:
        self._store = store
        self._session = session
        self._callbacks = callbacks
        self._identity = identity

    def save(self, outcome: Mapping[str, float] | None = None) -> Path | None:
        """Write a checkpoint.

        Args:
            outcome: The final metrics, which marks the run as finished.

        Returns:
            Its folder, None without a store.
        """
        if self._store is None:
            return None
        session, best = self._session, self._session.best
        states, arrays = self._callbacks.save()
        sections: dict[str, Any] = {
            name: read_variables(variables)
            for name, variables in state_variables(session.model).items()
        }
        needs = [] if best.step is None or outcome is not None else [best.step]
        facts = {**self._facts(), "callbacks": states, "outcome": outcome}
        checkpoint = Checkpoint(session.step, facts, {**sections, "callbacks": arrays}, needs)
        return self._store.save(checkpoint, session.feed.save, final=outcome is not None)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Bring the session, freshly prepared, to where the checkpoint was written.

        Raises:
            ValueError: If the checkpoint belongs to another model or other callbacks, with the
                differences, or lies beyond the planned end.
        """
        session, facts, sections = self._session, checkpoint.facts, checkpoint.sections
        session.step, session.epoch = checkpoint.step, facts["epoch"]
        if session.step > session.plan.total_steps:
            raise ValueError(
                f"epochs must reach beyond the checkpoint's step {session.step}; "
                f"got epochs={session.plan.epochs}, {session.plan.total_steps} steps."
            )
        if session.step % session.plan.steps_per_epoch and not facts["stopped"]:
            session.callbacks.on_epoch_begin(session.epoch)
        session.feed.restore(session.step, checkpoint.path)
        restore_variables(session.model, sections)
        self._callbacks.restore(facts["callbacks"], [a for _, a in sections["callbacks"]])
        session.logs = dict(facts["logs"])
        session.model.stop_training = facts["stopped"]
        _restore_best(checkpoint, session)
        restore_random_state(facts["random"])
        _logger.info("Resumed at step %d from %s.", session.step, checkpoint.path)

    def _facts(self) -> dict[str, Any]:
        session = self._session
        return {
            "identity": self._identity,
            "epoch": session.epoch,
            "epochs": session.plan.epochs,
            "logs": session.logs,
            "history": session.model.history.history,
            "stopped": bool(session.model.stop_training),
            "best": session.best.save(),
            "random": random_state(),
            "tracking": session.log.describe(),
            "versions": _versions(),
        }


def _restore_best(checkpoint: Checkpoint, session: Session) -> None:
    state = checkpoint.facts["best"]
    if state["step"] is None or checkpoint.facts["outcome"] is not None:
        return
    try:
        source = (
            checkpoint
            if state["step"] == checkpoint.step
            else CheckpointStore(checkpoint.path.parent).at(state["step"])
        )
    except DamagedCheckpointError as error:
        warnings.warn(f"The best model so far is lost: {error}.", stacklevel=2)
        return
    session.best.restore(state, [array for _, array in source.sections["model"]])


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
    }
