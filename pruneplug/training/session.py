"""The event loop: runs a prepared training from event to event."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import keras

from pruneplug.pruning.pruner import Pruner
from pruneplug.pruning.sparsity import PruningEvent, total_sparsity
from pruneplug.training.best import Best
from pruneplug.training.checkpoints.variables import read_variables
from pruneplug.training.faults import check_loss, failed_to_fetch
from pruneplug.training.feeds.base import Feed
from pruneplug.training.metrics import MetricLog
from pruneplug.training.model.averages import averaged, swaps_averages
from pruneplug.training.progress import Progress, Standing, loss_of
from pruneplug.training.steps.callback_hooks import wants_batches
from pruneplug.training.steps.evaluation import Evaluation
from pruneplug.training.steps.events import Plan
from pruneplug.training.steps.loop import StepLoop
from pruneplug.training.steps.pace import Pace


@dataclass
class Session:
    """A training under way; `step` and `epoch` are the whole position.

    Args:
        model: Pruned, compiled, with all its variables created.
        pruner: Steps the pruning of `model`.
        plan: The fixed events.
        feed: Training batches.
        loop: Runs training steps on `feed`.
        validation: Run at epoch ends.
        callbacks: Keras callbacks, dispatched as `fit` does.
        log: Takes the metrics.
        check: Called where everything is at rest; raises to stop the training.
        best: Keeps the best epoch.
        progress: Shows the progress.
        pace: Says how many steps a compiled call takes at most.
        step: Optimizer steps taken.
        epoch: Epochs finished, with their evaluation.
        logs: Metrics of the last finished epoch.
        trained: Training metrics of an epoch whose evaluation is not over; else None.
        resting: Whether all state is that of `step`, so that it can be saved.
    """

    model: keras.Model
    pruner: Pruner
    plan: Plan
    feed: Feed
    loop: StepLoop
    validation: Evaluation | None
    callbacks: keras.callbacks.CallbackList
    log: MetricLog
    check: Callable[[], None]
    best: Best
    progress: Progress | None = None
    pace: Pace = field(default_factory=Pace)
    step: int = 0
    epoch: int = 0
    logs: dict[str, float] = field(default_factory=dict)
    trained: dict[str, float] | None = None
    resting: bool = True
    _outputs: Mapping[str, Any] | None = None
    _sparsity: float = 0.0

    def begin(self) -> None:
        """Start the pruning at `step`, and reopen the epoch if it is in the middle of one."""
        self._log_event(self.pruner.start())
        self._sparsity = total_sparsity(self.pruner.weights())
        if self.progress is not None:
            self.progress.start(self.step)

    def run(self, between: Callable[[bool], object]) -> None:
        """Run to the end of the plan, or until a callback stops the training.

        Args:
            between: Called between two events, when everything is at rest, and told whether a
                checkpoint is due.
        """
        try:
            while not self.over:
                self.check()
                self.resting = False
                due = self._next_event()
                self.resting = True
                between(due)
        finally:
            if self.progress is not None:
                self.progress.stop()

    @property
    def over(self) -> bool:
        """Whether there is nothing left to train."""
        stopped = self.model.stop_training and self.trained is None
        return self.epoch >= self.plan.epochs or stopped

    def _next_event(self) -> bool:
        """Run to the next event and handle it; return whether to save afterwards."""
        end = (self.epoch + 1) * self.plan.steps_per_epoch
        improved = False
        if self.trained is None:
            if self.step == end - self.plan.steps_per_epoch:
                self._begin_epoch()
            self._run_window()
        if self.step == end or self.model.stop_training:
            improved = self._end_epoch()
        return improved or self.plan.checkpoint_due(self.step)

    def _begin_epoch(self) -> None:
        self.feed.start(self.epoch)
        self.model.reset_metrics()
        self.callbacks.on_epoch_begin(self.epoch)
        # A callback may have loaded weights, or thawed some.
        self._log_event(self.pruner.catch_up())

    def _run_window(self) -> None:
        by_batch = wants_batches(self.callbacks.callbacks, "train")
        limit = 1 if by_batch else self.pace.limit
        stop = self.plan.next_stop(self.step, self._next_update(limit), limit)
        count = stop - self.step
        first = self.step % self.plan.steps_per_epoch
        if by_batch:
            self.callbacks.on_train_batch_begin(first)
        self.pace.begin()
        self._outputs = self._take(first, count)
        self.pace.end(count)
        self.step = stop
        self._log_event(self.pruner.advance(count))
        if by_batch:
            self.callbacks.on_train_batch_end(first, self._outputs)
        self._show()

    def _next_update(self, limit: int) -> int | None:
        """Return the step after which masks change next, if that is within `limit` steps."""
        pruner = self.pruner
        # No schedule is asked about steps beyond the plan: it may have no answer there.
        limit = min(limit, self.plan.total_steps - self.step)
        update = pruner.next_update(pruner.step + limit * pruner.rate)
        # The model may have been trained before: its own count is ahead of the run's.
        return None if update is None else self.step + -(-(update - pruner.step) // pruner.rate)

    def _take(self, first: int, count: int) -> Mapping[str, Any]:
        try:
            outputs = self.loop.run(first, count)
        except Exception as error:
            if failed_to_fetch(error):
                # The steps before it are complete, and only the model knows how many.
                before, rate = self.pruner.step, self.pruner.rate
                self._log_event(self.pruner.advance(None))
                self.step += max(self.pruner.step - before, 0) // rate
                self.resting = self.pruner.counts
            raise
        bad = self.loop.first_bad()
        check_loss(outputs, None if bad is None else self.step - first + bad + 1)
        return outputs

    def _end_epoch(self) -> bool:
        """Evaluate, tell everyone, and return whether this is the best epoch so far."""
        self.trained = self.trained or self.loop.read(self._outputs)
        self.logs = dict(self.trained)
        swapped = self.validation is not None and any(map(swaps_averages, self.callbacks.callbacks))
        with nullcontext() if swapped else averaged(self.model):
            improved = self._validate()
        self.trained = None
        self.callbacks.on_epoch_end(self.epoch, self.logs)
        self.epoch += 1
        self.log.log(self.logs, self.step)
        return improved

    def _validate(self) -> bool:
        """Add the metrics of the validation; return whether its weights are the best so far."""
        if self.validation is None:
            return self._offer()
        improved = False

        def measured(metrics: Mapping[str, float]) -> None:
            nonlocal improved
            self.logs.update({f"val_{name}": value for name, value in metrics.items()})
            improved = self._offer()

        self.resting = True  # the position in the evaluation is part of the state
        self.validation.run(self.check, self.apply_masks, measured)
        self.resting = False
        return improved

    def apply_masks(self) -> None:
        """Set the masked weights to zero, whoever has written others."""
        for layer in self.pruner.layers:
            layer.apply_masks()

    def _offer(self) -> bool:
        return self.pruner.target_reached() and self.best.offer(self.step, self.logs, self.weights)

    def weights(self) -> list[Any]:
        """Return a copy of all variables of the model."""
        return [value for _, value in read_variables(self.model.variables)]

    def _log_event(self, event: PruningEvent | None) -> None:
        if event is not None:
            self._sparsity = event.total
            # The masks due one step after the last are in place at its end: no point lies beyond.
            step = self.step + max(event.step - self.pruner.step, 0)
            self.log.log(event.metrics(), min(step, self.plan.total_steps))

    def _show(self) -> None:
        if self.progress is not None:
            # Not of the metrics themselves: to read those takes all workers.
            loss = loss_of(self._outputs)
            target = max((x.target or 0.0 for x in self.pruner.schedules), default=0.0)
            self.progress.update(
                Standing(self.step, self.plan.total_steps, loss, self._sparsity, target)
            )
