"""What every data set is turned into: arrays in three parts, and how validation is set aside."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Arrays(NamedTuple):
    """Samples and their classes.

    Attributes:
        x: Inputs, shape (samples, ...).
        y: Class ids, whole numbers of shape (samples,).
    """

    x: npt.NDArray[Any]
    y: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Splits:
    """A data set in three parts that share no sample.

    Attributes:
        train: What the weights are fitted to.
        validation: What choices are made on: which checkpoint, which sparsity.
        test: What is looked at once, at the end.
        num_classes: Number of classes; every class id is smaller.
    """

    train: Arrays
    validation: Arrays
    test: Arrays
    num_classes: int

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.train.x.shape[1:]


def split_validation(arrays: Arrays, fraction: float, seed: int) -> tuple[Arrays, Arrays]:
    """Set a random part of the training samples aside for validation.

    The same samples, fraction and seed give the same split. The order of the training samples
    is kept.

    Args:
        arrays: All samples that are not test samples.
        fraction: Share of the samples to set aside, in (0, 1); at least one sample goes to either
            side.
        seed: Seed of the choice.

    Returns:
        The training part and the validation part.

    Raises:
        ValueError: If `fraction` is out of range or there are fewer than 2 samples.

    Example:
        >>> arrays = Arrays(np.arange(10.0).reshape(10, 1), np.arange(10))
        >>> train, validation = split_validation(arrays, 0.2, seed=0)
        >>> len(train.y), len(validation.y)
        (8, 2)
    """
    if not 0 < fraction < 1:
        raise ValueError(
            f"The validation fraction must lie in (0, 1); got validation={fraction}. "
            "0.1 sets one training sample in ten aside."
        )
    samples = len(arrays.y)
    if samples < 2:
        raise ValueError(
            "The training data must hold at least 2 samples, one of them for validation; "
            f"got samples={samples}."
        )
    size = min(max(round(samples * fraction), 1), samples - 1)
    chosen = np.zeros(samples, dtype=bool)
    chosen[np.random.default_rng(seed).permutation(samples)[:size]] = True
    return select(arrays, ~chosen), select(arrays, chosen)


def select(arrays: Arrays, chosen: npt.NDArray[np.bool_]) -> Arrays:
    """Pick the samples at which `chosen`, shape (samples,), is true."""
    return Arrays(arrays.x[chosen], arrays.y[chosen])
