"""The end of a training: the best weights, a last look at them, and the stripped model."""

import logging

import keras

from pruneplug.prune import strip_pruning
from pruneplug.pruner import Pruner
from pruneplug.report import sparsity_report
from pruneplug.sparsity import PruningEvent
from pruneplug.training.checkpoint import Checkpoint
from pruneplug.training.evaluation import Evaluation
from pruneplug.training.persistence import Keeper
from pruneplug.training.result import TrainingResult
from pruneplug.training.session import Session
from pruneplug.training.state import assign_model, restore_variables

_logger = logging.getLogger(__name__)


def finish(session: Session, test: Evaluation | None, keeper: Keeper) -> TrainingResult:
    """End a training that has run to its last step.

    Args:
        session: At its end.
        test: Run once, on the weights that are returned.
        keeper: Writes the final checkpoint.
    """
    # From here on the weights are the best ones and no longer those of the last step.
    session.resting = False
    _settle(session)
    metrics = dict(session.best.logs if session.best.step is not None else session.logs)
    if test is not None:
        tested = {f"test_{name}": value for name, value in test.run(session.check).items()}
        session.log.log(tested, session.step)
        metrics.update(tested)
    report = sparsity_report(session.model)
    session.log.log(PruningEvent(session.step, report.weights).metrics(), session.step)
    checkpoint = keeper.save(outcome=metrics)
    return TrainingResult(
        steps=session.step,
        metrics=metrics,
        report=report,
        model=strip_pruning(session.model),
        history=session.model.history.history,
        target_reached=session.pruner.target_reached(),
        targets=session.pruner.targets(),
        best_step=session.best.step,
        checkpoint=checkpoint,
    )


def stored_result(model: keras.Model, checkpoint: Checkpoint) -> TrainingResult:
    """Return the result of a run that had finished, without training again.

    Raises:
        ValueError: If the checkpoint belongs to another architecture, with the differences.
    """
    _logger.info("This run has finished: its result is read from %s.", checkpoint.path)
    restore_variables(model, checkpoint.sections)
    facts, pruner = checkpoint.facts, Pruner(model)
    return TrainingResult(
        steps=checkpoint.step,
        metrics=dict(facts["outcome"]),
        report=sparsity_report(model),
        model=strip_pruning(model),
        history=dict(facts["history"]),
        target_reached=pruner.target_reached(),
        targets=pruner.targets(),
        best_step=facts["best"]["step"],
        checkpoint=checkpoint.path,
    )


def _settle(session: Session) -> None:
    """Let optimizer, callbacks and pruning finish, and take the best weights."""
    model = session.model
    if isinstance(model.optimizer, keras.optimizers.Optimizer):
        model.optimizer.finalize_variable_values(model.trainable_weights)
    session.callbacks.on_train_end(session.logs)
    if session.best.step is not None:
        assign_model(model, session.best.weights)
    session.pruner.finish()
