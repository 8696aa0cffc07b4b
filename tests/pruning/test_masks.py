"""Laws that every mask obeys, on the NumPy path and on the tensor path."""

from collections.abc import Callable
from typing import Any

import keras
import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pruneplug.pruning import masks, ranking

law = settings(deadline=None, max_examples=40)

PATHS = {"numpy": lambda x: x, "tensor": keras.ops.convert_to_tensor}
on_both_paths = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)

# Multiples of 1/64 up to 4: exact in float16, full of ties, and scaled without rounding.
TIED = st.integers(-256, 256).map(lambda value: value / 64)
ANY = st.floats(-1e3, 1e3, width=32, allow_subnormal=False)
DTYPES = (np.dtype(np.float32), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))

SPARSITY = st.floats(0, 1, exclude_max=True, width=32)
BLOCK = st.tuples(st.integers(1, 4), st.integers(1, 4))
POOLING = st.sampled_from(["AVG", "MAX"])


@st.composite
def weights(draw: st.DrawFn, axes: tuple[int, int] = (1, 4)) -> np.ndarray:
    shape = draw(hnp.array_shapes(min_dims=axes[0], max_dims=axes[1], max_side=6))
    values = draw(st.sampled_from([TIED, ANY]))
    dtype = draw(st.sampled_from(DTYPES))
    return draw(hnp.arrays(np.float32, shape, elements=values)).astype(dtype)


def topk(w: np.ndarray, sparsity: float, path: Callable[[Any], Any]) -> np.ndarray:
    kept = ranking.kept_count(w.size, sparsity)
    return np.asarray(masks.topk_mask(masks.magnitudes(path(w)), kept)[0])


def survivors(w: np.ndarray, kept: int) -> np.ndarray:
    """The definition: sort by magnitude, of equal ones the lowest flat index first."""
    order = np.argsort(-np.abs(w.astype(np.float64)).ravel(), kind="stable")
    mask = np.zeros(w.size, bool)
    mask[order[:kept]] = True
    return mask.reshape(w.shape)


@pytest.mark.parametrize(
    ("size", "sparsity", "kept"),
    [
        (5, 0.5, 2),
        (3, 0.5, 2),
        (7, 0.5, 4),
        (10, 0.25, 8),
        (10, 0.75, 2),
        (10, 0.200000018, 8),
        (100, 0.9999, 1),
        (1, 0.0, 1),
        (1, 0.99, 1),
        (2**24 + 3, 0.0, 2**24 + 3),
    ],
)
def test_kept_count_rounds_half_to_even_and_keeps_one(
    size: int, sparsity: float, kept: int
) -> None:
    assert ranking.kept_count(size, sparsity) == kept


