"""Put pruning into a model, and take it out again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from pruneplug import registry, surgery
from pruneplug.allocation import Allocation
from pruneplug.patterns import MByN
from pruneplug.policies import AllOf, PruningPolicy
from pruneplug.pruner import Pruner
from pruneplug.schedules import ConstantSparsity, Schedule
from pruneplug.wrapper import PruneLowMagnitude, pruned_layers


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
    Train with the `UpdatePruningStep` callback (or step a `Pruner` in a loop of your own), then
    call `strip_pruning`.

    Args:
        to_prune: A layer, a list of layers or a model.
        pruning_schedule: When masks are updated and how sparse they are; also a function of the
            step that answers both.
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
        return [
            PruneLowMagnitude(part, **params) if _takes_part(part) else part for part in to_prune
        ]
    if isinstance(to_prune, PruneLowMagnitude):
        return to_prune
    if isinstance(to_prune, keras.Model):
        policy = AllOf() if pruning_policy is None else AllOf(pruning_policy)
        return _prune_model(to_prune, policy, params)
    if isinstance(to_prune, keras.layers.Layer):
        return PruneLowMagnitude(to_prune, **params, **kwargs)
    raise ValueError(
        "to_prune must be a Keras 3 layer, a list of layers or a model; "
        f"got {type(to_prune).__module__}.{type(to_prune).__name__}."
    )


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
    in_place = not surgery.is_graph(model)
    if in_place:
        surgery.detach_beside(model)
        model.pruning_skipped = {}
    surgery.replace_attributes(model, _unwrap)
    return model if in_place else surgery.rebuild(model, _unwrap)


def prune_scope() -> Any:
    """Return a scope in which pruned layers can be deserialized.

    Keras finds them without it once pruneplug is imported; it is here so that code written for
    TFMOT runs unchanged.
    """
    return keras.saving.custom_object_scope({"PruneLowMagnitude": PruneLowMagnitude})


def _prune_model(model: keras.Model, policy: PruningPolicy, params: dict[str, Any]) -> keras.Model:
    policy.ensure_model_supports_pruning(model)
    wrap = _Wrap(model, policy, params)
    pruned = (
        surgery.rebuild(model, wrap) if surgery.is_graph(model) else _prune_in_place(model, wrap)
    )
    pruned.pruning_skipped = wrap.skipped
    return pruned


def _prune_in_place(model: keras.Model, wrap: _Wrap) -> keras.Model:
    if not model.built:
        raise ValueError(
            f"Model '{model.name}' ({type(model).__name__}) must be built to be pruned in place, "
            "since its layers are not known before. Call it on a batch first."
        )
    pruned = {id(wrapper.layer) for wrapper in pruned_layers(model)}
    layers = [layer for layer in registry.member_layers(model) if id(layer) not in pruned]
    # The wrappers stand beside the call path: they carry the masks, and the constraints on the
    # shared weights enforce them. As an attribute they are saved with the model.
    surgery.attach_beside(model, [w for w in map(wrap, layers) if isinstance(w, PruneLowMagnitude)])
    return model


class _Wrap:
    """Wraps layer by layer, and notes which it left out and why."""

    def __init__(self, model: keras.Model, policy: PruningPolicy, params: dict[str, Any]):
        self.model = model
        self.policy = policy
        self.params = params
        self.skipped: dict[str, str] = {}

    def __call__(self, layer: Any) -> Any:
        """Return the layer wrapped, or the layer itself when it is left out."""
        if not _takes_part(layer):
            return layer
        reason = self.policy.skip_reason(layer, self.model)
        if reason is None:
            try:
                return PruneLowMagnitude(layer, **self.params)
            except ValueError as error:
                if not self.policy.skips_unsupported:
                    raise
                # What follows the first sentence is the way out, which the user has taken.
                reason = str(error).partition(". ")[0]
        self.skipped[layer.name] = reason
        return layer


def _takes_part(layer: Any) -> bool:
    """Return whether there is something to wrap, or to refuse; a graph has operations too."""
    return isinstance(layer, keras.layers.Layer) and (
        registry.has_prunable_weights(layer) or registry.unsupported_reason(layer) is not None
    )


def _unwrap(layer: Any) -> Any:
    if isinstance(layer, PruneLowMagnitude):
        return layer.layer
    if surgery.is_graph(layer) and pruned_layers(layer):
        return surgery.rebuild(layer, _unwrap)
    return layer
