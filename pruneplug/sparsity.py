"""How sparse weights are, as plain records."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class WeightSparsity:
    """How sparse one weight is.

    Args:
        name: "<layer>/<weight>".
        shape: Its shape.
        target: The sparsity its schedule asked for, in [0, 1).
        sparsity: Its fraction of zeros, in [0, 1).
        kept: How many values are kept.
        threshold: The smallest magnitude kept (of a block, when blocks are pruned).
    """

    name: str
    shape: tuple[int, ...]
    target: float
    sparsity: float
    kept: int
    threshold: float

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


def total_sparsity(weights: Iterable[WeightSparsity]) -> float:
    """Return the fraction of zeros over all weights together, 0 when there are none."""
    weights = tuple(weights)
    size = sum(weight.size for weight in weights)
    return 1.0 - sum(weight.kept for weight in weights) / size if size else 0.0


@dataclass(frozen=True)
class PruningEvent:
    """A mask update.

    Args:
        step: The schedule's step it was due at.
        weights: The weights as they stand after it, those that it did not change included.
    """

    step: int
    weights: tuple[WeightSparsity, ...]

    @property
    def total(self) -> float:
        """Fraction of zeros over all pruned weights together."""
        return total_sparsity(self.weights)

    def metrics(self) -> dict[str, float]:
        """Return the event as flat metrics: sparsity/..., threshold/... and sparsity/total."""
        sparsities = {f"sparsity/{w.name}": w.sparsity for w in self.weights}
        thresholds = {f"threshold/{w.name}": w.threshold for w in self.weights}
        return {**sparsities, **thresholds, "sparsity/total": self.total}