@law
@given(size=st.integers(1, 2**31), one=SPARSITY, other=SPARSITY)
def test_kept_count_falls_with_sparsity(size: int, one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert 1 <= ranking.kept_count(size, high) <= ranking.kept_count(size, low) <= size
    # float32 holds every whole number up to 2**24.
    assert ranking.kept_count(size, 0.0) == size or size > 2**24


@on_both_paths
@law
@given(w=weights(), sparsity=SPARSITY)
def test_topk_keeps_the_largest_and_of_ties_the_lowest_index(
    path: Callable[[Any], Any], w: np.ndarray, sparsity: float
) -> None:
    kept = ranking.kept_count(w.size, sparsity)
    mask, threshold = masks.topk_mask(masks.magnitudes(path(w)), kept)
    np.testing.assert_array_equal(mask, survivors(w, kept))
    assert float(threshold) == np.abs(w.astype(np.float64))[np.asarray(mask)].min()


@on_both_paths
@law
@given(w=weights(), sparsity=SPARSITY)
def test_topk_keeps_exactly_as_many_as_asked(
    path: Callable[[Any], Any], w: np.ndarray, sparsity: float
) -> None:
    mask = topk(w, sparsity, path)
    assert mask.dtype == bool
    assert mask.shape == w.shape
    assert masks.count(path(mask)) == ranking.kept_count(w.size, sparsity)


@on_both_paths
@law
@given(w=weights(), sparsity=SPARSITY)
def test_topk_of_pruned_weights_is_the_same_mask(
    path: Callable[[Any], Any], w: np.ndarray, sparsity: float
) -> None:
    mask = topk(w, sparsity, path)
    pruned = np.where(mask, w, w.dtype.type(0))
    np.testing.assert_array_equal(topk(pruned, sparsity, path), mask)


@on_both_paths
@law
@given(w=weights(), sparsity=SPARSITY, power=st.integers(1, 4))
def test_topk_does_not_depend_on_scale(
    path: Callable[[Any], Any], w: np.ndarray, sparsity: float, power: int
) -> None:
    scaled = w * w.dtype.type(2**power)
    assume(np.isfinite(scaled.astype(np.float32)).all())
    np.testing.assert_array_equal(topk(scaled, sparsity, path), topk(w, sparsity, path))


@on_both_paths
@law
@given(w=weights(), one=SPARSITY, other=SPARSITY)
def test_topk_is_nested_in_sparsity(
    path: Callable[[Any], Any], w: np.ndarray, one: float, other: float
) -> None:
    low, high = sorted([one, other])
    assert not (topk(w, high, path) & ~topk(w, low, path)).any()


@on_both_paths
def test_topk_of_equal_weights_keeps_the_first(path: Callable[[Any], Any]) -> None:
    mask = topk(np.zeros((2, 3), np.float32), 0.5, path)
    np.testing.assert_array_equal(mask.ravel(), [True, True, True, False, False, False])


@on_both_paths
def test_worked_examples_of_each_mask(path: Callable[[Any], Any]) -> None:
    w = path(np.array([[3, 1, 2, 1, 1], [0, 1, 4, 1, 5], [1, 1, 2, 1, 6]], np.float32))
    mask, threshold = masks.topk_mask(w, 7)
    kept = [[1, 1, 1, 0, 0], [0, 0, 1, 0, 1], [0, 0, 1, 0, 1]]
    np.testing.assert_array_equal(mask, kept)
    assert float(threshold) == 1.0

    # As from a file: equal to the constants of the program, but not the same objects.
    names = [name.upper() for name in ("avg", "max")]
    means, largest = (masks.block_magnitudes(w, (2, 2), pooling) for pooling in names)
    np.testing.assert_array_equal(means, [[1.25, 2, 3], [1, 1.5, 6]])
    np.testing.assert_array_equal(largest, [[3, 4, 5], [1, 2, 6]])

    blocks = path(np.array([[True, False, True], [False, True, False]]))
    grown = masks.expand_blocks(blocks, (2, 2), (3, 5))
    np.testing.assert_array_equal(grown, [[1, 1, 0, 0, 1], [1, 1, 0, 0, 1], [0, 0, 1, 1, 0]])

    one_of_two = [[1, 1, 0, 1, 0], [0, 0, 1, 0, 1], [1, 1, 1, 1, 1]]
    np.testing.assert_array_equal(masks.m_by_n_mask(w, 1, 2), one_of_two)


@law
@given(w=weights(), sparsity=SPARSITY)
def test_topk_gives_the_same_bits_on_both_paths(w: np.ndarray, sparsity: float) -> None:
    kept = ranking.kept_count(w.size, sparsity)
    (host, at_host), (device, at_device) = (
        masks.topk_mask(masks.magnitudes(path(w)), kept) for path in PATHS.values()
    )
    np.testing.assert_array_equal(host, device)
    assert at_host.dtype == w.dtype
    assert keras.backend.standardize_dtype(at_device.dtype) == w.dtype.name
    assert float(at_host) == float(at_device)


@law
@given(w=weights(axes=(2, 2)), size=BLOCK, pooling=POOLING)
def test_blocks_pool_to_the_same_bits_on_both_paths(
    w: np.ndarray, size: tuple[int, int], pooling: str
) -> None:
    host, device = (
        masks.block_magnitudes(masks.magnitudes(path(w)), size, pooling) for path in PATHS.values()
    )
    assert host.dtype == w.dtype
    assert host.tobytes() == np.asarray(device).tobytes()


def _blocks(w: np.ndarray, size: tuple[int, int]) -> list[list[np.ndarray]]:
    """The blocks of a matrix, cut at its edges."""
    rows, columns = size
    return [
        [w[i : i + rows, j : j + columns] for j in range(0, w.shape[1], columns)]
        for i in range(0, w.shape[0], rows)
    ]


@on_both_paths
@pytest.mark.parametrize("pooling", ["AVG", "MAX"])
@law
@given(w=weights(axes=(2, 2)), size=BLOCK)
def test_a_block_is_judged_by_exactly_its_own_values(
    path: Callable[[Any], Any], pooling: str, w: np.ndarray, size: tuple[int, int]
) -> None:
    judge = np.mean if pooling == "AVG" else np.max
    expected = [[judge(np.abs(b.astype(np.float64))) for b in row] for row in _blocks(w, size)]
    pooled = np.asarray(masks.block_magnitudes(masks.magnitudes(path(w)), size, pooling))
    rounding = 0 if pooling == "MAX" else 8 * float(ml_dtypes.finfo(w.dtype).eps)
    np.testing.assert_allclose(pooled.astype(np.float64), expected, rtol=rounding, atol=1e-6)


@on_both_paths
@law
@given(mask=hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2)), size=BLOCK, data=st.data())
def test_expanded_masks_are_constant_over_blocks(
    path: Callable[[Any], Any], mask: np.ndarray, size: tuple[int, int], data: st.DataObject
) -> None:
    missing = [data.draw(st.integers(0, edge - 1)) for edge in size]
    shape = tuple(n * edge - less for n, edge, less in zip(mask.shape, size, missing, strict=True))
    expanded = np.asarray(masks.expand_blocks(path(mask), size, shape))
    assert expanded.shape == shape
    for row, expected_row in zip(_blocks(expanded, size), mask, strict=True):
        for block, expected in zip(row, expected_row, strict=True):
            assert (block == expected).all()


