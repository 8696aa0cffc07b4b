from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pruneplug.training.feeds.datasets import DatasetFeed

ONE = tf.distribute.get_strategy()
INDEX = tf.constant(0, tf.int64)


def shuffled() -> tf.data.Dataset:
    return tf.data.Dataset.range(10).shuffle(5, seed=1).batch(2)


def generated() -> tf.data.Dataset:
    def numbers() -> Iterator[int]:
        yield from range(10)

    signature = tf.TensorSpec([], tf.int64)
    return tf.data.Dataset.from_generator(numbers, output_signature=signature).batch(2)


def take(feed: DatasetFeed, count: int) -> list[list[int]]:
    return [feed.next(INDEX).numpy().tolist() for _ in range(count)]


def test_runs_on_over_epochs_without_a_new_iterator() -> None:
    feed = DatasetFeed(tf.data.Dataset.range(4).batch(2), "data", ONE)
    assert feed.steps_per_epoch == 2
    assert take(feed, 3) == [[0, 1], [2, 3], [0, 1]]


def test_resumes_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    feed = DatasetFeed(shuffled(), "data", ONE)
    take(feed, 7)
    feed.save(tmp_path)
    expected = take(feed, 8)
    other = DatasetFeed(shuffled(), "data", ONE)
    other.restore(7, tmp_path)
    assert take(other, 8) == expected


def test_drops_batches_where_the_position_cannot_be_saved(tmp_path: Path) -> None:
    feed = DatasetFeed(generated(), "training data", ONE, steps_per_epoch=5)
    take(feed, 7)
    with pytest.warns(UserWarning, match="training data cannot save its position"):
        feed.save(tmp_path)
    feed.save(tmp_path)  # says so once
    assert list(tmp_path.iterdir()) == []
    other = DatasetFeed(generated(), "training data", ONE, steps_per_epoch=5)
    with pytest.warns(UserWarning, match="7 batches were read and dropped, which took"):
        other.restore(7, tmp_path)
    assert take(other, 3) == take(feed, 3)


def test_turns_autotune_off_on_its_own_copy() -> None:
    dataset = shuffled()
    DatasetFeed(dataset, "data", ONE)
    assert dataset.options().autotune.enabled is None


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (tf.data.Dataset.range(3).repeat(), "cardinality=infinite. Pass steps_per_epoch"),
        (tf.data.Dataset.range(3).filter(lambda x: x > 1), "cardinality=unknown"),
        (tf.data.Dataset.range(0), "at least one batch; got an empty data set"),
    ],
)
def test_refuses_an_unknown_number_of_batches(dataset: tf.data.Dataset, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DatasetFeed(dataset, "training data", ONE)


def test_refuses_no_steps() -> None:
    with pytest.raises(ValueError, match="steps_per_epoch=0"):
        DatasetFeed(shuffled(), "data", ONE, 0)


def test_single_samples_are_refused() -> None:
    samples = tf.data.Dataset.from_tensor_slices((np.zeros((4, 2)), np.zeros(4)))
    with pytest.raises(ValueError, match=r"must be batched; got single samples .* Call batch"):
        DatasetFeed(samples, "data", ONE)
