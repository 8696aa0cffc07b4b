"""The largest of any values are those that sorting finds."""

from collections.abc import Callable
from itertools import combinations_with_replacement

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pruneplug.pruning import ranking

DTYPES = [np.dtype(d) for d in (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)]
LARGE = 4 * ranking.CHUNK + 321

# The hard cases of a selection, from uniform numbers.
SHAPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "normal": lambda u: np.sqrt(-2 * np.log1p(-u)) * np.cos(u[::-1] * np.pi / 2),
    "equal": lambda u: np.full_like(u, 0.3),
    "few values": lambda u: np.floor(4 * u) / 2,
    "sorted": np.sort,
    "reversed": lambda u: -np.sort(-u),
    "periodic": lambda u: np.resize(u[:16], u.shape),
    "outliers": lambda u: np.where(np.arange(u.size) % 256, u, 4.0),
    "pruned": lambda u: np.where(u < 0.85, 0.0, u),
    "zeros": np.zeros_like,
    "one of many": lambda u: np.where(np.arange(u.size) == u.size // 2, 1.0, 0.0),
    "denormal": lambda u: u * 1e-40,
}


def values(shape: str, size: int, dtype: np.dtype, seed: int = 0) -> np.ndarray:
    """Return values of both signs; a half of the zeros, too, are negative."""
    random = np.random.default_rng(seed)
    return (SHAPES[shape](random.random(size)) * random.choice([-1, 1], size)).astype(dtype)


def by_sorting(flat: np.ndarray, k: int) -> bytes:
    return bytes(np.sort(ranking.magnitude_bits(flat))[flat.size - k].tobytes())


def in_order(flat: np.ndarray) -> np.ndarray:
    """Return where the values are, the largest magnitude first and the first of equal ones."""
    return np.argsort(-ranking.magnitude_bits(flat).astype(np.int64), kind="stable")


def first_of(order: np.ndarray, k: int) -> np.ndarray:
    mask = np.zeros(order.size, bool)
    mask[order[:k]] = True
    return mask


