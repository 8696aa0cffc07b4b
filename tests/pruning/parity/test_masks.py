"""Masks and thresholds are TFMOT's, bit for bit, wherever magnitudes differ."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from oracle import reference_mask

from pruneplug.pruning import masks, patterns, ranking

CASES = 250
PATHS = {"numpy": lambda x: x, "tensor": keras.ops.convert_to_tensor}
RNG_SEED = 20240229


def _compare(weights: np.ndarray, sparsity: float, **kind: Any) -> None:
    """Compare one case, on both of our paths."""
    block_size, pooling = kind.get("block_size", (1, 1)), kind.get("pooling", "AVG")
    pattern = patterns.make_pattern(block_size, pooling, kind.get("m_by_n"))
    threshold, mask = reference_mask(weights, sparsity, **kind)
    for path in PATHS.values():
        scores = pattern.scores(path(weights))
        kept = ranking.kept_count(pattern.units(weights.shape), sparsity)
        our_mask, our_threshold = pattern.mask(scores, kept, weights.shape)
        np.testing.assert_array_equal(our_mask, mask)
        assert "m_by_n" in kind or float(our_threshold) == threshold


def _random(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Weights whose magnitudes all differ: TFMOT keeps every tie, which we do not."""
    size = int(np.prod(shape))
    # float16 has few values: of so many draws, enough differ.
    values = np.unique(np.abs(rng.standard_normal(8 * size + 8).astype(dtype)))
    magnitudes = rng.permutation(values)[:size].reshape(shape)
    return magnitudes * rng.choice(np.array([-1, 1], dtype), shape)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_unstructured(dtype: str, compared: Callable[[int], None]) -> None:
    rng = np.random.default_rng(RNG_SEED)
    for _ in range(CASES):
        weights = _random(rng, tuple(rng.integers(1, 6, rng.integers(1, 5))), dtype)
        _compare(weights, float(rng.choice([0.0, 0.25, 0.5, 0.75, 0.9999, rng.uniform()])))
    compared(CASES)


def _block_cases(rng: np.random.Generator) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Shapes and blocks, multiples and others, on which TFMOT's windows are not shifted."""
    while True:
        block = tuple(int(side) for side in rng.integers(1, 5, 2))
        shape = tuple(int(side) for side in rng.integers(2, 24, 2))
        blocks = [-(-n // side) for n, side in zip(shape, block, strict=True)]
        missing = [k * side - n for k, side, n in zip(blocks, block, shape, strict=True)]
        # SAME padding puts half of what is missing, rounded down, before the matrix; and TFMOT
        # crashes when a single row or column of blocks is left.
        if block != (1, 1) and max(missing) < 2 and min(blocks) > 1:
            yield shape, block


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("pooling", ["AVG", "MAX"])
def test_blocks(pooling: str, dtype: str, compared: Callable[[int], None]) -> None:
    rng = np.random.default_rng(RNG_SEED)
    cases = _block_cases(rng)
    count = 0
    while count < CASES // 2:
        shape, block = next(cases)
        weights = rng.standard_normal(shape).astype(dtype)
        pooled = masks.block_magnitudes(np.abs(weights), block, pooling)
        if len(np.unique(pooled)) == pooled.size:
            _compare(weights, float(rng.uniform()), block_size=block, pooling=pooling)
            count += 1
    compared(count)


@pytest.mark.parametrize("axes", [2, 4], ids=["Dense", "Conv2D"])
def test_m_by_n(axes: int, compared: Callable[[int], None]) -> None:
    rng = np.random.default_rng(RNG_SEED)
    for _ in range(CASES // 2):
        group = int(rng.integers(2, 7))
        weights = _random(rng, tuple(rng.integers(1, 9, axes)), "float32")
        _compare(weights, 0.5, m_by_n=(int(rng.integers(1, group)), group))
    compared(CASES // 2)


def test_kept_counts(compared: Callable[[int], None]) -> None:
    rng = np.random.default_rng(RNG_SEED)
    sizes = rng.integers(1, 5000, CASES)
    for size, sparsity in zip(sizes, rng.uniform(size=CASES).round(3), strict=True):
        weights = np.arange(1, size + 1, dtype=np.float32)
        mask = reference_mask(weights, float(sparsity))[1]
        assert ranking.kept_count(int(size), float(sparsity)) == np.count_nonzero(mask)
    compared(CASES)
