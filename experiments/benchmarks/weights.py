"""Models that are nothing but weights, for what depends on their number only."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import keras
import numpy as np
import tensorflow as tf

import pruneplug

from .measure import seconds


def normal(shape: tuple[int, ...]) -> np.ndarray:
    """Return normal float32 weights; every call gives the same."""
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def stacked(layers: int, side: int) -> keras.Model:
    """Build `layers` square dense layers without biases, side x side weights each."""
    keras.utils.set_random_seed(0)
    dense = [keras.layers.Dense(side, use_bias=False) for _ in range(layers)]
    return keras.Sequential([keras.Input((side,)), *dense])


def pruner_of(
    model: keras.Model,
    sparsity: float,
    allocation: pruneplug.Allocation | None = None,
    frequency: int = 1,
) -> pruneplug.Pruner:
    """Return a started pruner, by default one that updates every mask at each `advance`."""
    schedule = pruneplug.ConstantSparsity(sparsity, 0, frequency=frequency)
    pruned = pruneplug.prune_low_magnitude(model, schedule, allocation=allocation)
    pruner = pruneplug.Pruner(pruned)
    pruner.start()
    return pruner


def update_window(
    model: keras.Model, sparsity: float, allocation: pruneplug.Allocation | None = None
) -> Callable[[], float]:
    """Return a window that measures one update of every mask of a model.

    The weights are dense again before each, as they are in training: one full of zeros would cost
    otherwise.
    """
    dense = [weight.copy() for weight in model.get_weights()]
    pruner = pruner_of(model, sparsity, allocation)

    def window() -> float:
        model.set_weights(dense)
        return seconds(pruner.advance)

    return window


def masking_window(model: keras.Model) -> Callable[[], float]:
    """Return a window of what a step's masking costs where XLA does not fuse it."""
    pruned = pruneplug.prune_low_magnitude(model, pruneplug.ConstantSparsity(0.5, 0))
    layers = pruneplug.Pruner(pruned).layers
    weights = [weight for layer in layers for weight, *_ in layer.pruning_vars]

    def masking() -> None:
        for weight in weights:
            weight.assign(weight.constraint(weight))

    return partial(seconds, tf.function(masking, autograph=False))


def copying_window(model: keras.Model) -> Callable[[], float]:
    """Return a window of what such masking costs at least.

    All weights are read and written once, on one thread, into memory that was used before.
    """
    weights = [w for w in model.get_weights() if w.ndim > 1]
    written = [w.copy() for w in weights]

    def copying() -> None:
        for weight, out in zip(weights, written, strict=True):
            np.copyto(out, weight)

    return lambda: seconds(copying)


def passes_window(model: keras.Model) -> Callable[[], float]:
    """Return a window of the passes over memory that no update of all masks can do without.

    One reads the weights for the threshold, one reads and writes them, and writes a mask, a byte a
    weight: on one thread, into memory that was used before.
    """
    weights = [w for w in model.get_weights() if w.ndim > 1]
    masks = [np.ones(w.shape, bool) for w in weights]
    written = [w.copy() for w in weights]

    def passes() -> None:
        for weight, mask, out in zip(weights, masks, written, strict=True):
            weight.max()
            np.copyto(out, weight)
            mask.fill(True)

    return lambda: seconds(passes)
