"""Evaluation through the compiled loop, with the callbacks that Keras' `evaluate` calls."""

import keras

from pruneplug.training.callback_hooks import wants_batches
from pruneplug.training.feed import Feed
from pruneplug.training.loop import StepLoop


class Evaluation:
    """Evaluates a model on all of a feed.

    Args:
        model: Compiled.
        feed: What to evaluate on.
        callbacks: Told when an evaluation and its batches begin and end.
    """

    def __init__(
        self, model: keras.Model, feed: Feed, callbacks: keras.callbacks.CallbackList
    ) -> None:
        self._model = model
        self._feed = feed
        self._callbacks = callbacks
        self._loop = StepLoop(model, feed, model.test_step)
        self.names = self._loop.trace()

    def run(self) -> dict[str, float]:
        """Return loss and metrics by name; the model's metrics are used and left reset."""
        self._callbacks.on_test_begin()
        self._model.reset_metrics()
        self._feed.start(0)
        logs = self._loop.read(self._batches())
        self._model.reset_metrics()
        self._callbacks.on_test_end(logs)
        return logs

    def _batches(self) -> dict[str, object]:
        steps = self._feed.steps_per_epoch
        if not wants_batches(self._callbacks.callbacks, "test"):
            return self._loop.run(0, steps)
        logs: dict[str, object] = {}
        for step in range(steps):
            self._callbacks.on_test_batch_begin(step)
            logs = self._loop.run(step, 1)
            self._callbacks.on_test_batch_end(step, logs)
        return logs
