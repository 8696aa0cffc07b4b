"""The end of a training, at its last step or before: what is saved, and what is returned."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import keras

from pruneplug.process.signals import StopRequested, StopSignals
from pruneplug.pruning.inspection import SparsityReport, sparsity_report
from pruneplug.pruning.sparsity import PruningEvent, total_sparsity
from pruneplug.training.checkpointing import Keeper
from pruneplug.training.checkpoints.checkpoint import Checkpoint
from pruneplug.training.checkpoints.variables import assign_model, restore_variables
from pruneplug.training.faults import TrainingDivergedError, failed_to_fetch
from pruneplug.training.model.averages import swaps_averages
from pruneplug.training.model.loan import Loan
from pruneplug.training.session import Session
from pruneplug.training.steps.evaluation import Evaluation

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """What came of a training run.

    Args:
        steps: Optimizer steps taken.
        metrics: Of the model that is returned: `val_` on the validation data, `test_` on the test
            data; and loss and metrics of its epoch, as training went along.
        report: Sparsity by weight.
        model: Stripped of pruning: the original architecture, with sparse weights of its own.
        history: Metrics by epoch, as in Keras' `History.history`.
        target_reached: Whether each pruned weight is as sparse as its schedule ends, by its mask.
        targets: The sparsity that each pruned weight was to end at, by its name.
        best_step: The step the model is from; None if it is simply the last one, because no
            epoch with validation had reached the target sparsity.
        checkpoint: The folder of the final checkpoint; None without a folder.
    """

    steps: int
    metrics: dict[str, float]
    report: SparsityReport
    model: keras.Model
    history: dict[str, list[float]]
    target_reached: bool
    targets: dict[str, float]
    best_step: int | None
    checkpoint: Path | None


@contextmanager
def guarded(session: Session, keeper: Keeper, stop: StopSignals) -> Iterator[None]:
    """Run a training so that neither a signal nor an error takes more than it must.

    A signal is passed on to the handler that was there before, after the state was saved. An
    error is raised again with a note that says from where the run can go on.

    Args:
        session: The training.
        keeper: Saves it.
        stop: Entered already.

    Raises:
        SystemExit: On a signal, with 128 plus its number.
    """
    try:
        yield
    except StopRequested as request:
        _secure(keeper)
        _logger.warning("%s: stopped after step %d. %s", request, session.step, keeper.last())
        stop.pass_on()
    except Exception as error:
        _secure(keeper, positioned=not failed_to_fetch(error))
        error.add_note(f"The training ended after step {session.step}. {keeper.last()}")
        raise


def _secure(keeper: Keeper, positioned: bool = True) -> None:
    """Save what can be saved: whatever goes wrong in it, what has ended the training stands."""
    try:
        keeper.secure(positioned)
    except TrainingDivergedError:
        pass  # such weights are not worth keeping, and what has ended the training says why
    except Exception as error:
        _logger.warning("The state of the training could not be saved: %r.", error)


def finish(session: Session, test: Evaluation | None, keeper: Keeper, loan: Loan) -> TrainingResult:
    """End a training that has run to its last step.

    Args:
        session: At its end.
        test: Run once, on the weights that are returned.
        keeper: Writes the final checkpoint.
        loan: Makes the model that is returned.
    """
    # From here on the weights are the best ones and no longer those of the last step.
    session.resting = False
    _settle(session)
    metrics = _measure(session, test)
    report = sparsity_report(session.model)
    session.log.log(PruningEvent(session.step, report.weights).metrics(), session.step)
    checkpoint = keeper.save(final_metrics=metrics)
    return TrainingResult(
        steps=session.step,
        metrics=metrics,
        report=report,
        model=loan.result_model(session.model, session.feed),
        history=session.model.history.history,
        target_reached=session.pruner.target_reached(),
        targets=session.pruner.targets(),
        best_step=session.best.step,
        checkpoint=checkpoint,
    )


def stored_result(session: Session, checkpoint: Checkpoint, loan: Loan) -> TrainingResult:
    """Return the result of a run that had finished, without training again.

    Args:
        session: Freshly prepared.
        checkpoint: Its final one.
        loan: Makes the model that is returned.

    Raises:
        ValueError: If the checkpoint belongs to another architecture, with the differences.
    """
    _logger.info("This run has finished: its result is read from %s.", checkpoint.path)
    restore_variables(session.model, checkpoint.sections)
    facts = checkpoint.facts
    return TrainingResult(
        steps=checkpoint.step,
        metrics=checkpoint.final_metrics,
        report=sparsity_report(session.model),
        model=loan.result_model(session.model, session.feed),
        history=dict(facts["history"]),
        target_reached=session.pruner.target_reached(),
        targets=session.pruner.targets(),
        best_step=facts["best"]["step"],
        checkpoint=checkpoint.path,
    )


def _settle(session: Session) -> None:
    """Let optimizer, callbacks and pruning finish, and take the best weights."""
    model = session.model
    for callback in filter(swaps_averages, session.callbacks.callbacks):
        # It may have left the averages in the model, and the weights where these were.
        callback.on_epoch_begin(session.epoch)
    if isinstance(model.optimizer, keras.optimizers.Optimizer):
        model.optimizer.finalize_variable_values(model.trainable_weights)
    session.callbacks.on_train_end(session.logs)
    if session.best.step is not None:
        assign_model(model, session.best.weights)
    session.pruner.finish()
    if session.validation is not None and session.best.step is None:
        _warn_of_last(session)


def _warn_of_last(session: Session) -> None:
    """Warn that there was no epoch to choose from, since none had reached the target."""
    if session.pruner.target_reached():
        return
    sparsity = total_sparsity(session.pruner.weights())
    stated = [s.target for s in session.pruner.schedules if s.target is not None]
    target = f"{max(stated):.4f}" if stated else "its target"
    warnings.warn(
        "A pruning schedule must have reached its target for an epoch to be the best; none of "
        f"{session.epoch} had, and the last model is returned, at a sparsity of {sparsity:.4f} "
        f"instead of {target}.",
        stacklevel=2,
    )


def _measure(session: Session, test: Evaluation | None) -> dict[str, float]:
    """Return the metrics of the model as it stands, and leave it like that."""
    best, weights = session.best, session.weights()

    def evaluate(evaluation: Evaluation | None, prefix: str) -> dict[str, float]:
        # Callbacks may have other weights evaluated, averages for example: not at the end.
        put_back = partial(assign_model, session.model, weights)
        found = {} if evaluation is None else evaluation.run(session.check, put_back)
        put_back()
        return {f"{prefix}_{name}": value for name, value in found.items()}

    metrics = dict(session.logs if best.step is None else best.logs)
    if best.step is None:
        # The last weights may have changed since: by averages, or by a callback that restores.
        metrics.update(evaluate(session.validation, "val"))
    tested = evaluate(test, "test")
    session.log.log(tested, session.step)
    return {**metrics, **tested}
