"""The weights that an optimizer means to end with, in the model while they are looked at."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from pruneplug.training.checkpoints.variables import read_variables


@contextmanager
def averaged(model: keras.Model) -> Iterator[None]:
    """Give a model the averages of its weights that its optimizer keeps, and its own back.

    `fit` puts them in at its very end (`use_ema`), when all evaluations are over.

    Args:
        model: Compiled.
    """
    if not _ends_with_others(model.optimizer):
        yield
        return
    weights = model.trainable_weights
    own = [value for _, value in read_variables(weights)]
    model.optimizer.finalize_variable_values(weights)
    try:
        yield
    finally:
        for weight, value in zip(weights, own, strict=True):
            weight.assign(value)


def swaps_averages(callback: Any) -> bool:
    """Tell whether a callback puts the averages in for each evaluation itself."""
    return isinstance(callback, keras.callbacks.SwapEMAWeights)


def _ends_with_others(optimizer: Any) -> bool:
    """Tell whether an optimizer, or one inside it, writes other weights at the end."""
    inside = [getattr(optimizer, "inner_optimizer", None), *getattr(optimizer, "optimizers", ())]
    if any(inside):
        return any(map(_ends_with_others, filter(None, inside)))
    base = keras.optimizers.Optimizer.finalize_variable_values
    return isinstance(optimizer, keras.optimizers.Optimizer) and (
        optimizer.use_ema or type(optimizer).finalize_variable_values is not base
    )
