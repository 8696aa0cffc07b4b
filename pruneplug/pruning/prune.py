"""Put pruning into a model, and take it out again."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from pruneplug.pruning import attributes, in_place, layer_parts, naming, surgery
from pruneplug.pruning.allocation import Allocation, UniformAllocation
from pruneplug.pruning.patterns import MByN
from pruneplug.pruning.policies import AllOf, PruningPolicy
from pruneplug.pruning.pruner import Pruner
from pruneplug.pruning.schedules import ConstantSparsity, Schedule
from pruneplug.pruning.selection import Selection
from pruneplug.pruning.wrapper import PruneLowMagnitude, pruned_layers


def prune_low_magnitude(
    to_prune: Any,
    pruning_schedule: Schedule = ConstantSparsity(0.5, 0),
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
    What is pruned already is pruned again with the arguments it has only; `strip_pruning` it
    first to change them. Layers that were wrapped one by one keep theirs among others.
    Train with the `UpdatePruningStep` callback (or step a `Pruner` in a loop of your own), then
    call `strip_pruning`.

    Args:
        to_prune: A layer, a list of layers or a model.
        pruning_schedule: When masks are updated and how sparse they are; also a function of the
            step that answers both.
        block_size: Rows and columns of the blocks that are pruned together.
        block_pooling_type: How a block is judged by its magnitudes: "AVG" or "MAX".
        pruning_policy: Decides layer by layer what is pruned in a model; also of the layers that
            subclassed models and layers of one's own are made of.
        sparsity_m_by_n: (m, n) for m zeros in every n consecutive values, computed once, at step
            1; or an `MByN` that follows the schedule.
        allocation: How the sparsity is shared out among the weights; by default each has it.
        **kwargs: Further arguments of the wrapper when `to_prune` is a single layer.

    Returns:
        The layer wrapped, the list with layers wrapped, or the model to train.

    Raises:
        ValueError: A layer is not supported or pruned already in another way, an argument is out
            of its range or would have no effect, or `to_prune` is none of the above.
        TypeError: An argument is not known.
    """
    arguments: dict[str, Any] = {
        "pruning_schedule": pruning_schedule,
        "block_size": block_size,
        "block_pooling_type": block_pooling_type,
        "sparsity_m_by_n": sparsity_m_by_n,
        "allocation": allocation,
    }
    layers = to_prune if isinstance(to_prune, list | tuple) else [to_prune]
    for layer in layers:
        if not isinstance(layer, keras.layers.Layer):
            raise ValueError(
                "to_prune must be a Keras 3 layer, a list of layers or a model; "
                f"got {type(layer).__module__}.{type(layer).__name__}."
            )
    _check_arguments(to_prune, pruning_policy, kwargs)
    _check_shares(allocation, sparsity_m_by_n)
    if isinstance(to_prune, keras.Model):
        policy = AllOf() if pruning_policy is None else AllOf(pruning_policy)
        return _prune_model(to_prune, policy, arguments)
    if isinstance(to_prune, keras.layers.Layer) and not isinstance(to_prune, PruneLowMagnitude):
        return PruneLowMagnitude(to_prune, **arguments, **kwargs)
    wrappers = [wrapper for layer in layers for wrapper in pruned_layers(layer)]
    parts = layer_parts.list_parts(map(layer_parts.unwrapped, layers))
    selection = Selection(parts, wrappers, lambda part: None, arguments)
    pruned = [selection(layer) for layer in layers]
    return pruned if to_prune is layers else pruned[0]


def strip_pruning(model: keras.Model) -> keras.Model:
    """Take pruning out of a model: the original architecture and names, with sparse weights.

    The weights are shared with the pruned model; training that one with `UpdatePruningStep`
    enforces its masks again. Masks that stand behind are updated first; a sparsity below the
    schedule's target is warned of.

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
    wrappers = pruned_layers(model)
    # An engine at work goes on afterwards: training may not be over.
    at_work = (wrapper.engine for wrapper in wrappers if wrapper.engine is not None)
    next(at_work, Pruner(model)).settle()
    for wrapper in wrappers:
        wrapper.detach()
    is_graph = surgery.is_graph(model)
    if not is_graph:
        in_place.take_out(model)
    attributes.replace_attributes(model, _unwrap)
    stripped = surgery.rebuild(model, _unwrap) if is_graph else model
    stripped.pruning_skipped = {}
    return stripped


def prune_scope() -> Any:
    """Return a scope in which pruned layers can be deserialized.

    Keras finds them without it once pruneplug is imported; it is here so that code written for
    TFMOT runs unchanged.
    """
    return keras.saving.custom_object_scope({"PruneLowMagnitude": PruneLowMagnitude})


def _check_arguments(
    to_prune: Any, policy: PruningPolicy | None, keywords: Mapping[str, Any]
) -> None:
    """Refuse arguments that would have no effect on what is pruned."""
    is_model = isinstance(to_prune, keras.Model)
    is_layer = isinstance(to_prune, keras.layers.Layer) and not is_model
    if keywords and (not is_layer or isinstance(to_prune, PruneLowMagnitude)):
        allowed = [*inspect.signature(prune_low_magnitude).parameters][:-1]
        raise TypeError(
            f"Arguments of prune_low_magnitude must be among {', '.join(allowed)}; got "
            f"{', '.join(keywords)}. Others go to the wrapper of a single layer that is not "
            "wrapped yet."
        )
    if policy is not None and not is_model:
        raise ValueError(
            "pruning_policy must be used with a model, among whose layers it chooses; got "
            f"pruning_policy={policy!r} with a {type(to_prune).__name__}. Leave out layers "
            "yourself, or prune a model that is made of them."
        )


def _check_shares(
    allocation: Allocation | None, sparsity_m_by_n: Sequence[int] | MByN | None
) -> None:
    follows = sparsity_m_by_n is None or getattr(sparsity_m_by_n, "scheduled", False)
    if not follows and allocation not in (None, UniformAllocation()):
        raise ValueError(
            "allocation must be left out with m-by-n sparsity, which prunes all weights alike; got "
            f"allocation={allocation!r}. MByN(m, n, scheduled=True) follows it, and the schedule."
        )


def _prune_model(
    model: keras.Model, policy: PruningPolicy, arguments: Mapping[str, Any]
) -> keras.Model:
    policy.ensure_model_supports_pruning(model)
    is_graph = surgery.is_graph(model)
    if not is_graph:
        in_place.check_known(model)
    selection = Selection(
        layer_parts.model_parts(model),
        pruned_layers(model),
        lambda part: policy.skip_reason(part.layer, model),
        {**arguments, "with_model": True},
        policy.skips_unsupported,
    )
    if is_graph:
        model = surgery.rebuild(model, selection, _pruned_class, keep_output_names=True)
        model.pruning_skipped = selection.skipped
        return model
    pairs = [(layer, selection(layer)) for layer in layer_parts.member_layers(model)]
    wrappers = [new for layer, new in pairs if new is not layer]
    in_place.check_built(model, wrappers)
    in_place.put_in(model, wrappers, selection.skipped)
    return model


def _pruned_class(held: type) -> type:
    known = naming.PRUNED.get(surgery.dense_class(held))
    return in_place.pruned_class(held) if known is None else known


def _unwrap(layer: Any) -> Any:
    if isinstance(layer, PruneLowMagnitude):
        return layer.layer
    if surgery.is_graph(layer) and pruned_layers(layer):
        return surgery.rebuild(layer, _unwrap)
    return layer
