from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pruneplug.training.feeds.arrays import ArrayFeed
from pruneplug.training.feeds.base import evaluation_feed, train_feed
from pruneplug.training.feeds.datasets import DatasetFeed

ONE = tf.distribute.get_strategy()
ARRAYS = (np.zeros((5, 2)), np.zeros(5))


def test_arrays_are_shuffled_for_training_only() -> None:
    assert train_feed(ARRAYS, 2, 7, None, ONE).describe()["seed"] == 7
    feed = evaluation_feed(ARRAYS, "test data", 2, ONE)
    assert isinstance(feed, ArrayFeed)
    assert (feed.seed, feed.steps_per_epoch) == (None, 3)


def test_data_sets_stay_as_they_are() -> None:
    dataset = tf.data.Dataset.from_tensor_slices(ARRAYS).batch(2)
    assert isinstance(train_feed(dataset, 99, 0, None, ONE), DatasetFeed)
    assert evaluation_feed(dataset, "test data", 99, ONE).steps_per_epoch == 3


@pytest.mark.parametrize("data", [np.arange(3.0), (np.arange(3.0),), tf.range(3.0)])
def test_inputs_alone_are_given_as_keras_gives_them(data: Any) -> None:
    feed = evaluation_feed(data, "data", 3, ONE)
    assert feed.next(tf.constant(0, tf.int64)).numpy().tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", ["arrays", "data set"])
def test_classes_are_weighed_in_training(kind: str) -> None:
    data: Any = (np.zeros((4, 1)), np.array([0, 1, 1, 0]))
    if kind == "data set":
        data = tf.data.Dataset.from_tensor_slices(data).batch(4)
    feed = train_feed(data, 4, 0, None, ONE, {1: 5.0})
    _, y, weights = feed.next(tf.constant(0, tf.int64))
    assert weights.numpy().tolist() == (1.0 + 4.0 * y.numpy()).tolist()


@pytest.mark.parametrize("data", [[np.zeros(3), np.zeros(3)], {"x": np.zeros(3)}, (), None, 3])
def test_refuses_other_data(data: Any) -> None:
    with pytest.raises(TypeError, match=r"training data must be an array, a tuple \(x,\)"):
        train_feed(data, 2, 0, None, ONE)
