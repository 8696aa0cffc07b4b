"""The compiled call that runs n steps of a model: training or evaluation."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from pruneplug.training.dataset_feed import DatasetFeed
from pruneplug.training.feed import Feed

_INDEX = tf.TensorSpec([], tf.int64)
_NONE = 2**62


class StepLoop:
    """Runs any number of batches of a feed through one compiled call, without retracing.

    Each step is what Keras' own `fit` or `evaluate` would run, under the model's distribution
    strategy and `jit_compile` setting, so the weights are bit-identical to theirs.

    Args:
        model: Compiled.
        feed: Where the batches come from.
        step: `model.train_step` or `model.test_step`.
    """

    def __init__(self, model: keras.Model, feed: Feed, step: Callable[[Any], Any]) -> None:
        self._model = model
        self._feed = feed
        self._strategy = model.distribute_strategy
        if self._strategy.num_replicas_in_sync == 1:
            # A function of its own would forbid the merge between several replicas.
            # Inlined, parts of a step would run although its batch could not be had.
            apart = {"_noinline": True} if isinstance(feed, DatasetFeed) else None
            step = tf.function(
                step,
                reduce_retracing=True,
                jit_compile=model.jit_compile,
                experimental_attributes=apart,
            )
        self._step = step
        convert = tf.autograph.experimental.do_not_convert
        self._one = tf.function(convert(self._one_step), input_signature=[_INDEX])
        self._many = tf.function(convert(self._n_steps), input_signature=[_INDEX, _INDEX])
        self._first_bad: Any = _NONE

    def trace(self) -> frozenset[str]:
        """Trace without running, which creates every variable; return the names of the logs."""
        _, outputs = self._many.get_concrete_function().structured_outputs
        return frozenset(outputs) if isinstance(outputs, Mapping) else frozenset()

    def run(self, first: int, count: int) -> dict[str, Any]:
        """Run batches `first` to `first + count - 1` of the epoch.

        Returns:
            What the last step returned, as tensors.
        """
        outputs: dict[str, Any]
        self._first_bad, outputs = self._many(
            tf.constant(first, tf.int64), tf.constant(count, tf.int64)
        )
        return outputs

    def first_bad(self) -> int | None:
        """Return the first batch of the last call after which the loss was no finite number."""
        batch = int(self._first_bad)
        return None if batch == _NONE else batch

    def read(self, logs: Mapping[str, Any] | None) -> dict[str, float]:
        """Return the metrics on the host.

        A custom step may return other names than the model's metrics; then its last value counts,
        as in Keras.

        Args:
            logs: What `run` returned; None reads the model's metrics whatever their names.
        """
        metrics = self._model.get_metrics_result()
        return _floats(metrics if logs is None or set(metrics) == set(logs) else logs)

    def _one_step(self, index: Any) -> Any:
        batch = self._feed.next(index)
        # Nothing of a step may run, not even what needs no data, when its batch cannot be had.
        with tf.control_dependencies(self._awaited(batch)):
            outputs = self._strategy.run(self._step, args=(batch,))
        return keras.tree.map_structure(self._reduce, outputs)

    def _awaited(self, batch: Any) -> list[Any]:
        alone = self._strategy.num_replicas_in_sync == 1
        return keras.tree.flatten(batch) if alone and isinstance(self._feed, DatasetFeed) else []

    def _n_steps(self, first: Any, count: Any) -> Any:
        specs = self._one.get_concrete_function().structured_outputs
        shapes = tf.nest.map_structure(lambda spec: spec.shape, specs)
        _, bad, outputs = tf.while_loop(
            lambda index, *_: index < first + count,
            self._body,
            (first, tf.constant(_NONE, tf.int64), tf.nest.map_structure(_zeros, specs)),
            shape_invariants=(first.shape, first.shape, shapes),
        )
        return bad, outputs

    def _body(self, index: Any, bad: Any, _: Any) -> Any:
        outputs = self._one(index)
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else None
        if loss is not None:
            # Kept on the device: asking the host in every step would stall a GPU.
            finite = tf.reduce_all(tf.math.is_finite(loss))
            bad = tf.where(finite, bad, tf.minimum(bad, index))
        return index + 1, bad, outputs

    def _reduce(self, value: Any) -> Any:
        if not isinstance(value, tf.distribute.DistributedValues):
            return value
        return tf.reduce_mean(tf.stack(self._strategy.experimental_local_results(value)), axis=0)


def _zeros(spec: Any) -> Any:
    return tf.zeros([size or 0 for size in spec.shape], spec.dtype)


def _floats(logs: Mapping[str, Any]) -> dict[str, float]:
    result: dict[str, float] = {}
    for name, value in logs.items():
        if isinstance(value, Mapping):
            result.update(_floats(value))
        else:
            result[name] = float(value)
    return result
