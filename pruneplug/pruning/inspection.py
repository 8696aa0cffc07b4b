"""How sparse a model is, and what was left out and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np

from pruneplug.pruning import keras_internals, layer_parts, registry
from pruneplug.pruning.layer_parts import Owners, Part
from pruneplug.pruning.pruner import Pruner
from pruneplug.pruning.sparsity import WeightSparsity, join_names, total_sparsity
from pruneplug.pruning.weights import named_weights
from pruneplug.pruning.wrapper import pruned_layers


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
        """Fraction of zeros over all these weights together."""
        return total_sparsity(self.weights)

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each pruned weight: name, shape, target, sparsity, kept, threshold."""
        return [asdict(weight) for weight in self.weights]


def sparsity_report(model: keras.Model) -> SparsityReport:
    """Report on a model.

    Of a pruned model, the pruned weights as their masks are. Of any other one, dense, stripped or
    loaded, all weights that could be pruned, by their zeros: no schedule asks for any there, so
    their target is 0, and their threshold is the smallest magnitude that is not zero.

    Args:
        model: Any Keras model.

    Raises:
        ValueError: `model` is none.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"model must be a Keras model; got {type(model).__name__}.")
    if not pruned_layers(model) and not getattr(model, "pruning_skipped", None):
        counted = _prunable(model)
        weights = tuple(_count(name, weight) for name, weight in counted)
        skipped = _skipped(model, {id(weight) for _, weight in counted})
        return SparsityReport(weights, _records(skipped))
    named = named_weights(model)
    frozen = {w.name: "frozen (not trainable)" for w in named if not w.variables[0].trainable}
    skipped = _skipped(model, {id(weight.variables[0]) for weight in named})
    return SparsityReport(Pruner(model).weights(), _records(frozen | skipped))


def _records(reasons: Mapping[str, str]) -> tuple[Skipped, ...]:
    return tuple(Skipped(name, reason) for name, reason in reasons.items())


def _prunable(model: keras.Model) -> list[tuple[str, keras.Variable]]:
    """Return what could be pruned in a model, each weight under the name it has when it is."""
    parts = list(layer_parts.model_parts(model))
    owners = Owners(parts)
    return [
        (join_names(part.member, path), weight)
        for part in parts
        for path, weight in _weights(part).items()
        if path not in owners.foreign(part)
    ]


def _weights(part: Part) -> dict[str, keras.Variable]:
    try:
        return part.weights()
    except ValueError:  # quantized, for one
        return {}


def _count(name: str, weight: keras.Variable) -> WeightSparsity:
    magnitudes = np.abs(keras.ops.convert_to_numpy(weight))
    kept = magnitudes[magnitudes != 0]
    return WeightSparsity(
        name=name,
        shape=tuple(weight.shape),
        target=0.0,
        sparsity=1.0 - kept.size / magnitudes.size,
        kept=kept.size,
        threshold=float(kept.min()) if kept.size else 0.0,
    )


def _skipped(model: keras.Model, listed: Collection[int]) -> dict[str, str]:
    """Return why weights other than those listed, by id, are not pruned, by name."""
    noted: Mapping[str, str] = getattr(model, "pruning_skipped", {})
    skipped: dict[str, str] = {}
    for name, member in layer_parts.member_names(layer_parts.member_layers(model)):
        for part in layer_parts.parts_and_containers(member, name):
            if not part.is_container:
                skipped |= _left_out(part, listed, noted)
            if part.name not in skipped:
                skipped |= _beside(part.name, part.layer, listed)
    for inside in keras_internals.flatten_layers(model):
        if isinstance(inside, keras.Model):
            skipped |= _beside(inside.name, inside, listed)
    return skipped


def _left_out(part: Part, listed: Collection[int], noted: Mapping[str, str]) -> dict[str, str]:
    """Return what is left out of a part: all of it, or weights."""
    for name in (part.name, part.member):
        if name in noted:
            return {name: noted[name]}
    weights = _weights(part)
    missing = [path for path, weight in weights.items() if id(weight) not in listed]
    if weights and len(missing) < len(weights):
        names = [join_names(part.member, path) for path in missing]
        return {name: noted.get(name, _reason(part)) for name in names}
    held = part.layer.weights
    return {part.name: _reason(part)} if held and not any(id(w) in listed for w in held) else {}


def _reason(part: Part) -> str:
    """Say why a part is not pruned when nobody noted it, as in a model loaded from a file."""
    unsupported = registry.unsupported_reason(part.layer)
    if unsupported is not None:
        return f"not supported: {unsupported}"
    try:
        return "left out by the pruning policy" if part.weights() else "nothing to prune in it"
    except ValueError as error:
        return str(error).partition(". ")[0]


def _beside(name: str, layer: keras.layers.Layer, listed: Collection[int]) -> dict[str, str]:
    """Return what a class of the user's holds itself, and pruneplug knows nothing of."""
    reason = f"{type(layer).__name__} holds it itself, and does not say that it can be pruned"
    beside = layer_parts.weights_beside(layer).items()
    return {join_names(name, own): reason for own, weight in beside if id(weight) not in listed}
