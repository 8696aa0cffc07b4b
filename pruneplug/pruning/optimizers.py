"""What the engine must know of an optimizer: when it changes weights, and what else it keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from pruneplug.pruning import keras_internals


def innermost(optimizer: Any) -> Any:
    """Return the optimizer itself where another one, for loss scaling, stands around it."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def may_skip(optimizer: Any) -> bool:
    """Return whether an optimizer skips steps, as one that scales the loss does.

    Args:
        optimizer: Whatever stands outermost; None if it is not known.
    """
    return innermost(optimizer) is not optimizer


def last_write(optimizer: Any, taken: int, step: int) -> int:
    """Return the last step up to `step` at which an optimizer changes weights.

    While it accumulates gradients, only every n-th step does.

    Args:
        optimizer: As of `innermost`; None if it is not known.
        taken: Steps taken so far.
        step: Not before `taken`.
    """
    every = getattr(optimizer, "gradient_accumulation_steps", None) or 1
    if every == 1:
        return step
    # `iterations` counts changes; this counts all steps.
    begun = int(keras.ops.convert_to_numpy(keras_internals.steps_taken(optimizer)))
    return step - (begun + step - taken) % every


def moving_averages(optimizer: Any, weights: Sequence[keras.Variable]) -> dict[int, keras.Variable]:
    """Return the moving average that an optimizer keeps of each weight, by the weight's id.

    Args:
        optimizer: As of `innermost`; None if it is not known.
        weights: All that it trains.
    """
    if not getattr(optimizer, "use_ema", False):
        return {}
    # Among several replicas no average can be written within a step.
    if keras_internals.strategy_of(optimizer).num_replicas_in_sync > 1:
        return {}
    if not optimizer.built:
        optimizer.build(weights)  # as its first step would do
    averages = keras_internals.moving_averages(optimizer)
    return {id(weight): average for weight, average in averages if average is not None}


def renew(model: keras.Model) -> None:
    """Make a model fit to train whose first training step could not be traced.

    TensorFlow does not trace a function properly after that, and what optimizer and metrics have
    created in the trace was never initialised.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return  # a loop of one's own makes its own anew
    if not all(variable.value.is_initialized() for variable in optimizer.variables):
        given = {
            **keras_internals.compile_arguments(model),
            "optimizer": type(optimizer).from_config(optimizer.get_config()),
        }
        keras.Model.compile(model, **given)
    model.make_train_function(force=True)
