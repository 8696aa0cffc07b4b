"""The reference, TFMOT on tf_keras, next to Keras 3 in one process.

A model is written once, as a function of the Keras module it is built with.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras  # before TFMOT, which sets TF_USE_LEGACY_KERAS
import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from tensorflow_model_optimization.python.core.sparsity.keras import (
    pruning_impl,
    pruning_utils,
    pruning_wrapper,
)

import pruneplug

reference = tfmot.sparsity.keras

Build = Callable[[Any], Any]


class Library(NamedTuple):
    """What a user's code imports, and the Keras it is written with."""

    sparsity: Any
    wrapper: Any
    utils: Any
    keras: Any


OURS = Library(pruneplug, pruneplug, pruneplug, keras)
THEIRS = Library(reference, pruning_wrapper, pruning_utils, tf_keras)


class Step(NamedTuple):
    """All weights of a model after a step, and a mask for each (1 where nothing is pruned)."""

    weights: list[np.ndarray]
    masks: list[np.ndarray]


class Data(NamedTuple):
    """Batches (x, y), the same for both."""

    x: np.ndarray
    y: np.ndarray
    batch_size: int

    def batches(self) -> tf.data.Dataset:
        options = tf.data.Options()
        # Autotune's thread makes every fit last until its next wake-up, up to seconds.
        options.autotune.enabled = False
        data = tf.data.Dataset.from_tensor_slices((self.x, self.y)).batch(self.batch_size)
        return data.with_options(options)


def reference_mask(
    weights: np.ndarray,
    sparsity: float,
    block_size: Sequence[int] = (1, 1),
    pooling: str = "AVG",
    m_by_n: tuple[int, int] | None = None,
) -> tuple[float, np.ndarray]:
    """TFMOT's threshold and mask (boolean) for weights."""
    variable = tf.Variable(weights)
    pruning = pruning_impl.Pruning(
        lambda: 1,
        [(variable, None, None)],
        reference.ConstantSparsity(sparsity, 0),
        block_size,
        pooling,
        m_by_n,
    )
    threshold, mask = pruning._maybe_update_block_mask(variable)
    return float(threshold), mask.numpy().astype(bool)


def build_pair(build: Build, ours: dict[str, Any], theirs: dict[str, Any]) -> tuple[Any, Any]:
    """Build a model twice, with equal weights, and prepare both for pruning.

    Args:
        build: Builds the model with the Keras module it is given.
        ours: Arguments of our `prune_low_magnitude`.
        theirs: Arguments of TFMOT's.
    """
    model, legacy = build(keras), build(tf_keras)
    legacy.set_weights(model.get_weights())
    return (
        pruneplug.prune_low_magnitude(model, **ours),
        reference.prune_low_magnitude(legacy, **theirs),
    )


def bare(layer: Any) -> Any:
    """The layer inside a pruning wrapper, or the layer itself."""
    return layer.layer if hasattr(layer, "pruning_vars") else layer


def state(model: Any) -> Step:
    """Weights and masks as they are now, in the same order in both libraries."""
    weights, masks = [], []
    for layer in model.layers:
        held = {id(w): mask.numpy() for w, mask, _ in getattr(layer, "pruning_vars", ())}
        weights += [weight.numpy() for weight in bare(layer).weights]
        masks += [held.get(id(weight), np.ones(())) for weight in bare(layer).weights]
    return Step(weights, [mask.astype(bool) for mask in masks])


def train_ours(model: keras.Model, optimizer: Any, data: Data) -> list[Step]:
    """Fit on the batches; the state after 0, 1, 2, ... steps."""
    steps: list[Step] = []
    record = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: steps.append(state(model)),
        on_train_batch_end=lambda batch, logs: steps.append(state(model)),
    )
    model.compile(optimizer, loss="mse", jit_compile=False)
    callbacks = [pruneplug.UpdatePruningStep(), record]
    model.fit(data.batches(), callbacks=callbacks, verbose=0, shuffle=False)
    return steps


def train_reference(model: Any, optimizer: Any, data: Data) -> list[Step]:
    """Fit on the batches; what TFMOT's forward passes see at 0, 1, 2, ... steps.

    TFMOT zeroes weights at the start of a batch, so the state after k steps shows in the masks of
    batch k + 1: there is one step less than there are batches.
    """
    before, after = [], []
    record = tf_keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: before.append(state(model).weights),
        on_train_batch_end=lambda batch, logs: after.append(state(model).masks),
    )
    model.compile(optimizer, loss="mse", jit_compile=False)
    callbacks = [reference.UpdatePruningStep(), record]
    model.fit(data.batches(), callbacks=callbacks, verbose=0, shuffle=False)
    return [
        Step([w * m for w, m in zip(weights, masks, strict=True)], masks)
        for weights, masks in zip(before, after, strict=True)
    ]
