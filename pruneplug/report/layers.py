"""How sparse a model is, and what was left out and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import keras

from pruneplug import registry
from pruneplug.pruner import Pruner
from pruneplug.sparsity import WeightSparsity, total_sparsity
from pruneplug.wrapper import PruneLowMagnitude, pruned_layers


@dataclass(frozen=True)
class Skipped:
    """A layer, or a weight of one, that is not pruned, and the reason."""

    layer: str
    reason: str


@dataclass(frozen=True)
class SparsityReport:
    """The pruned weights of a model, and what it left out. Masks are not parameters here."""

    weights: tuple[WeightSparsity, ...]
    skipped: tuple[Skipped, ...]

    @property
    def total(self) -> float:
        """Fraction of zeros over all pruned weights together."""
        return total_sparsity(self.weights)

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each pruned weight: name, shape, target, sparsity, kept, threshold."""
        return [asdict(weight) for weight in self.weights]


def sparsity_report(model: keras.Model) -> SparsityReport:
    """Report on a pruned model.

    Args:
        model: A model from `prune_low_magnitude`, before `strip_pruning`.
    """
    return SparsityReport(Pruner(model).weights(), tuple(_skipped(model)))


def _skipped(model: keras.Model) -> Iterator[Skipped]:
    reasons = getattr(model, "pruning_skipped", {})
    wrappers = pruned_layers(model)
    # In subclassed models the wrappers stand beside the layers.
    inside = {id(wrapper.layer) for wrapper in wrappers}
    for wrapper in wrappers:
        yield from _frozen(wrapper)
    for layer in registry.member_layers(model):
        if layer.name in reasons:
            yield Skipped(layer.name, reasons[layer.name])
        elif layer.weights and id(layer) not in inside and not pruned_layers(layer):
            yield Skipped(layer.name, _reason(layer))


def _frozen(wrapper: PruneLowMagnitude) -> Iterator[Skipped]:
    for name, (weight, *_) in zip(wrapper.weight_names, wrapper.pruning_vars, strict=True):
        if not weight.trainable:
            yield Skipped(f"{wrapper.layer.name}/{name}", "frozen (not trainable)")


def _reason(layer: keras.layers.Layer) -> str:
    """Say why a layer is not pruned when nobody noted it, as in a model loaded from a file."""
    unsupported = registry.unsupported_reason(layer)
    if unsupported is not None:
        return f"not supported: {unsupported}"
    if registry.has_prunable_weights(layer):
        return "left out by the pruning policy"
    return "nothing to prune in it"