GROUP = st.integers(2, 5).flatmap(lambda n: st.tuples(st.integers(1, n - 1), st.just(n)))


@on_both_paths
@law
@given(w=weights(axes=(2, 4)), zeros_in=GROUP)
def test_every_group_of_n_holds_exactly_m_zeros(
    path: Callable[[Any], Any], w: np.ndarray, zeros_in: tuple[int, int]
) -> None:
    zeros, group = zeros_in
    mask = np.asarray(masks.m_by_n_mask(masks.magnitudes(path(w)), zeros, group))
    channels = np.moveaxis(mask, -2, 0)
    values = np.moveaxis(w, -2, 0)
    assert mask.shape == w.shape
    for start in range(0, len(channels), group):
        kept = channels[start : start + group].reshape(-1, channels[0].size)
        of = values[start : start + group].reshape(-1, channels[0].size)
        for column in range(kept.shape[1]):
            # A shorter group at the end is filled up with zeros, which go first.
            expected = survivors(of[:, column], min(group - zeros, len(of)))
            np.testing.assert_array_equal(kept[:, column], expected)


@on_both_paths
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@given(w=weights(), data=st.data())
@settings(deadline=None, max_examples=5)
def test_weights_that_are_not_finite_have_no_magnitude(
    path: Callable[[Any], Any], wrong: float, dtype: np.dtype, w: np.ndarray, data: st.DataObject
) -> None:
    w = w.astype(dtype)
    w.ravel()[data.draw(st.integers(0, w.size - 1))] = wrong
    with pytest.raises(FloatingPointError, match="must be finite"):
        masks.magnitudes(path(w))


@law
@given(
    w=weights(axes=(2, 2)) | weights(axes=(4, 4)),
    group=st.integers(2, 5),
    zeros=st.integers(1, 4),
    path=st.sampled_from([*PATHS.values()]),
)
def test_a_pattern_is_found_where_it_was_made(
    w: np.ndarray, group: int, zeros: int, path: Callable[[Any], Any]
) -> None:
    assume(zeros < group)
    w = np.where(w == 0, 1, w).astype(np.float32)
    mask = np.asarray(masks.m_by_n_mask(masks.magnitudes(w), zeros, group))
    pruned = w * mask
    assert masks.is_pruned_m_by_n(path(pruned), (zeros, group))
    assert masks.is_pruned_m_by_n(path(np.moveaxis(pruned, -2, -1)), (zeros, group), "C_IN")
    channels = w.shape[-2]
    if channels >= group:
        # One value more in a full group breaks it.
        first = np.argwhere(mask[..., :group, :] == 0)[0]
        pruned[tuple(first)] = 1
        assert not masks.is_pruned_m_by_n(path(pruned), (zeros, group))


@pytest.mark.parametrize(
    "arguments", [(np.ones(4),), (np.ones((2, 2, 2)),), (np.ones((4, 4)), (5, 4)),
                  (np.ones((4, 4)), (2, 4), "C")],
)  # fmt: skip
def test_a_pattern_is_looked_for_in_kernels_only(arguments: Any) -> None:
    with pytest.raises(ValueError, match="m-by-n sparsity must be looked for in weights with 2"):
        masks.is_pruned_m_by_n(*arguments)
