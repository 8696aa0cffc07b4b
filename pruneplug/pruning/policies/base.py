"""What a policy is, and how several make one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import keras

from pruneplug.pruning import layer_parts


class PruningPolicy(ABC):
    """Decides layer by layer what `prune_low_magnitude` wraps in a model.

    Subclass it and define the two abstract methods, as for TFMOT. Define `skip_reason` too to
    tell `sparsity_report` why a layer was left out, or to decide by its place in the model: it is
    asked for each layer that subclassed models and layers of one's own are made of, too.

    Attributes:
        skips_unsupported: Whether what cannot be pruned is left out instead of being an error.
    """

    skips_unsupported = False

    @abstractmethod
    def allow_pruning(self, layer: keras.layers.Layer) -> bool:
        """Return whether this layer may be pruned."""

    @abstractmethod
    def ensure_model_supports_pruning(self, model: keras.Model) -> None:
        """Raise ValueError when the model does not fit this policy."""

    def skip_reason(self, layer: keras.layers.Layer, model: keras.Model) -> str | None:
        """Return why this layer of the model is left out, or None when it may be pruned.

        Unless a policy overrides this, what it allows for a layer of one's own holds for all that
        the layer is made of.
        """
        around = layer_parts.part_of(model, layer).layers
        outermost = next(x for x in around if not isinstance(x, keras.Model))
        return None if self.allow_pruning(outermost) else "left out by the pruning policy"


class AllOf(PruningPolicy):
    """Prunes what each of several policies allows; without any, everything.

    Args:
        *policies: The policies; the first that leaves a layer out gives the reason. As for TFMOT,
            any object with the two methods of one will do.

    Raises:
        ValueError: One of them is not a policy.
    """

    def __init__(self, *policies: PruningPolicy):
        self.policies = tuple(map(_as_policy, policies))
        self.skips_unsupported = any(policy.skips_unsupported for policy in self.policies)

    def allow_pruning(self, layer: keras.layers.Layer) -> bool:
        """Return whether every policy allows this layer to be pruned."""
        return all(policy.allow_pruning(layer) for policy in self.policies)

    def ensure_model_supports_pruning(self, model: keras.Model) -> None:
        """Raise ValueError when the model does not fit one of the policies."""
        for policy in self.policies:
            policy.ensure_model_supports_pruning(model)

    def skip_reason(self, layer: keras.layers.Layer, model: keras.Model) -> str | None:
        """Return the first reason to leave this layer of the model out, or None."""
        reasons = (policy.skip_reason(layer, model) for policy in self.policies)
        return next((reason for reason in reasons if reason is not None), None)


class _Adapted(PruningPolicy):
    """Stands for an object that has the two methods of a policy and is of no such class."""

    def __init__(self, policy: Any):
        self.policy = policy

    def allow_pruning(self, layer: keras.layers.Layer) -> bool:
        return bool(self.policy.allow_pruning(layer))

    def ensure_model_supports_pruning(self, model: keras.Model) -> None:
        self.policy.ensure_model_supports_pruning(model)


def _as_policy(policy: Any) -> PruningPolicy:
    if isinstance(policy, PruningPolicy):
        return policy
    methods = ("allow_pruning", "ensure_model_supports_pruning")
    if isinstance(policy, type) or not all(hasattr(policy, method) for method in methods):
        raise ValueError(
            "A pruning policy must be an instance of a PruningPolicy class; "
            f"got pruning_policy={policy!r}."
        )
    return _Adapted(policy)
