"""Data position: where the next batch comes from, and how to get back there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import tensorflow as tf

from pruneplug.training.array_feed import ArrayFeed
from pruneplug.training.dataset_feed import DatasetFeed

Data = Any
"""A batched `tf.data.Dataset`, or a tuple `(x, y)` or `(x, y, sample_weight)` of arrays."""


class Feed(Protocol):
    """Batches by their index in the epoch, fetched inside the compiled loop."""

    steps_per_epoch: int

    def start(self, epoch: int) -> None:
        """Bring the order of `epoch`; called before its first batch is fetched."""

    def next(self, index: Any) -> Any:
        """Return batch `index` of the epoch; runs inside a compiled function."""

    def describe(self) -> Mapping[str, int | str | bool]:
        """Return what decides the order of the batches; equal in a run that resumes."""

    def save(self, folder: Path) -> None:
        """Write what the epoch and the index do not say about the position."""

    def restore(self, step: int, folder: Path | None) -> None:
        """Go to the position after `step` steps, with what `save` wrote, if it wrote anything."""


def train_feed(
    data: Data, batch_size: int, seed: int, steps_per_epoch: int | None, strategy: Any
) -> Feed:
    """Return the feed for training: arrays are shuffled by epoch, a data set stays as it is.

    Args:
        data: See `Data`.
        batch_size: Samples in a batch of arrays; a data set brings its own.
        seed: Of the order of arrays.
        steps_per_epoch: Batches in an epoch; None takes all of them.
        strategy: The `tf.distribute` strategy that the model was built under.

    Raises:
        TypeError: If `data` is neither arrays nor a data set.
        ValueError: If arrays disagree in length, or the number of batches is not known.
    """
    if isinstance(data, tf.data.Dataset):
        return DatasetFeed(data, "training data", strategy, steps_per_epoch)
    return ArrayFeed(
        _arrays(data, "training data"),
        "training data",
        batch_size,
        strategy,
        seed=seed,
        steps_per_epoch=steps_per_epoch,
    )


def evaluation_feed(data: Data, name: str, batch_size: int, strategy: Any) -> Feed:
    """Return the feed for one evaluation: everything once, in the order given.

    Args:
        data: See `Data`.
        name: What the data is called in errors, such as "validation data".
        batch_size: Samples in a batch of arrays; a data set brings its own.
        strategy: The `tf.distribute` strategy that the model was built under.

    Raises:
        TypeError: If `data` is neither arrays nor a data set.
        ValueError: If arrays disagree in length, or the number of batches is not known.
    """
    if isinstance(data, tf.data.Dataset):
        return DatasetFeed(data, name, strategy)
    return ArrayFeed(_arrays(data, name), name, batch_size, strategy)


def _arrays(data: Data, name: str) -> tuple[Any, ...]:
    if not isinstance(data, tuple) or len(data) not in (2, 3):
        raise TypeError(
            f"{name} must be a batched tf.data.Dataset or a tuple (x, y) or "
            f"(x, y, sample_weight); got {type(data).__name__}."
        )
    return tuple(data)