@pytest.mark.parametrize("shape", SHAPES)
@given(data=st.data(), size=st.integers(1, 2000), dtype=st.sampled_from(DTYPES))
@settings(deadline=None, max_examples=60)
def test_finds_what_sorting_finds(
    shape: str, data: st.DataObject, size: int, dtype: np.dtype
) -> None:
    flat = values(shape, size, dtype, seed=data.draw(st.integers(0, 9)))
    k = data.draw(st.one_of(st.sampled_from([1, size]), st.integers(1, size)))
    cuts = sorted(data.draw(st.lists(st.integers(0, size), max_size=3)))
    with pytest.MonkeyPatch.context() as patch:
        # Small chunks and samples: brackets that miss are common, and must do no harm.
        patch.setattr(ranking, "CHUNK", data.draw(st.sampled_from([1, 50, 10_000])))
        patch.setattr(ranking, "FEW", data.draw(st.sampled_from([1, 50, 10_000])))
        one_in = data.draw(st.sampled_from([1, 4, 50]))
        patch.setattr(ranking, "_sample_size", lambda size: size // one_in)
        mask, least = ranking.largest(flat, k)
        shares = ranking.shares_of_largest(np.split(flat, cuts), k)
    assert least.dtype == dtype
    assert least.tobytes() == by_sorting(flat, k)
    expected = first_of(in_order(flat), k)
    np.testing.assert_array_equal(mask, expected)
    assert shares == [part.sum() for part in np.split(expected, cuts)]


def test_a_bracket_holds_the_value_or_says_that_it_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flat = np.array([3, 0, -2, 5, 2, -0.0, -8, 3, 2, 0, -5], np.float32)
    bits = ranking.magnitude_bits(flat)
    monkeypatch.setattr(ranking, "CHUNK", 4)
    monkeypatch.setattr(ranking, "FEW", 4)
    ends = [*np.unique(bits), np.uint32(2**32 - 1)]
    everything, order = [], in_order(flat)
    monkeypatch.setattr(
        ranking, "_kth_of_all", lambda values, k: everything.append(k) or np.sort(bits)[-k]
    )
    for bracket in combinations_with_replacement(ends, 2):
        monkeypatch.setattr(ranking, "_bracket", lambda values, k, bracket=bracket: bracket)
        for k, value in enumerate(np.sort(bits)[::-1], 1):
            everything.clear()
            np.testing.assert_array_equal(ranking.largest(flat, k)[0], first_of(order, k))
            inside = bracket[0] <= value <= bracket[1]
            assert everything == ([] if inside else [k])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_large_arrays_are_never_partitioned_whole(
    shape: str, dtype: np.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat = values(shape, LARGE, dtype)
    order = in_order(flat)
    monkeypatch.setattr(ranking, "_kth_of_all", None)
    for k in (1, LARGE // 10, LARGE // 5, LARGE // 2, LARGE - 1, LARGE):
        mask, least = ranking.largest(flat, k)
        expected = first_of(order, k)
        assert least == abs(flat[order[k - 1]])
        np.testing.assert_array_equal(mask, expected)
        shares = ranking.shares_of_largest(np.split(flat, [LARGE // 3, LARGE // 2]), k)
        assert shares == [p.sum() for p in np.split(expected, [LARGE // 3, LARGE // 2])]


@pytest.fixture
def partitioned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many values each partition was given."""
    sizes, kth = [], ranking._kth
    monkeypatch.setattr(ranking, "_kth", lambda bits, k: sizes.append(bits.size) or kth(bits, k))
    return sizes


@pytest.mark.parametrize(
    ("k", "most"),
    [(1, 0.01), (LARGE // 5, 0.05), (LARGE // 2, 0.06), (LARGE - 1000, 0.01), (LARGE, 0.01)],
)
def test_only_a_bracket_of_many_values_is_partitioned(
    k: int, most: float, partitioned: list[int]
) -> None:
    ranking.largest(values("normal", LARGE, np.dtype(np.float32)), k)
    # Of a sample of 1/200, seven standard deviations of the rank: 4 and 5 % in the middle.
    assert len(partitioned) == 1
    assert 0 < partitioned[0] <= most * LARGE


@pytest.mark.parametrize("size", [ranking.FEW - 1, ranking.FEW])
def test_few_values_are_partitioned_at_once(size: int, partitioned: list[int]) -> None:
    ranking.largest(values("normal", size, np.dtype(np.float32)), size // 2)
    assert partitioned == [size]


def test_zeros_are_not_partitioned(partitioned: list[int]) -> None:
    flat = values("pruned", 1000, np.dtype(np.float32))
    nonzero = np.count_nonzero(flat)
    assert ranking.largest(flat, nonzero)[1] == np.abs(flat[flat != 0]).min()
    assert ranking.largest(flat, nonzero + 1)[1] == 0
    assert partitioned == [nonzero]


def test_values_of_several_dtypes_are_ranked_in_their_common_one() -> None:
    parts = [np.array([1, -3], np.float16), np.array([-2.5, 0.5], np.float32)]
    assert [ranking.shares_of_largest(parts, k) for k in (1, 2, 3)] == [[1, 0], [1, 1], [2, 1]]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", [10, LARGE])
@pytest.mark.parametrize("wrong", [np.nan, -np.inf])
def test_what_is_not_finite_has_no_rank(size: int, wrong: float, dtype: np.dtype) -> None:
    flat = values("normal", size, dtype)
    for place in (0, size // 2, size - 1):
        bad = flat.copy()
        bad[place] = wrong
        with pytest.raises(FloatingPointError, match="must be finite"):
            ranking.largest(bad, 1)
        with pytest.raises(FloatingPointError, match="must be finite"):
            ranking.shares_of_largest(np.split(bad, [size // 3]), 1)
