"""How many survive, and which: what masks and allocations share, on NumPy alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# How many values fit into a processor's cache together with what is computed from them.
CHUNK = 1 << 18
# Up to so many values are partitioned at once: it takes less time than a sample and a pass.
FEW = 1 << 14


def kept_count(size: int, sparsity: float) -> int:
    """Return how many of `size` weights survive: max(round(size * (1 - sparsity)), 1).

    Computed in float32 and rounded half to even, as in the reference.

    Args:
        size: Number of weights (or of blocks).
        sparsity: Fraction of zeros, in [0, 1).
    """
    density = np.float32(1.0) - np.float32(sparsity)
    # float32 cannot hold every count above 2**24: rounding up must not exceed the size.
    return min(max(int(np.rint(np.float32(size) * density)), 1), size)


def magnitude_bits(values: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return |values| of floats as the unsigned integers of the same bits: a copy.

    Non-negative floats are in the same order as their bits, and integers of every width are
    compared and sorted quickly, unlike float16 and bfloat16.
    """
    bits: np.ndarray = values.view(f"u{values.itemsize}")
    magnitudes: np.ndarray = np.bitwise_and(bits, np.iinfo(bits.dtype).max >> 1, out=out)
    return magnitudes


def check_finite(flat: np.ndarray) -> None:
    """Raise FloatingPointError for NaN and infinity: no order, and so no mask, exists then."""
    for _, bits in _in_parts(flat):
        _check_largest(bits.max(), flat.dtype)


def largest(flat: np.ndarray, k: int) -> tuple[np.ndarray, Any]:
    """Find the k largest magnitudes; of equal ones, the first.

    Args:
        flat: Values of any sign, of rank 1.
        k: From 1 to the number of values.

    Returns:
        Where they are (boolean, exactly k of it True), and the threshold: the smallest of them
        (a scalar).

    Raises:
        FloatingPointError: A value is NaN or infinite.
    """
    threshold, (split,) = _search([flat], k)
    return split.take(threshold, k), threshold.view(flat.dtype)


def shares_of_largest(arrays: Sequence[np.ndarray], k: int) -> list[int]:
    """Return how many of the k largest magnitudes of all arrays are in each; ties go to the first.

    Args:
        arrays: Values of any sign, each array of rank 1.
        k: From 1 to the number of values.

    Raises:
        FloatingPointError: A value is NaN or infinite.
    """
    dtype = np.result_type(*{array.dtype for array in arrays})
    threshold, splits = _search([array.astype(dtype, copy=False) for array in arrays], k)
    counts = [split.count_from(threshold) for split in splits]
    left = k - sum(above for above, _ in counts)
    shares = []
    for above, tied in counts:
        taken = min(tied, left)
        left -= taken
        shares.append(above + taken)
    return shares


@dataclass
class _Split:
    """An array's values apart: those certainly above the threshold, and those near it.

    Args:
        near: The values near it, or the bits of their magnitudes.
        positions: Of these in the array, in its order; None for the array itself.
        above: Boolean, where the array's other values exceed all of these; None for nowhere.
        count: How many values are above.
    """

    near: np.ndarray
    positions: np.ndarray | None = None
    above: np.ndarray | None = None
    count: int = 0

    def count_from(self, threshold: Any) -> tuple[int, int]:
        """Return how many values are larger than the bits `threshold`, and how many equal."""
        larger = sum(_count(bits > threshold) for _, bits in _in_parts(self.near))
        return self.count + larger, _count_equal([self.near], threshold)

    def take(self, threshold: Any, k: int) -> np.ndarray:
        """Return where the k values from the bits `threshold` on are, in the memory of `above`."""
        mask = _first_from(self.near, threshold, k - self.count)
        if self.positions is None or self.above is None:
            return mask
        self.above[self.positions[mask]] = True
        return self.above


def _search(values: Sequence[np.ndarray], k: int) -> tuple[Any, list[_Split]]:
    """Return the bits of the k-th largest magnitude of all, and the arrays split around it.

    Floyd and Rivest, Expected time bounds for selection (1975),
    https://doi.org/10.1145/360680.360691
    """
    whole = [_Split(array) for array in values]
    size = sum(map(len, values))
    if size <= FEW:
        for array in values:
            check_finite(array)
        return _kth_of_all(values, k), whole
    low, high = _bracket(values, k)
    splits = [_split(array, low, high) for array in values]
    near = np.concatenate([split.near for split in splits])
    rank = k - sum(split.count for split in splits)
    if 1 <= rank <= near.size:
        return _kth(near, rank), splits
    threshold = _end_of_bracket(values, low, high, rank, near.size)
    return _kth_of_all(values, k) if threshold is None else threshold, whole


