"""The shape of sparsity: which weights are kept or pruned together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from numbers import Integral
from typing import Any, Protocol, Self

import numpy as np

from pruneplug.pruning import masks
from pruneplug.pruning.masks import Array

POOLING = ("AVG", "MAX")


class Pattern(Protocol):
    """What is decided on, by which magnitude, and what follows for the weights."""

    def check(self, shape: Sequence[int], name: str) -> None:
        """Raise ValueError when a weight of this shape cannot be pruned in this pattern."""

    def units(self, shape: Sequence[int]) -> int:
        """Return how many decisions a weight of this shape takes."""

    def scores(self, weights: Array) -> Array:
        """Return a value for each unit, whose magnitude is what counts.

        Raises:
            FloatingPointError: A weight is NaN or infinite, unless that is left to `mask`.
        """

    def mask(self, scores: Array, kept: int, shape: Sequence[int]) -> tuple[Array, Array | float]:
        """Return the mask that keeps `kept` units (boolean, of `shape`) and the threshold.

        Raises:
            FloatingPointError: A score is NaN or infinite.
        """


@dataclass(frozen=True)
class Unstructured:
    """Every weight on its own."""

    def check(self, shape: Sequence[int], name: str) -> None:
        """Accept any shape."""

    def units(self, shape: Sequence[int]) -> int:
        """Return the number of values."""
        return math.prod(shape)

    def scores(self, weights: Array) -> Array:
        """Return the weights themselves, for which no copy is made."""
        return weights

    def mask(self, scores: Array, kept: int, shape: Sequence[int]) -> tuple[Array, Array | float]:
        """Keep the largest magnitudes."""
        return masks.topk_mask(scores, kept)


@dataclass(frozen=True)
class Block:
    """Whole blocks of a matrix, judged by the mean or the largest of their magnitudes.

    Args:
        size: Rows and columns of a block.
        pooling: "AVG" or "MAX".

    Raises:
        ValueError: The size is not two whole numbers of at least 1, or the pooling is unknown.

    Reference:
        Narang et al., Block-Sparse Recurrent Neural Networks (2017),
        https://arxiv.org/abs/1711.02782
    """

    size: tuple[int, int]
    pooling: str = "AVG"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", whole_pair(self.size, "block_size"))
        if min(self.size) < 1:
            raise ValueError(f"block_size must be at least (1, 1); got block_size={self.size}.")
        check_pooling(self.pooling)

    def check(self, shape: Sequence[int], name: str) -> None:
        """Accept matrices only."""
        if len(shape) != 2:
            raise ValueError(
                f"Block sparsity must be used on weights with 2 axes; got {name} of shape "
                f"{tuple(shape)} with block_size={self.size}. Prune this layer with "
                "block_size=(1, 1), or leave it out with a pruning policy."
            )

    def units(self, shape: Sequence[int]) -> int:
        """Return the number of blocks, those cut off at the edge included."""
        return math.prod(-(-length // side) for length, side in zip(shape, self.size, strict=True))

    def scores(self, weights: Array) -> Array:
        """Return the pooled magnitude of each block."""
        return masks.block_magnitudes(masks.magnitudes(weights), self.size, self.pooling)

    def mask(self, scores: Array, kept: int, shape: Sequence[int]) -> tuple[Array, Array | float]:
        """Keep the largest blocks."""
        block_mask, threshold = masks.topk_mask(scores, kept)
        return masks.expand_blocks(block_mask, self.size, shape), threshold


@dataclass(frozen=True)
class MByN:
    """`zeros` of every `group` consecutive values along the input channels are zero.

    Args:
        zeros: How many of a group are pruned, at least 1 and below `group`.
        group: How many consecutive values make a group.
        scheduled: Update masks when the schedule says, and let the zeros of a group grow with its
            sparsity up to `zeros`; by default they are computed once, at step 1, as in TFMOT.

    Raises:
        ValueError: The numbers are out of their range.

    Reference:
        Mishra et al., Accelerating Sparse Deep Neural Networks (2021),
        https://arxiv.org/abs/2104.08378
    """

    zeros: int
    group: int
    scheduled: bool = False

    def __post_init__(self) -> None:
        zeros, group = whole_pair((self.zeros, self.group), "sparsity_m_by_n")
        object.__setattr__(self, "zeros", zeros)
        object.__setattr__(self, "group", group)
        if not 1 <= self.zeros < self.group:
            raise ValueError(
                "sparsity_m_by_n must be (m, n) with 1 <= m < n, m zeros in every n values; "
                f"got sparsity_m_by_n={(self.zeros, self.group)}."
            )

    def check(self, shape: Sequence[int], name: str) -> None:
        """Accept matrices (Dense) and kernels with 4 axes (Conv2D)."""
        if len(shape) not in (2, 4):
            raise ValueError(
                f"m-by-n sparsity must be used on weights with 2 or 4 axes; got {name} of shape "
                f"{tuple(shape)} with sparsity_m_by_n={(self.zeros, self.group)}. Leave this "
                "layer out with a pruning policy."
            )

    def units(self, shape: Sequence[int]) -> int:
        """Return the number of values."""
        return math.prod(shape)

    def scores(self, weights: Array) -> Array:
        """Return |weights|."""
        return masks.magnitudes(weights)

    def mask(self, scores: Array, kept: int, shape: Sequence[int]) -> tuple[Array, Array | float]:
        """Keep the largest of each group; there is no threshold.

        `kept` counts only when the pattern is scheduled: the sparsity it stands for is rounded to
        whole zeros of a group.
        """
        return masks.m_by_n_mask(scores, self.zeros_for(kept, shape), self.group), 0.0

    def zeros_for(self, kept: int, shape: Sequence[int]) -> int:
        """Return how many zeros of a group a mask has that is asked to keep `kept` values."""
        if not self.scheduled:
            return self.zeros
        return min(round(self.group * (1.0 - kept / self.units(shape))), self.zeros)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Rebuild a pattern from `get_config`'s answer."""
        return cls(**config)


def make_pattern(
    block_size: Sequence[int] = (1, 1),
    block_pooling_type: str = "AVG",
    sparsity_m_by_n: Sequence[int] | MByN | None = None,
) -> Pattern:
    """Turn TFMOT's three arguments into a pattern; m-by-n wins over a block.

    Raises:
        ValueError: An argument is out of its range.
    """
    check_pooling(block_pooling_type)
    block = Block(whole_pair(block_size, "block_size"), block_pooling_type)
    if isinstance(sparsity_m_by_n, MByN):
        return sparsity_m_by_n
    if sparsity_m_by_n is not None:
        return MByN(*whole_pair(sparsity_m_by_n, "sparsity_m_by_n"))
    return Unstructured() if block.size == (1, 1) else block


def check_pooling(pooling: str) -> None:
    """Raise ValueError unless `pooling` is "AVG" or "MAX"."""
    if pooling not in POOLING:
        raise ValueError(
            f"block_pooling_type must be one of {POOLING}; got block_pooling_type={pooling!r}."
        )


def whole_pair(value: Any, name: str) -> tuple[int, int]:
    """Return two whole numbers, NumPy's among them, as Python's.

    Raises:
        ValueError: They are none.
    """
    pair = tuple(value) if isinstance(value, Sequence | np.ndarray) else ()
    whole = [isinstance(number, Integral) and not isinstance(number, bool) for number in pair]
    if whole != [True, True]:
        raise ValueError(f"{name} must be two whole numbers; got {name}={value!r}.")
    return int(pair[0]), int(pair[1])
