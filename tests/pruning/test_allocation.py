"""Every allocation hits the total exactly, and leaves no weight empty."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruneplug.pruning.allocation import (
    BUILT_IN,
    Allocation,
    ERKAllocation,
    GlobalAllocation,
    Prunable,
    UniformAllocation,
)
from pruneplug.pruning.ranking import kept_count

WEIGHTS = [
    Prunable("conv_1/kernel", (3, 3, 1, 8), 72),
    Prunable("conv_2/kernel", (3, 3, 8, 16), 1152),
    Prunable("head/kernel", (64, 10), 640),
]


def scores(index: int) -> np.ndarray:
    generator = np.random.default_rng(index)
    return np.abs(generator.standard_normal(WEIGHTS[index].shape)).astype("float32")


def kept(allocation: Allocation, sparsity: float, progress: float = 1.0) -> list[int]:
    return allocation.kept(WEIGHTS, sparsity, progress, scores)


@pytest.mark.parametrize("allocation", [ERKAllocation(), GlobalAllocation()])
@given(sparsity=st.floats(0.0, 0.99))
def test_the_total_is_exact(allocation: Allocation, sparsity: float) -> None:
    counts = kept(allocation, sparsity)
    assert sum(counts) == kept_count(sum(w.units for w in WEIGHTS), sparsity)
    assert all(1 <= k <= w.units for k, w in zip(counts, WEIGHTS, strict=True))


@given(sparsity=st.floats(0.0, 0.99))
def test_uniform_prunes_every_weight_on_its_own(sparsity: float) -> None:
    assert kept(UniformAllocation(), sparsity) == [kept_count(w.units, sparsity) for w in WEIGHTS]


@pytest.mark.parametrize("kind", BUILT_IN)
@given(sparsity=st.floats(0.3, 0.85))
def test_overrides_are_kept_and_the_others_make_up_for_them(kind: Any, sparsity: float) -> None:
    allocation = kind({"conv_1": 0.5, "head/*": 0.75})
    counts = kept(allocation, sparsity)
    assert counts[0] == kept_count(72, 0.5)
    assert counts[2] == kept_count(640, 0.75)
    assert sum(counts) == kept_count(1864, sparsity)


@pytest.mark.parametrize("kind", BUILT_IN)
def test_with_all_overridden_there_is_no_total_to_meet(kind: Any) -> None:
    assert kept(kind({"conv_*": 0.5, "head": 0.75}), 0.1) == [36, 576, 160]


def test_overrides_follow_the_schedule() -> None:
    allocation = UniformAllocation({"conv_1": 0.5})
    assert kept(allocation, 0.4, progress=0.5)[0] == kept_count(72, 0.25)


def test_the_first_override_that_matches_counts() -> None:
    assert kept(UniformAllocation({"conv_*": 0.0, "conv_1": 0.9}), 0.3)[0] == 72


def test_layers_may_be_keys() -> None:
    class Layer:
        name = "head"

    assert UniformAllocation({Layer(): 0.0}) == UniformAllocation({"head": 0.0})


def test_erk_follows_its_formula() -> None:
    counts = kept(ERKAllocation(), 0.5)
    densities = [k / w.units for k, w in zip(counts, WEIGHTS, strict=True)]
    expected = [sum(w.shape) / np.prod(w.shape) for w in WEIGHTS]
    # The first weight's share exceeds what it has, so it is kept whole.
    assert densities[0] == 1.0
    assert densities[1] / densities[2] == pytest.approx(expected[1] / expected[2], rel=0.05)


def test_global_keeps_the_largest_of_all() -> None:
    counts = kept(GlobalAllocation(), 0.8)
    values = np.concatenate([np.ravel(scores(i)) for i in range(3)])
    line = np.sort(values)[-sum(counts)]
    assert counts == [int(np.count_nonzero(scores(i) >= line)) for i in range(3)]


def test_global_gives_ties_to_the_first_and_leaves_no_weight_empty() -> None:
    weights = [Prunable("a/kernel", (4,), 4), Prunable("b/kernel", (4,), 4)]
    ones = [np.ones(4, "float32"), np.ones(4, "float32")]
    allocation = GlobalAllocation()
    assert allocation.kept(weights, 0.25, 1.0, ones.__getitem__) == [4, 2]
    assert allocation.kept(weights, 0.5, 1.0, ones.__getitem__) == [3, 1]


def test_an_override_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"in \[0, 1\); got overrides\['head'\]=1.0"):
        UniformAllocation({"head": 1.0})


def test_overrides_must_leave_room() -> None:
    with pytest.raises(ValueError, match="must leave room for the total"):
        kept(ERKAllocation({"conv_2": 0.0}), 0.9)


@pytest.mark.parametrize("kind", BUILT_IN)
def test_a_configuration_comes_back(kind: Any) -> None:
    allocation = kind({"head": 0.25})
    again = kind.from_config(allocation.get_config())
    assert again == allocation
    assert hash(again) == hash(allocation)
    assert again != kind()


def test_overrides_are_checked_before_the_first_update() -> None:
    names = [weight.name for weight in WEIGHTS]
    UniformAllocation({"conv_*": 0.5, "head/kernel": 0.5}).check_names(names)
    with pytest.raises(ValueError, match="must name pruned layers or weights; got 'haed'"):
        UniformAllocation({"haed": 0.5}).check_names(names)
    ERKAllocation({"conv_2": 0.0}).check_room(WEIGHTS, 0.1)
    ERKAllocation({"*": 0.0}).check_room(WEIGHTS, 0.9)
    with pytest.raises(ValueError, match="must leave room for the total"):
        ERKAllocation({"conv_2": 0.0}).check_room(WEIGHTS, 0.9)


def test_two_layers_of_one_name_are_no_two_keys() -> None:
    class Layer:
        name = "head"

    with pytest.raises(ValueError, match="must be of layers with different names"):
        UniformAllocation({Layer(): 0.0, Layer(): 0.5})
