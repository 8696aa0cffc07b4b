"""The end of a training: the best weights, a last look at them, and the stripped model."""

import logging
import warnings
from functools import partial

import keras

from pruneplug.report import sparsity_report
from pruneplug.sparsity import PruningEvent, total_sparsity
from pruneplug.training.averages import swaps_averages
from pruneplug.training.checkpoint import Checkpoint
from pruneplug.training.evaluation import Evaluation
from pruneplug.training.lending import Loan
from pruneplug.training.persistence import Keeper
from pruneplug.training.result import TrainingResult
from pruneplug.training.session import Session
from pruneplug.training.state import assign_model, restore_variables

_logger = logging.getLogger(__name__)


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
    checkpoint = keeper.save(outcome=metrics)
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
        metrics=dict(facts["outcome"]),
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
