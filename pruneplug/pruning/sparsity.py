"""What weights are called, and how sparse they are, as plain records."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


def join_names(*names: str) -> str:
    """Return the path that names make; an empty one adds nothing to it."""
    return "/".join(filter(None, names))


def is_within(name: str, paths: Iterable[str]) -> bool:
    """Return whether a name is one of these paths or lies below one."""
    return any(not path or name == path or name.startswith(f"{path}/") for path in paths)


def unique_names(names: Sequence[str]) -> list[str]:
    """Give names that come again a number, and never the name of another.

    Example:
        >>> unique_names(["a", "a", "a_1", "b"])
        ['a', 'a_2', 'a_1', 'b']
    """
    taken = set(names)
    unique: dict[str, None] = {}
    for name in names:
        if name in unique:
            name = next(new for i in itertools.count(1) if (new := f"{name}_{i}") not in taken)
            taken.add(name)
        unique[name] = None
    return list(unique)


@dataclass(frozen=True)
class WeightSparsity:
    """How sparse one weight is.

    Args:
        name: "<layer>/<weight>".
        shape: Its shape.
        target: The sparsity its schedule asked for, in [0, 1); 0 where no schedule asks, as in a
            dense or stripped model.
        sparsity: Its fraction of zeros, in [0, 1].
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
