"""The compiled call that runs n steps of a model: training or evaluation."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from pruneplug.training.feeds.arrays import ArrayFeed
from pruneplug.training.feeds.base import Feed
from pruneplug.training.feeds.datasets import DatasetFeed
from pruneplug.training.steps.xla import Compilation, as_compiled, with_compiled_update

_INDEX = tf.TensorSpec([], tf.int64)
_NONE = 2**62


class StepLoop:
    """Runs any number of batches of a feed through one compiled call, without retracing.

    Each step is what Keras' own `fit` or `evaluate` would run, under the model's distribution
    strategy. With `Compilation.OFF` or `STEP` the weights are bit-identical to those of `fit`
    with `jit_compile` off or on, and those of `LOOP` are the same as those of `STEP`.

    Args:
        model: Compiled.
        feed: Where the batches come from.
        step: `model.train_step` or `model.test_step`.
        compilation: What is left to XLA; None for what Keras would compile.
    """

    def __init__(
        self,
        model: keras.Model,
        feed: Feed,
        step: Callable[[Any], Any],
        compilation: Compilation | None = None,
    ) -> None:
        compilation = compilation or as_compiled(model)
        self._model = model
        self._feed = feed
        self._strategy = model.distribute_strategy
        if self._strategy.num_replicas_in_sync == 1:
            # A function of its own would forbid the merge between several replicas.
            if compilation is Compilation.UPDATE:
                step = with_compiled_update(step, model.optimizer)
            # Inlined, parts of a step would run although its batch could not be had.
            apart = {"_noinline": True} if isinstance(feed, DatasetFeed) else None
            step = tf.function(
                step,
                autograph=False,  # as in Keras
                reduce_retracing=True,
                jit_compile=compilation in (Compilation.STEP, Compilation.LOOP),
                experimental_attributes=apart,
            )
        self._step = step
        self._any = self._program(feed.next)
        self._full: Any = None
        self._full_batches = 0
        if compilation is Compilation.LOOP and isinstance(feed, ArrayFeed):
            # Shapes must be known inside a program: the last batch, if short, stays outside.
            self._full = self._program(feed.full_batch, jit_compile=True)
            self._full_batches = feed.full_batches
        self._bad: list[Any] = []

    def trace(self) -> frozenset[str]:
        """Trace without running, which creates every variable; return the names of the logs."""
        _, outputs = self.functions()[-1].structured_outputs
        return frozenset(outputs) if isinstance(outputs, Mapping) else frozenset()

    def functions(self) -> list[Any]:
        """Return the concrete functions that an epoch is made of."""
        traced = [self._full] if self._full_batches else []
        if self._full_batches < self._feed.steps_per_epoch:
            traced.append(self._any)
        return [function.get_concrete_function() for function in traced]

    def run(self, first: int, count: int) -> dict[str, Any]:
        """Run batches `first` to `first + count - 1` of the epoch.

        Returns:
            What the last step returned, as tensors.
        """
        end = first + count
        turn = max(first, min(end, self._full_batches))
        outputs: dict[str, Any] = {}
        self._bad = []
        for function, begin, stop in ((self._full, first, turn), (self._any, turn, end)):
            if begin < stop:
                bad, outputs = function(_index(begin), _index(stop))
                self._bad.append(bad)
        return outputs

    def first_bad(self) -> int | None:
        """Return the first batch of the last call after which the loss was no finite number."""
        batch = min(map(int, self._bad), default=_NONE)
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

    def _program(self, fetch: Callable[[Any], Any], jit_compile: bool = False) -> Any:
        """Return the function of a range of batches that takes a step with each of them."""
        one = tf.function(partial(self._one_step, fetch), input_signature=[_INDEX], autograph=False)
        return tf.function(
            partial(self._steps, one),
            input_signature=[_INDEX, _INDEX],
            autograph=False,
            jit_compile=jit_compile,
        )

    def _one_step(self, fetch: Callable[[Any], Any], index: Any) -> Any:
        batch = fetch(index)
        # Nothing of a step may run, not even what needs no data, when its batch cannot be had.
        with tf.control_dependencies(self._awaited(batch)):
            outputs = self._strategy.run(self._step, args=(batch,))
        return keras.tree.map_structure(self._reduce, outputs)

    def _awaited(self, batch: Any) -> list[Any]:
        alone = self._strategy.num_replicas_in_sync == 1
        if not alone or not isinstance(self._feed, DatasetFeed):
            return []
        return list(tf.nest.flatten(batch, expand_composites=True))

    def _steps(self, one: Any, first: Any, end: Any) -> Any:
        specs = one.get_concrete_function().structured_outputs
        shapes = tf.nest.map_structure(lambda spec: spec.shape, specs)
        _, bad, outputs = tf.while_loop(
            lambda index, *_: index < end,
            partial(self._body, one),
            (first, tf.constant(_NONE, tf.int64), tf.nest.map_structure(_zeros, specs)),
            shape_invariants=(first.shape, first.shape, shapes),
        )
        return bad, outputs

    def _body(self, one: Any, index: Any, bad: Any, _: Any) -> Any:
        outputs = one(index)
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


def _index(value: int) -> Any:
    return tf.constant(value, tf.int64)


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