def _split(flat: np.ndarray, low: Any, high: Any) -> _Split:
    """Compare an array with a bracket in one pass: what is above it, and what is inside.

    Raises:
        FloatingPointError: A value is NaN or infinite.
    """
    above = np.empty(flat.size, bool)
    positions, near = [np.empty(0, int)], [np.empty(0, low.dtype)]
    # Memory that is used again stays in the cache.
    part = min(CHUNK, flat.size)
    scratch, inside = np.empty(part, low.dtype), np.empty(part, bool)
    for start, bits in _in_parts(flat, scratch):
        _check_largest(bits.max(), flat.dtype)
        upper, within = above[start : start + bits.size], inside[: bits.size]
        np.greater_equal(bits, high, out=upper)
        np.greater(bits, low, out=within)
        np.greater(within, upper, out=within)  # of two conditions: the first and not the second
        found = np.flatnonzero(within)  # twice as fast as by the mask
        positions.append(found + start)
        near.append(bits[found])
    return _Split(np.concatenate(near), np.concatenate(positions), above, _count(above))


def _end_of_bracket(
    values: Sequence[np.ndarray], low: Any, high: Any, rank: int, inside: int
) -> Any | None:
    """Return the end of the bracket that the value is, or None in the rare case of bad luck."""
    # Where many values are equal, an end of the bracket is that value: it is not inside.
    if rank < 1:
        return high if rank + _count_equal(values, high) >= 1 else None
    found = low < high and rank <= inside + _count_equal(values, low)
    return low if found else None


def _sample_size(size: int) -> int:
    # What to sort and what then lies in the bracket grow alike, as Floyd and Rivest advise.
    return int(size ** (2 / 3) / 2)


def _bracket(values: Sequence[np.ndarray], k: int) -> tuple[Any, Any]:
    """Return two values with the k-th largest most likely between them, ends included."""
    size = sum(map(len, values))
    count = _sample_size(size)
    # A seed makes the sample the same in each run; a stride instead could be in step with a layer.
    random = np.random.default_rng(0)
    counts = random.multinomial(count, [array.size / size for array in values])
    drawn = zip(values, counts, strict=True)
    taken = [array[random.integers(0, array.size, n)] for array, n in drawn]
    sample = np.sort(magnitude_bits(np.concatenate(taken)))
    # Ranks in a random sample stray by this standard deviation, in one of 2000 by more than 3.5.
    deviation = math.sqrt(count * (k / size) * (1 - k / size))
    middle, margin = count - k * count / size, 3.5 * deviation + 1
    low = sample[int(middle - margin)] if middle > margin else sample.dtype.type(0)
    high = sample[int(middle + margin)] if middle + margin < count else np.iinfo(low.dtype).max
    return low, high


def _kth_of_all(values: Sequence[np.ndarray], k: int) -> Any:
    # np.partition takes a hundred times as long where half of the values are the same, and pruned
    # weights are zeros for the most part.
    nonzero = np.concatenate([bits[bits != 0] for a in values for _, bits in _in_parts(a)])
    return _kth(nonzero, k) if k <= nonzero.size else nonzero.dtype.type(0)


def _kth(bits: np.ndarray, k: int) -> Any:
    return np.partition(bits, bits.size - k)[bits.size - k]


def _first_from(flat: np.ndarray, threshold: Any, kept: int) -> np.ndarray:
    """Return where the bits of magnitudes reach `threshold`; of equal ones, as many as to keep."""
    mask = np.empty(flat.size, bool)
    for start, bits in _in_parts(flat):
        np.greater_equal(bits, threshold, out=mask[start : start + bits.size])
    surplus = _count(mask) - kept
    # From the end, as the first of equal ones survive, and in parts: most may be equal.
    for start, bits in _in_parts(flat, backwards=True):
        if not surplus:
            break
        tied = np.flatnonzero(bits == threshold)[-surplus:]
        mask[start + tied] = False
        surplus -= tied.size
    return mask


def _in_parts(
    flat: np.ndarray, out: np.ndarray | None = None, backwards: bool = False
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield where each part of an array of rank 1 begins, and the bits of its magnitudes.

    No copy of all values is ever made, and each part is in the cache when it is looked at again.
    Parts in the memory `out` last until the next one.
    """
    starts = range(0, flat.size, CHUNK)
    for start in reversed(starts) if backwards else starts:
        part = flat[start : start + CHUNK]
        yield start, magnitude_bits(part, None if out is None else out[: part.size])


def _count(condition: np.ndarray) -> int:
    return int(np.count_nonzero(condition))


def _count_equal(values: Sequence[np.ndarray], bits: Any) -> int:
    return sum(_count(part == bits) for array in values for _, part in _in_parts(array))


def _check_largest(bits: Any, dtype: np.dtype) -> None:
    # NaN and infinity have the largest bits, so the maximum finds either.
    if not math.isfinite(bits.view(dtype)):
        raise FloatingPointError("weights must be finite to be pruned; got NaN or infinity.")
