"""Evaluation through the compiled loop, with the callbacks that Keras' `evaluate` calls."""

from collections.abc import Callable

import keras

from pruneplug.training.feeds.base import Feed
from pruneplug.training.steps.callback_hooks import wants_batches
from pruneplug.training.steps.loop import StepLoop
from pruneplug.training.steps.pace import Pace


def _nothing(*_: object) -> None:
    """Stand for what nobody wants to be told."""


class Evaluation:
    """Evaluates a model on all of a feed.

    Args:
        model: Compiled.
        feed: What to evaluate on.
        callbacks: Told when an evaluation and its batches begin and end.

    Attributes:
        feed: As given.
        names: Of the metrics.
        position: Batches evaluated so far; 0 between two evaluations.
    """

    def __init__(
        self, model: keras.Model, feed: Feed, callbacks: keras.callbacks.CallbackList
    ) -> None:
        self._model = model
        self.feed = feed
        self._callbacks = callbacks
        self._loop = StepLoop(model, feed, model.test_step)
        self._pace = Pace()
        self.names = self._loop.trace()
        self.position = 0

    def run(
        self,
        check: Callable[[], None] = _nothing,
        begun: Callable[[], None] = _nothing,
        measured: Callable[[dict[str, float]], None] = _nothing,
    ) -> dict[str, float]:
        """Return loss and metrics by name; the model's metrics are used and left reset.

        Args:
            check: Called every half second or so, between two batches; when it raises, the next
                call goes on from there.
            begun: Called when callbacks have done to the weights what they do for an evaluation.
            measured: Called with the metrics while the weights are those that they are of.
        """
        if self.position == 0:
            self._callbacks.on_test_begin()
            self._model.reset_metrics()
            self.feed.start(0)
        begun()
        outputs: dict[str, object] = {}
        while self.position < self.feed.steps_per_epoch:
            check()
            outputs = self._run_window()
        logs = self._loop.read(outputs)
        measured(logs)
        self.position = 0
        self._model.reset_metrics()
        self._callbacks.on_test_end(logs)
        return logs

    def restore(self, finished: int, position: int) -> None:
        """Go on behind `finished` evaluations and `position` batches of the next.

        Callbacks are told of its begin again. What they do to the weights then was done before the
        checkpoint: all variables, and what callbacks remember, must be restored afterwards.
        """
        self.position = position
        if position:
            self._callbacks.on_test_begin()
        self.feed.restore(finished * self.feed.steps_per_epoch + position, None)

    def _run_window(self) -> dict[str, object]:
        by_batch = wants_batches(self._callbacks.callbacks, "test")
        first, left = self.position, self.feed.steps_per_epoch - self.position
        count = 1 if by_batch else min(self._pace.limit, left)
        if by_batch:
            self._callbacks.on_test_batch_begin(first)
        self._pace.begin()
        # An evaluation that fails begins anew: how many batches its sums hold is not known.
        self.position = 0
        outputs = self._loop.run(first, count)
        self.position = first + count
        self._pace.end(count)
        if by_batch:
            self._callbacks.on_test_batch_end(first, outputs)
        return outputs
