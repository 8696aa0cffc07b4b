"""Every pattern of sparsity obeys the same laws; a new one needs a row in BATTERY."""

import json
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pruneplug.pruning.patterns import Block, MByN, Pattern, Unstructured, make_pattern
from pruneplug.pruning.ranking import kept_count

law = settings(deadline=None, max_examples=40)

BATTERY: dict[str, Pattern] = {
    "unstructured": Unstructured(),
    "block 4x1": Block((4, 1)),
    "block 2x3, largest": Block((2, 3), "MAX"),
    "2 zeros in 4": MByN(2, 4),
    "up to 3 zeros in 4": MByN(3, 4, scheduled=True),
}
every_pattern = pytest.mark.parametrize("pattern", BATTERY.values(), ids=BATTERY)

SHAPE = st.tuples(st.integers(1, 12), st.integers(1, 12))
SPARSITY = st.floats(0, 0.99)


def _mask(pattern: Pattern, weights: Any, sparsity: float) -> tuple[np.ndarray, float]:
    kept = kept_count(pattern.units(weights.shape), sparsity)
    mask, threshold = pattern.mask(pattern.scores(weights), kept, weights.shape)
    return np.asarray(mask), float(threshold)


def _weights(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


@every_pattern
@law
@given(shape=SHAPE, seed=st.integers(0, 99), sparsity=SPARSITY)
def test_masks_agree_in_host_memory_and_on_a_device(
    pattern: Pattern, shape: tuple[int, int], seed: int, sparsity: float
) -> None:
    weights = _weights(shape, seed)
    host, at_host = _mask(pattern, weights, sparsity)
    device, at_device = _mask(pattern, keras.ops.convert_to_tensor(weights), sparsity)
    assert host.dtype == bool
    assert host.shape == shape
    np.testing.assert_array_equal(host, device)
    assert at_host == at_device


@every_pattern
@law
@given(shape=SHAPE, seed=st.integers(0, 99), sparsity=SPARSITY)
def test_masks_are_idempotent_and_free_of_scale(
    pattern: Pattern, shape: tuple[int, int], seed: int, sparsity: float
) -> None:
    weights = _weights(shape, seed)
    mask, _ = _mask(pattern, weights, sparsity)
    np.testing.assert_array_equal(_mask(pattern, weights * mask, sparsity)[0], mask)
    np.testing.assert_array_equal(_mask(pattern, weights * 8, sparsity)[0], mask)
    np.testing.assert_array_equal(_mask(pattern, -weights, sparsity)[0], mask)


@every_pattern
@law
@given(shape=SHAPE, seed=st.integers(0, 99), ends=st.tuples(SPARSITY, SPARSITY).map(sorted))
def test_masks_are_nested_in_sparsity(
    pattern: Pattern, shape: tuple[int, int], seed: int, ends: list[float]
) -> None:
    weights = _weights(shape, seed)
    assert not (_mask(pattern, weights, ends[1])[0] & ~_mask(pattern, weights, ends[0])[0]).any()


@every_pattern
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("path", [np.asarray, keras.ops.convert_to_tensor], ids=["host", "device"])
def test_weights_that_are_not_finite_are_refused(
    pattern: Pattern, wrong: float, path: Callable[[Any], Any]
) -> None:
    weights = _weights((4, 6), 0)
    weights[2, 3] = wrong
    with pytest.raises(FloatingPointError, match="must be finite"):
        _mask(pattern, path(weights), 0.5)


@law
@given(shape=SHAPE, seed=st.integers(0, 99), sparsity=SPARSITY)
def test_unstructured_keeps_exactly_as_many_as_asked(
    shape: tuple[int, int], seed: int, sparsity: float
) -> None:
    mask, threshold = _mask(Unstructured(), _weights(shape, seed), sparsity)
    assert np.count_nonzero(mask) == kept_count(mask.size, sparsity)
    assert threshold == np.abs(_weights(shape, seed))[mask].min()


@pytest.mark.parametrize("pooling", ["AVG", "MAX"])
@law
@given(
    shape=SHAPE,
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    seed=st.integers(0, 99),
    sparsity=SPARSITY,
)
def test_blocks_live_or_die_whole_and_in_exact_number(
    pooling: str, shape: tuple[int, int], size: tuple[int, int], seed: int, sparsity: float
) -> None:
    pattern = Block(size, pooling)
    mask, _ = _mask(pattern, _weights(shape, seed), sparsity)
    corners = mask[:: size[0], :: size[1]]
    grown = np.kron(corners, np.ones(size, bool))[: shape[0], : shape[1]]
    np.testing.assert_array_equal(mask, grown)
    assert corners.size == pattern.units(shape)
    assert np.count_nonzero(corners) == kept_count(corners.size, sparsity)


def test_a_block_of_one_edge_counts_what_it_has() -> None:
    weights = np.array([[1, 1, 9, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 8]], "float32")
    np.testing.assert_array_equal(Block((2, 2)).scores(weights), [[1, 3, 1], [1, 1, 8]])
    mask, threshold = _mask(Block((2, 2)), weights, 0.5)
    assert threshold == 1
    np.testing.assert_array_equal(mask[:, ::2], [[1, 1, 0], [1, 1, 0], [0, 0, 1]])


@pytest.mark.parametrize("shape", [(8, 3), (3, 3, 8, 5)], ids=["Dense", "Conv2D"])
def test_m_by_n_ignores_the_sparsity_unless_it_is_scheduled(shape: tuple[int, ...]) -> None:
    weights = _weights(shape, 0)
    for sparsity in (0.0, 0.3, 0.9):
        assert _mask(MByN(1, 4), weights, sparsity)[0].mean() == 0.75
    scheduled = MByN(3, 4, scheduled=True)
    assert [_mask(scheduled, weights, s)[0].mean() for s in (0, 0.25, 0.5, 0.75, 0.9)] == [
        *(1.0, 0.75, 0.5, 0.25, 0.25)
    ]


@pytest.mark.parametrize("pattern", [Block((2, 1)), MByN(1, 2)], ids=["block", "m-by-n"])
@pytest.mark.parametrize("shape", [(4,), (2, 3, 4), (2, 2, 2, 2, 2)])
def test_a_weight_that_does_not_fit_is_named(pattern: Pattern, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"got conv/kernel of shape .*pruning policy"):
        pattern.check(shape, "conv/kernel")
    pattern.check((4, 4), "dense/kernel")
    Unstructured().check(shape, "conv/kernel")


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        ({}, Unstructured()),
        ({"block_size": [1, 1], "block_pooling_type": "MAX"}, Unstructured()),
        ({"block_size": [2, 4]}, Block((2, 4), "AVG")),
        ({"block_size": (2, 4), "block_pooling_type": "MAX"}, Block((2, 4), "MAX")),
        ({"block_size": (2, 4), "sparsity_m_by_n": [2, 4]}, MByN(2, 4)),
        ({"sparsity_m_by_n": MByN(1, 3, scheduled=True)}, MByN(1, 3, scheduled=True)),
    ],
)
def test_tfmots_arguments_name_a_pattern(arguments: dict[str, Any], pattern: Pattern) -> None:
    assert make_pattern(**arguments) == pattern


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_pattern(block_size=(0, 1)), r"at least \(1, 1\); got block_size=\(0, 1\)"),
        (lambda: make_pattern(block_size=2), "block_size must be two whole numbers; got .*=2"),
        (lambda: make_pattern(block_size=(1, 2, 3)), "block_size must be two whole numbers"),
        (lambda: make_pattern(block_size=(1.0, 2)), "block_size must be two whole numbers"),
        (lambda: make_pattern(block_size=(True, 2)), "block_size must be two whole numbers"),
        (lambda: make_pattern(block_pooling_type="SUM"), "must be one of .*got .*='SUM'"),
        (lambda: Block((2, 2), "avg"), "block_pooling_type must be one of"),
        (lambda: make_pattern(sparsity_m_by_n=(4, 2)), r"1 <= m < n.*got .*=\(4, 2\)"),
        (lambda: make_pattern(sparsity_m_by_n=(2, 2)), "1 <= m < n"),
        (lambda: make_pattern(sparsity_m_by_n=(0, 2)), "1 <= m < n"),
        (lambda: make_pattern(sparsity_m_by_n="2:4"), "sparsity_m_by_n must be two whole numbers"),
        (lambda: make_pattern(sparsity_m_by_n=()), "sparsity_m_by_n must be two whole numbers"),
    ],
)
def test_arguments_out_of_range_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_an_m_by_n_pattern_survives_its_file() -> None:
    pattern = MByN(1, 3, scheduled=True)
    assert MByN.from_config(pattern.get_config()) == pattern


@pytest.mark.parametrize("pair", [np.array([2, 4]), [np.int32(2), np.int64(4)], (2, np.uint8(4))])
def test_numpy_integers_are_whole_numbers(pair: Any) -> None:
    assert make_pattern(pair) == Block((2, 4))
    pattern = make_pattern(sparsity_m_by_n=pair)
    assert pattern == MByN(*pair) == MByN(2, 4)
    assert json.dumps(MByN(*pair).get_config())
    assert hash(pattern) == hash(MByN(2, 4))


@pytest.mark.parametrize(
    "pair", [np.array([2.0, 4.0]), (2, True), (2, 4.0), "24", np.int64(2), {2}]
)
def test_other_pairs_are_no_whole_numbers(pair: Any) -> None:
    with pytest.raises(ValueError, match="block_size must be two whole numbers"):
        make_pattern(pair)
    with pytest.raises(ValueError, match="sparsity_m_by_n must be two whole numbers"):
        make_pattern(sparsity_m_by_n=pair)
