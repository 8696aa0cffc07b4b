"""How much of each weight is kept, so that all of them together hit the target.

Pure functions of names, shapes and magnitudes. Counts are in units of decision: single values, or
blocks where blocks are pruned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any, Self

import numpy as np

from pruneplug.pruning.ranking import kept_count, shares_of_largest


@dataclass(frozen=True)
class Prunable:
    """What an allocation knows of a weight.

    Args:
        name: "<layer>/<weight>".
        shape: Its shape.
        units: How many values, or blocks of values, are decided on.
    """

    name: str
    shape: tuple[int, ...]
    units: int


# Gives values (float, flat or not) of the weight at an index: it is their magnitudes that count.
# Only global allocation asks.
Scores = Callable[[int], np.ndarray]


@dataclass(frozen=True)
class Allocation:
    """How a total is shared out. Overrides go first; the other weights share what is left.

    Args:
        overrides: Final sparsity, in [0, 1), by weight name, layer name, or pattern of either
            (`{"conv*": 0.9, "head": 0.0}`); the first that matches counts. Layers themselves may
            be keys. While a schedule is under way, overrides follow it in proportion.

    Raises:
        ValueError: An override is not in [0, 1).
    """

    overrides: Mapping[Any, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = {getattr(key, "name", key): value for key, value in self.overrides.items()}
        if len(named) < len(self.overrides):
            raise ValueError(
                "Overrides must be of layers with different names; got overrides="
                f"{dict(self.overrides)!r}. Write the names that sparsity_report gives them."
            )
        for name, value in named.items():
            if not 0.0 <= value < 1.0:
                raise ValueError(f"An override must be in [0, 1); got overrides[{name!r}]={value}.")
        object.__setattr__(self, "overrides", named)

    def __hash__(self) -> int:
        return hash((type(self), tuple(self.overrides.items())))

    def kept(
        self, weights: Sequence[Prunable], sparsity: float, progress: float, scores: Scores
    ) -> list[int]:
        """Return how many units of each weight survive.

        Args:
            weights: The weights that share the total.
            sparsity: The total's fraction of zeros at this step, in [0, 1).
            progress: `sparsity` as a part of the schedule's final sparsity, in [0, 1].
            scores: Values of the weight at an index, one for each unit, of any sign.

        Raises:
            ValueError: The total cannot be met with these overrides.
        """
        kept = self._fixed(weights, progress)
        free = [i for i in range(len(weights)) if i not in kept]
        if free:
            total = self.total(weights, sparsity, progress)
            left = self._left(total - sum(kept.values()), [weights[i] for i in free], sparsity)
            shares = self.share([weights[i] for i in free], left, lambda j: scores(free[j]))
            kept.update(zip(free, shares, strict=True))
        return [kept[i] for i in range(len(weights))]

    def check_names(self, names: Sequence[str]) -> None:
        """Raise ValueError when an override is of no weight among these."""
        for pattern in self.overrides:
            if not any(_matches(pattern, name) for name in names):
                raise ValueError(
                    f"allocation.overrides must name pruned layers or weights; got {pattern!r}, "
                    f"and the weights are {', '.join(names)}."
                )

    def check_room(self, weights: Sequence[Prunable], sparsity: float) -> None:
        """Raise ValueError when the overrides leave no room for a total's final sparsity."""
        fixed = self._fixed(weights, 1.0)
        if 0 < len(fixed) < len(weights):
            free = [weight for i, weight in enumerate(weights) if i not in fixed]
            total = self.total(weights, sparsity, 1.0)
            self._left(total - sum(fixed.values()), free, sparsity)

    def total(self, weights: Sequence[Prunable], sparsity: float, progress: float) -> int:
        """Return how many units of all weights together survive; arguments as of `kept`."""
        fixed = self._fixed(weights, progress)
        if len(fixed) == len(weights):
            return sum(fixed.values())
        return kept_count(sum(weight.units for weight in weights), sparsity)

    def share(self, weights: Sequence[Prunable], total: int, scores: Scores) -> list[int]:
        """Share `total` units out among weights; each gets at least 1 and at most all it has."""
        raise NotImplementedError

    def _fixed(self, weights: Sequence[Prunable], progress: float) -> dict[int, int]:
        """Return how many units survive of each weight, by its index, that has an override."""
        overrides = [self._override(weight.name) for weight in weights]
        return {
            i: kept_count(weights[i].units, override * progress)
            for i, override in enumerate(overrides)
            if override is not None
        }

    def _override(self, name: str) -> float | None:
        matching = (o for pattern, o in self.overrides.items() if _matches(pattern, name))
        return next(matching, None)

    def _left(self, left: int, free: Sequence[Prunable], sparsity: float) -> int:
        most = sum(weight.units for weight in free)
        if len(free) <= left <= most:
            return left
        raise ValueError(
            f"Overrides must leave room for the total; got a total sparsity of {sparsity:.4f} with "
            f"overrides={dict(self.overrides)}, which leaves {left} values to keep in the other "
            f"weights, and they have {most}. Change the overrides or the total."
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {f.name: dict(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Rebuild an allocation from `get_config`'s answer."""
        return cls(**config)


@dataclass(frozen=True)
class UniformAllocation(Allocation):
    """The same sparsity for every weight, as in TFMOT."""

    __hash__ = Allocation.__hash__

    def kept(
        self, weights: Sequence[Prunable], sparsity: float, progress: float, scores: Scores
    ) -> list[int]:
        """Return `kept_count` of each weight on its own when nothing is overridden."""
        if not self.overrides:
            return [kept_count(weight.units, sparsity) for weight in weights]
        return super().kept(weights, sparsity, progress, scores)

    def share(self, weights: Sequence[Prunable], total: int, scores: Scores) -> list[int]:
        """Share in proportion to size."""
        return _apportion([weight.units for weight in weights], [1.0] * len(weights), total)


@dataclass(frozen=True)
class ERKAllocation(Allocation):
    """Larger weights are pruned more: density is proportional to (d1 + ... + dk) / (d1 ... dk).

    A weight whose density would exceed 1 is kept whole, and the others make up for it.

    Reference:
        Evci et al., Rigging the Lottery (2020), https://arxiv.org/abs/1911.11134 (Erdős-Rényi
        kernel, after Mocanu et al. 2018)
    """

    __hash__ = Allocation.__hash__

    def share(self, weights: Sequence[Prunable], total: int, scores: Scores) -> list[int]:
        """Share in proportion to the sum of a weight's dimensions."""
        densities = [sum(weight.shape) / float(np.prod(weight.shape)) for weight in weights]
        return _apportion([weight.units for weight in weights], densities, total)


@dataclass(frozen=True)
class GlobalAllocation(Allocation):
    """One threshold over all weights: the largest magnitudes of the model survive.

    Reference:
        Blalock et al., What is the State of Neural Network Pruning? (2020),
        https://arxiv.org/abs/2003.03033 (global magnitude pruning)
    """

    __hash__ = Allocation.__hash__

    def share(self, weights: Sequence[Prunable], total: int, scores: Scores) -> list[int]:
        """Count what of each weight lies above the common threshold; ties go to the first."""
        values = [np.ravel(scores(i)) for i in range(len(weights))]
        return _at_least_one(shares_of_largest(values, total))


def _matches(pattern: str, name: str) -> bool:
    """Return whether a pattern is of a weight, or of its layer."""
    return fnmatchcase(name, pattern) or fnmatchcase(name.split("/")[0], pattern)


def _at_least_one(counts: list[int]) -> list[int]:
    """Give weights that would vanish one unit, taken from the largest counts."""
    counts = list(counts)
    for i, count in enumerate(counts):
        if count == 0:
            counts[counts.index(max(counts))] -= 1
            counts[i] = 1
    return counts


def _apportion(units: Sequence[int], densities: Sequence[float], total: int) -> list[int]:
    """Keep about scale * density of each, whole numbers that sum to exactly `total`."""
    units_, densities_ = np.asarray(units, "float64"), np.asarray(densities, "float64")
    full = np.zeros(len(units), bool)
    while True:
        scale = (total - units_[full].sum()) / (units_ * densities_)[~full].sum()
        over = ~full & (scale * densities_ >= 1.0)
        if not over.any() or (full | over).all():
            break
        full |= over
    ideal = np.where(full, units_, np.minimum(scale * densities_ * units_, units_))
    counts = np.clip(np.floor(ideal).astype(int), 1, np.asarray(units))
    return _settle(counts, ideal, np.asarray(units), total)


def _settle(counts: np.ndarray, ideal: np.ndarray, units: np.ndarray, total: int) -> list[int]:
    """Move counts one by one, the furthest from its ideal first, until they sum to `total`."""
    while (missing := total - int(counts.sum())) != 0:
        step = 1 if missing > 0 else -1
        movable = counts < units if missing > 0 else counts > 1
        behind = np.where(movable, step * (ideal - counts), -np.inf)
        counts[int(np.argmax(behind))] += step
    return [int(count) for count in counts]


BUILT_IN = (UniformAllocation, ERKAllocation, GlobalAllocation)
