from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pruneplug.training.array_feed import ArrayFeed
from pruneplug.training.dataset_feed import DatasetFeed
from pruneplug.training.feed import evaluation_feed, train_feed

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


@pytest.mark.parametrize("data", [np.zeros(3), [np.zeros(3), np.zeros(3)], (np.zeros(3),), None])
def test_refuses_what_is_neither(data: Any) -> None:
    with pytest.raises(TypeError, match=r"training data must be a batched tf.data.Dataset or a"):
        train_feed(data, 2, 0, None, ONE)
