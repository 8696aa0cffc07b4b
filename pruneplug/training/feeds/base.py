"""Data position: where the next batch comes from, and how to get back there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import tensorflow as tf

from pruneplug.training.feeds.arrays import ArrayFeed
from pruneplug.training.feeds.class_weights import check_class_weight, weigh_classes
from pruneplug.training.feeds.datasets import DatasetFeed
from pruneplug.training.feeds.python import is_python_source, python_dataset

Data = Any
"""A batched `tf.data.Dataset`, a tuple `(x,)`, `(x, y)` or `(x, y, sample_weight)` of arrays, one
array, a `keras.utils.PyDataset`, or, for training, a generator of batches.
"""


class Feed(Protocol):
    """Batches by their index in the epoch, fetched inside the compiled loop."""

    steps_per_epoch: int
    dense: bool  # whether all tensors in a batch are

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
    data: Data,
    batch_size: int,
    seed: int,
    steps_per_epoch: int | None,
    strategy: Any,
    class_weight: Mapping[int, float] | None = None,
) -> Feed:
    """Return the feed for training: arrays are shuffled by epoch, a data set stays as it is.

    Args:
        data: See `Data`.
        batch_size: Samples in a batch of arrays; a data set brings its own.
        seed: Of the order of arrays.
        steps_per_epoch: Batches in an epoch; None takes all of them.
        strategy: The `tf.distribute` strategy that the model was built under.
        class_weight: Weights of the samples by their class.

    Raises:
        TypeError: If `data` is none of those.
        ValueError: If arrays disagree in length, or the number of batches is not known.
    """
    name = "training data"
    if class_weight is not None:
        check_class_weight(class_weight)
    if is_python_source(data):
        data, steps_per_epoch = python_dataset(data, name, seed, steps_per_epoch)
    if isinstance(data, tf.data.Dataset):
        if class_weight is not None:
            data = data.map(weigh_classes(class_weight, name))
        return DatasetFeed(data, name, strategy, steps_per_epoch)
    arrays = _arrays(data, name)
    if class_weight is not None:
        arrays = weigh_classes(class_weight, name)(*arrays)
    return ArrayFeed(arrays, name, batch_size, strategy, seed=seed, steps_per_epoch=steps_per_epoch)


def evaluation_feed(data: Data, name: str, batch_size: int, strategy: Any) -> Feed:
    """Return the feed for one evaluation: everything once, in the order given.

    Args:
        data: See `Data`.
        name: What the data is called in errors, such as "validation data".
        batch_size: Samples in a batch of arrays; a data set brings its own.
        strategy: The `tf.distribute` strategy that the model was built under.

    Raises:
        TypeError: If `data` is none of those.
        ValueError: If arrays disagree in length, or the number of batches is not known.
    """
    steps = None
    if is_python_source(data):
        data, steps = python_dataset(data, name, None, None)
    if isinstance(data, tf.data.Dataset):
        return DatasetFeed(data, name, strategy, steps)
    return ArrayFeed(_arrays(data, name), name, batch_size, strategy)


def _arrays(data: Data, name: str) -> tuple[Any, ...]:
    if not isinstance(data, list | dict | tuple) and len(getattr(data, "shape", ())) > 0:
        return (data,)
    if not isinstance(data, tuple) or len(data) not in (1, 2, 3):
        raise TypeError(
            f"{name} must be an array, a tuple (x,), (x, y) or (x, y, sample_weight) of arrays, a "
            "batched tf.data.Dataset, a keras.utils.PyDataset or, for training, a generator; "
            f"got {type(data).__name__}."
        )
    return tuple(data)
