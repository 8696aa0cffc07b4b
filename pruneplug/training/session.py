"""The event loop: runs a prepared training from event to event."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from pruneplug.pruner import Pruner
from pruneplug.sparsity import PruningEvent, total_sparsity
from pruneplug.training.best import Best
from pruneplug.training.callback_hooks import wants_batches
from pruneplug.training.evaluation import Evaluation
from pruneplug.training.events import Plan
from pruneplug.training.feed import Feed
from pruneplug.training.log import MetricLog
from pruneplug.training.loop import StepLoop
from pruneplug.training.pace import Pace
from pruneplug.training.progress import Progress, Standing, loss_of
from pruneplug.training.state import read_variables


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
        best: Keeps the best epoch.
        progress: Shows the progress.
        step: Optimizer steps taken.
        epoch: Epochs finished, with their evaluation.
        logs: Metrics of the last finished epoch.
    """

    model: keras.Model
    pruner: Pruner
    plan: Plan
    feed: Feed
    loop: StepLoop
    validation: Evaluation | None
    callbacks: keras.callbacks.CallbackList
    log: MetricLog
    best: Best
    progress: Progress | None = None
    step: int = 0
    epoch: int = 0
    logs: dict[str, float] = field(default_factory=dict)
    _outputs: Mapping[str, Any] | None = None
    _sparsity: float = 0.0
    _pace: Pace = field(default_factory=Pace)

    def begin(self) -> None:
        """Start the pruning at `step`, and reopen the epoch if it is in the middle of one."""
        self._log_event(self.pruner.start(self.step))
        self._sparsity = total_sparsity(self.pruner.weights())
        if self.progress is not None:
            self.progress.start(self.step)

    def run(self, save: Callable[[], object]) -> None:
        """Run to the end of the plan, or until a callback stops the training.

        Args:
            save: Writes a checkpoint of the position between two events.
        """
        try:
            # Between two events everything is at rest: a request to stop is honoured here.
            while not self.over:
                if self._next_event():
                    save()
        finally:
            if self.progress is not None:
                self.progress.stop()

    @property
    def over(self) -> bool:
        """Whether there is nothing left to train."""
        return self.epoch >= self.plan.epochs or self.model.stop_training

    def _next_event(self) -> bool:
        """Run to the next event and handle it; return whether to save afterwards."""
        end = (self.epoch + 1) * self.plan.steps_per_epoch
        improved = False
        if self.step == end - self.plan.steps_per_epoch:
            self._begin_epoch()
        if self.step < end:
            self._run_window()
        if self.step == end or self.model.stop_training:
            improved = self._end_epoch()
        return improved or self.plan.checkpoint_due(self.step)

    def _begin_epoch(self) -> None:
        self.feed.start(self.epoch)
        self.model.reset_metrics()
        self.callbacks.on_epoch_begin(self.epoch)

    def _run_window(self) -> None:
        by_batch = wants_batches(self.callbacks.callbacks, "train")
        update = self.pruner.next_update(self.plan.total_steps)
        stop = self.plan.next_stop(self.step, update, 1 if by_batch else self._pace.limit)
        count = stop - self.step
        first = self.step % self.plan.steps_per_epoch
        if by_batch:
            self.callbacks.on_train_batch_begin(first)
        self._pace.begin()
        self._outputs = self.loop.run(first, count)
        self._pace.end(count)
        self.step = stop
        self._log_event(self.pruner.advance(count))
        if by_batch:
            self.callbacks.on_train_batch_end(first, self._outputs)
        self._show()

    def _end_epoch(self) -> bool:
        """Evaluate, tell everyone, and return whether this is the best epoch so far."""
        logs = self.loop.read(self._outputs)
        if self.validation is not None:
            logs.update({f"val_{k}": v for k, v in self.validation.run().items()})
        self.callbacks.on_epoch_end(self.epoch, logs)
        self.epoch += 1
        self.logs = logs
        self.log.log(logs, self.step)
        return self.pruner.target_reached() and self.best.offer(self.step, logs, self._weights)

    def _weights(self) -> list[Any]:
        return [value for _, value in read_variables(self.model.variables)]

    def _log_event(self, event: PruningEvent | None) -> None:
        if event is not None:
            self._sparsity = event.total
            # The masks due one step after the last are in place at its end: no point lies beyond.
            self.log.log(event.metrics(), min(event.step, self.plan.total_steps))

    def _show(self) -> None:
        if self.progress is not None:
            loss = loss_of(self.loop.read(self._outputs))
            target = max((x.pruning_schedule.target for x in self.pruner.layers), default=0.0)
            self.progress.update(
                Standing(self.step, self.plan.total_steps, loss, self._sparsity, target)
            )
