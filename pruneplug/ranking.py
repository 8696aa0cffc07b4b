"""How many survive, and where the line runs: what masks and allocations share, on NumPy alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
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


def bit_patterns(values: np.ndarray) -> np.ndarray:
    """Return floats as the unsigned integers of the same bits: a view, no copy.

    Non-negative floats are in the same order as their bits, and integers of every width are
    compared and sorted quickly, unlike float16 and bfloat16.
    """
    return values.view(f"u{values.itemsize}")


def kth_largest(arrays: Sequence[np.ndarray], k: int) -> Any:
    """Return the k-th largest of all values together (a scalar of their common dtype).

    Args:
        arrays: Non-negative values, each array of rank 1.
        k: From 1 to the number of values.
    """
    dtype = np.result_type(*{array.dtype for array in arrays})
    bits = [bit_patterns(array.astype(dtype, copy=False)) for array in arrays]
    found = _kth_in_bracket(bits, k) if sum(map(len, bits)) > CHUNK else None
    return (_kth_of_all(bits, k) if found is None else found).view(dtype)


def _kth_of_all(bits: Sequence[np.ndarray], k: int) -> Any:
    # np.partition takes a hundred times as long where half of the values are the same, and pruned
    # weights are zeros for the most part.
    nonzero = np.concatenate([b[b != 0] for b in bits])
    return _kth(nonzero, k) if k <= nonzero.size else nonzero.dtype.type(0)


def _kth(bits: np.ndarray, k: int) -> Any:
    return np.partition(bits, bits.size - k)[bits.size - k]


def _kth_in_bracket(bits: Sequence[np.ndarray], k: int) -> Any | None:
    """Return the k-th largest in one pass over all values, or None in the rare case of bad luck.

    The pass counts what is above a bracket around the value sought and collects what is inside;
    ranks say whether the value is in there. Floyd and Rivest, Expected time bounds for selection
    (1975), https://doi.org/10.1145/360680.360691
    """
    chunks = [b[start : start + CHUNK] for b in bits for start in range(0, b.size, CHUNK)]
    low, high = _bracket(chunks, k)
    above, inside = 0, []
    for chunk in chunks:
        upper = chunk >= high
        above += int(np.count_nonzero(upper))
        inside.append(chunk[np.flatnonzero((chunk > low) > upper)])  # twice as fast as the mask
    candidates, rank = np.concatenate(inside), k - above
    # Where many values are equal, an end of the bracket is that value: it is not inside.
    if rank < 1:
        return high if rank + _count_equal(chunks, high) >= 1 else None
    if rank > candidates.size:
        found = low < high and rank <= candidates.size + _count_equal(chunks, low)
        return low if found else None
    return _kth(candidates, rank)


def _bracket(chunks: Sequence[np.ndarray], k: int) -> tuple[Any, Any]:
    """Return two values with the k-th largest most likely between them, ends included."""
    size = sum(map(len, chunks))
    count = size // SAMPLED
    # A seed makes the sample the same in each run; a stride instead could be in step with a layer.
    random = np.random.default_rng(0)
    counts = random.multinomial(count, [chunk.size / size for chunk in chunks])
    drawn = zip(chunks, counts, strict=True)
    sample = np.sort(np.concatenate([c[random.integers(0, c.size, n)] for c, n in drawn]))
    # Ranks in a random sample stray by this standard deviation, in one of 2000 by more than 3.5.
    deviation = math.sqrt(count * (k / size) * (1 - k / size))
    middle, margin = count - k * count / size, 3.5 * deviation + 1
    low = sample[int(middle - margin)] if middle > margin else sample.dtype.type(0)
    high = sample[int(middle + margin)] if middle + margin < count else np.iinfo(low.dtype).max
    return low, high


def _count_equal(chunks: Sequence[np.ndarray], value: Any) -> int:
    return sum(int(np.count_nonzero(chunk == value)) for chunk in chunks)
