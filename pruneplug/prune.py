"""Put pruning into a model, and take it out again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras.src.models.functional import Functional  # keras has no public name for it

from pruneplug import registry
from pruneplug.allocation import Allocation
from pruneplug.patterns import MByN
from pruneplug.policies import PruningPolicy
from pruneplug.schedules import ConstantSparsity, PruningSchedule
from pruneplug.wrapper import PruneLowMagnitude, pruned_layers


def prune_low_magnitude(
    to_prune: Any,
    pruning_schedule: PruningSchedule = ConstantSparsity(0.5, 0),
    block_size: Sequence[int] = (1, 1),
    block_pooling_type: str = "AVG",
    pruning_policy: PruningPolicy | None = None,
    sparsity_m_by_n: Sequence[int] | MByN | None = None,
    allocation: Allocation | None = None,
    **kwargs: Any,
) -> Any:
    """Prepare a layer, a list of layers or a model for pruning while it trains.

    A Sequential or Functional model gives a new model, without optimizer, that shares the
    layers' weights; in it and in a list, layers with something to prune are wrapped in
    `PruneLowMagnitude`. Any other model is pruned in place and returned; it must be built.
    Train with the `UpdatePruningStep` callback (or step a `Pruner` in a loop of your own), then
    call `strip_pruning`.

    Args:
        to_prune: A layer, a list of layers or a model.
        pruning_schedule: When masks are updated and how sparse they are.
        block_size: Rows and columns of the blocks that are pruned together.
        block_pooling_type: How a block is judged by its magnitudes: "AVG" or "MAX".
        pruning_policy: Decides layer by layer what is pruned in a model.
        sparsity_m_by_n: (m, n) for m zeros in every n consecutive values, computed once, at step
            1; or an `MByN` that follows the schedule.
        allocation: How the sparsity is shared out among the weights; by default each has it.
        **kwargs: Further arguments of the wrapper when `to_prune` is a single layer.

    Returns:
        The layer wrapped, the list with layers wrapped, or the model to train.

    Raises:
        ValueError: A layer is not supported, an argument is out of its range, or `to_prune` is
            none of the above.
    """
    params: dict[str, Any] = {
        "pruning_schedule": pruning_schedule,
        "block_size": block_size,
        "block_pooling_type": block_pooling_type,
        "sparsity_m_by_n": sparsity_m_by_n,
        "allocation": allocation,
    }
    if isinstance(to_prune, list | tuple):
        return [_wrap(layer, params) for layer in to_prune]
    if isinstance(to_prune, PruneLowMagnitude):
        return to_prune
    if isinstance(to_prune, keras.Model):
        return _prune_model(to_prune, pruning_policy, params)
    if isinstance(to_prune, keras.layers.Layer):
        return PruneLowMagnitude(to_prune, **params, **kwargs)
    raise ValueError(
        "to_prune must be a Keras 3 layer, a list of layers or a model; "
        f"got {type(to_prune).__module__}.{type(to_prune).__name__}."
    )


def strip_pruning(model: keras.Model) -> keras.Model:
    """Take pruning out of a model: the original architecture and names, with sparse weights.

    The weights are shared with the pruned model; training that one with `UpdatePruningStep`
    enforces its masks again.

    Args:
        model: A model from `prune_low_magnitude`.

    Returns:
        A new model without pruning, masks or optimizer; a model that was pruned in place is
        returned itself.

    Raises:
        ValueError: `model` is not a Keras model.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"model must be a Keras model; got {type(model).__name__}.")
    for wrapper in pruned_layers(model):
        wrapper.apply_masks()
        wrapper.detach()
    if not _is_graph(model):
        model.pruning_wrappers = []
        return model
    return _rebuild(model, _unwrap)


def prune_scope() -> Any:
    """Return a scope in which pruned layers can be deserialized.

    Keras finds them without it once pruneplug is imported; it is here so that code written for
    TFMOT runs unchanged.
    """
    return keras.saving.custom_object_scope({"PruneLowMagnitude": PruneLowMagnitude})


def _prune_model(
    model: keras.Model, policy: PruningPolicy | None, params: dict[str, Any]
) -> keras.Model:
    if policy is not None:
        policy.ensure_model_supports_pruning(model)
    if not _is_graph(model):
        return _prune_in_place(model, policy, params)
    return _rebuild(model, lambda layer: _wrap(layer, params, policy))


def _prune_in_place(
    model: keras.Model, policy: PruningPolicy | None, params: dict[str, Any]
) -> keras.Model:
    if not model.built:
        raise ValueError(
            f"Model '{model.name}' ({type(model).__name__}) must be built to be pruned in place, "
            "since its layers are not known before. Call it on a batch first."
        )
    layers = model._flatten_layers(include_self=False, recursive=False)
    wrapped = [_wrap(layer, params, policy) for layer in layers]
    # The wrappers stand beside the call path: they carry the masks, and the constraints on the
    # shared weights enforce them. As an attribute they are saved with the model.
    model.pruning_wrappers = [layer for layer in wrapped if isinstance(layer, PruneLowMagnitude)]
    return model


def _wrap(
    layer: keras.layers.Layer, params: dict[str, Any], policy: PruningPolicy | None = None
) -> keras.layers.Layer:
    if isinstance(layer, PruneLowMagnitude | keras.layers.InputLayer):
        return layer
    if policy is not None and not policy.allow_pruning(layer):
        return layer
    if registry.unsupported_reason(layer) is None and not registry.has_prunable_weights(layer):
        return layer
    return PruneLowMagnitude(layer, **params)


def _unwrap(layer: keras.layers.Layer) -> keras.layers.Layer:
    return layer.layer if isinstance(layer, PruneLowMagnitude) else layer


def _is_graph(model: keras.Model) -> bool:
    return isinstance(model, keras.Sequential | Functional)


def _rebuild(model: keras.Model, replace: Any) -> keras.Model:
    """Build the same graph of layers anew, nested models included, each layer replaced once."""
    # Cloning would also compile the new model, with a copy of the optimizer.
    compiled, model.compiled = model.compiled, False
    try:
        clone = keras.models.clone_model(model, clone_function=replace, recursive=True)
    finally:
        model.compiled = compiled
    clone.trainable = model.trainable
    return clone
