import numpy as np
import pytest

from pruneplug.command.data import Arrays, Splits, split_validation


def _arrays(samples: int) -> Arrays:
    return Arrays(np.arange(samples * 2.0).reshape(samples, 2), np.arange(samples))


@pytest.mark.parametrize(
    ("samples", "fraction", "size"), [(10, 0.3, 3), (10, 0.001, 1), (10, 0.999, 9), (2, 0.5, 1)]
)
def test_both_sides_get_samples(samples: int, fraction: float, size: int) -> None:
    train, validation = split_validation(_arrays(samples), fraction, seed=0)
    assert (len(train.y), len(validation.y)) == (samples - size, size)


def test_no_sample_is_lost_or_doubled_and_labels_stay_with_their_samples() -> None:
    train, validation = split_validation(_arrays(50), 0.2, seed=3)
    assert sorted([*train.y, *validation.y]) == list(range(50))
    for part in (train, validation):
        np.testing.assert_array_equal(part.x[:, 0], part.y * 2)


def test_the_seed_decides() -> None:
    chosen = [split_validation(_arrays(50), 0.2, seed)[1].y.tolist() for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_fraction_out_of_range(fraction: float) -> None:
    with pytest.raises(ValueError, match=r"must lie in \(0, 1\); got validation="):
        split_validation(_arrays(10), fraction, seed=0)


def test_too_few_samples() -> None:
    with pytest.raises(ValueError, match=r"at least 2 samples.*got samples=1"):
        split_validation(_arrays(1), 0.5, seed=0)


def test_input_shape_is_one_sample() -> None:
    arrays = _arrays(3)
    assert Splits(arrays, arrays, arrays, num_classes=3).input_shape == (2,)
