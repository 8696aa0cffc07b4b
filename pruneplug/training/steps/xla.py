"""How much of a training step XLA compiles: a rule by device, layers and size, without trying."""

import math
import os
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import keras
import tensorflow as tf

from pruneplug.pruning import keras_internals
from pruneplug.pruning.wrapper import PruneLowMagnitude
from pruneplug.training.feeds.arrays import ArrayFeed
from pruneplug.training.feeds.base import Feed

# XLA makes these faster on a CPU. Under it, convolutions, pooling, gathers, recurrences and random
# numbers come out slower there than as operations of their own.
_FASTER = (
    keras.layers.InputLayer,
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
    keras.layers.RMSNormalization,
    keras.layers.UnitNormalization,
    keras.layers.Normalization,
    keras.layers.Rescaling,
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ELU,
    keras.layers.Softmax,
    keras.layers.Identity,
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Permute,
    keras.layers.RepeatVector,
    keras.layers.Add,
    keras.layers.Subtract,
    keras.layers.Multiply,
    keras.layers.Average,
    keras.layers.Maximum,
    keras.layers.Minimum,
    keras.layers.Concatenate,
    keras.layers.Dot,
)

# In a loop XLA runs all but matrix products on one core, which pays for as many weights times cores
# at most: with two cores a step of 6 million weights takes 9 % less, one of 20 million 3 % more.
_LOOP_WEIGHTS = 12_000_000

# To compile takes a second or two, and then saves 0.3 ms in a step and 1.5 ns for each weight: it
# pays from so many steps times weights on, where a step counts as as many weights more.
_WORTH = 10**9
_WEIGHTS_A_STEP = 200_000


class Compilation(Enum):
    """What is one XLA program; the rest are TensorFlow's operations, one by one."""

    OFF = "nothing"
    UPDATE = "the optimizer's update, with the masks in it"
    STEP = "a whole step"
    LOOP = "all steps up to the next event"


def choose(model: keras.Model, feed: Feed, compiling: Mapping[str, Any], steps: int) -> Compilation:
    """Return what to compile.

    "auto" is Keras' own rule on accelerators and under a distribution strategy. On a CPU, where
    that leaves XLA off, a long training has compiled what is known to gain by it, and nothing of
    the user's own, which XLA may not know: steps of models of dense layers, the update of others.

    Args:
        model: Compiled, with all its variables.
        feed: Where its batches come from.
        compiling: What the user has given to `compile`.
        steps: Of the whole training.
    """
    if compiling["jit_compile"] != "auto" or model.jit_compile or not _on_cpu_alone(model):
        return as_compiled(model)
    constraints = [getattr(v.constraint, "inner", v.constraint) for v in model.trainable_variables]
    parts = keras.tree.flatten([type(model).train_step, constraints, dict(compiling)])
    weights = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    pays = steps * (weights + _WEIGHTS_A_STEP) >= _WORTH
    if not pays or not all(map(_shipped, parts)):
        return Compilation.OFF
    # XLA has no sparse or ragged tensors.
    if not feed.dense or not all(map(_gains, keras_internals.flatten_layers(model))):
        return Compilation.UPDATE
    small = weights * (os.cpu_count() or 1) <= _LOOP_WEIGHTS and isinstance(feed, ArrayFeed)
    return Compilation.LOOP if small else Compilation.STEP


def as_compiled(model: keras.Model) -> Compilation:
    """Return what Keras itself would compile."""
    return Compilation.STEP if model.jit_compile else Compilation.OFF


def with_compiled_update(
    step: Callable[[Any], Any], optimizer: keras.optimizers.Optimizer
) -> Callable[[Any], Any]:
    """Return the step with the optimizer's update, masks included, as one program."""
    plain, own = optimizer.apply, vars(optimizer)

    def apply(grads: Any, trainable_variables: Any = None) -> None:
        # Variables are no arguments of a function: it closes over them.
        def update(grads: Any) -> None:
            plain(grads, trainable_variables)

        tf.function(update, jit_compile=True, autograph=False)(list(grads))

    def traced(batch: Any) -> Any:
        own["apply"] = apply
        try:
            return step(batch)
        finally:
            del own["apply"]

    return traced


def _on_cpu_alone(model: keras.Model) -> bool:
    accelerated = any(d.device_type != "CPU" for d in tf.config.list_physical_devices())
    return not accelerated and model.distribute_strategy is tf.distribute.get_strategy()


def _gains(layer: keras.Layer) -> bool:
    if isinstance(layer, PruneLowMagnitude | keras.Model):
        return _shipped(layer)  # the layers in it are asked too
    functions = (value for value in vars(layer).values() if callable(value))
    return type(layer) in _FASTER and all(map(_shipped, functions))


def _shipped(part: Any) -> bool:
    """Tell whether something comes with Keras or with us."""
    if part is None or isinstance(part, str):
        return True
    module = getattr(part, "__module__", None) or type(part).__module__
    return module.split(".")[0] in ("keras", "pruneplug")
