"""Handwritten digits that come with scikit-learn: 1,797 images of 8x8 pixels, 10 classes."""

import numpy as np
import numpy.typing as npt

from pruneplug.command.data.base import Arrays, Splits, select, split_validation

TEST_FRACTION = 0.2
# Never the run's seed: every run must be judged on the same samples.
TEST_SEED = 0


def load(validation: float = 0.1, seed: int = 0) -> Splits:
    """Load the digits.

    The test part is 20 % of every class and the same for every seed.

    Args:
        validation: Share of the other samples set aside for validation, in (0, 1).
        seed: Seed of the validation split.

    Returns:
        Images of shape (samples, 8, 8, 1), float32 in [0, 1].

    Raises:
        ValueError: If `validation` is out of range.
    """
    # Imported on use: it takes seconds, and the other data sets do without.
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images / 16.0).astype(np.float32)[..., np.newaxis]
    everything = Arrays(images, digits.target.astype(np.int64))
    in_test = _choose_test(everything.y)
    train, held_out = split_validation(select(everything, ~in_test), validation, seed)
    return Splits(train, held_out, select(everything, in_test), num_classes=10)


def _choose_test(y: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Mark the test samples: the same share of every class."""
    generator = np.random.default_rng(TEST_SEED)
    chosen = np.zeros(len(y), dtype=bool)
    for label in np.unique(y):
        members = generator.permutation(np.flatnonzero(y == label))
        chosen[members[: round(len(members) * TEST_FRACTION)]] = True
    return chosen
