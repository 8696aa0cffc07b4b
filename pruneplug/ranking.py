"""How many survive, and where the line runs: what masks and allocations share, on NumPy alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

# How many values fit into a processor's cache together with what is computed from them.
CHUNK = 1 << 17

# One in so many values is looked at to guess where the line runs.
SAMPLED = 256


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


def magnitude_bits(values: np.ndarray) -> np.ndarray:
    """Return |values| of floats as the unsigned integers of the same bits: a copy.

    Non-negative floats are in the same order as their bits, and integers of every width are
    compared and sorted quickly, unlike float16 and bfloat16.
    """
    bits = values.view(f"u{values.itemsize}")
    return bits & (np.iinfo(bits.dtype).max >> 1)


def in_parts(flat: np.ndarray, backwards: bool = False) -> Iterator[tuple[int, np.ndarray]]:
    """Yield where each part of an array of rank 1 begins, and the bits of its magnitudes.

    No copy of all values is ever made, and each part is in the cache when it is looked at again.
    """
    starts = range(0, flat.size, CHUNK)
    for start in reversed(starts) if backwards else starts:
        yield start, magnitude_bits(flat[start : start + CHUNK])


def kth_largest(arrays: Sequence[np.ndarray], k: int) -> Any:
    """Return the k-th largest magnitude of all values together (a scalar of their common dtype).

    Args:
        arrays: Finite values, each array of rank 1.
        k: From 1 to the number of values.
    """
    dtype = np.result_type(*{array.dtype for array in arrays})
    values = [array.astype(dtype, copy=False) for array in arrays]
    found = _kth_in_bracket(values, k) if sum(map(len, values)) > CHUNK else None
    return (_kth_of_all(values, k) if found is None else found).view(dtype)


def count_above(flat: np.ndarray, magnitude: Any) -> tuple[int, int]:
    """Return how many of the values, of rank 1, have a larger magnitude, and how many this one."""
    values, bits = [flat.astype(magnitude.dtype, copy=False)], magnitude_bits(magnitude)
    return sum(_count(part > bits) for part in _parts(values)), _count_equal(values, bits)


def _count(condition: np.ndarray) -> int:
    return int(np.count_nonzero(condition))


def _kth_of_all(values: Sequence[np.ndarray], k: int) -> Any:
    # np.partition takes a hundred times as long where half of the values are the same, and pruned
    # weights are zeros for the most part.
    nonzero = np.concatenate([part[part != 0] for part in _parts(values)])
    return _kth(nonzero, k) if k <= nonzero.size else nonzero.dtype.type(0)


def _kth(bits: np.ndarray, k: int) -> Any:
    return np.partition(bits, bits.size - k)[bits.size - k]


def _kth_in_bracket(values: Sequence[np.ndarray], k: int) -> Any | None:
    """Return the k-th largest in one pass over all values, or None in the rare case of bad luck.

    The pass counts what is above a bracket around the value sought and collects what is inside;
    ranks say whether the value is in there. Floyd and Rivest, Expected time bounds for selection
    (1975), https://doi.org/10.1145/360680.360691
    """
    low, high = _bracket(values, k)
    above, inside = 0, []
    for part in _parts(values):
        upper = part >= high
        above += _count(upper)
        inside.append(part[np.flatnonzero((part > low) > upper)])  # twice as fast as the mask
    candidates, rank = np.concatenate(inside), k - above
    # Where many values are equal, an end of the bracket is that value: it is not inside.
    if rank < 1:
        return high if rank + _count_equal(values, high) >= 1 else None
    if rank > candidates.size:
        found = low < high and rank <= candidates.size + _count_equal(values, low)
        return low if found else None
    return _kth(candidates, rank)


def _bracket(values: Sequence[np.ndarray], k: int) -> tuple[Any, Any]:
    """Return two values with the k-th largest most likely between them, ends included."""
    size = sum(map(len, values))
    count = size // SAMPLED
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


def _count_equal(values: Sequence[np.ndarray], bits: Any) -> int:
    return sum(_count(part == bits) for part in _parts(values))


def _parts(values: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    return (part for array in values for _, part in in_parts(array))
