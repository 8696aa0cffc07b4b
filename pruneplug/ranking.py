"""How many survive, and where the line runs: what masks and allocations share, on NumPy alone."""

from __future__ import annotations

from typing import Any

import numpy as np


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


def kth_largest(flat: np.ndarray, k: int) -> Any:
    """Return the k-th largest of non-negative values (a scalar of the same dtype)."""
    # Non-negative floats sort like their bit patterns, and integers are partitioned quickly
    # in every width, bfloat16 included, which NumPy cannot sort.
    bits = flat.view(f"u{flat.itemsize}")
    return np.partition(bits, bits.size - k)[bits.size - k].view(flat.dtype)
