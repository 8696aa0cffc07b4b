import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pruneplug.training.feeds.base import evaluation_feed, train_feed

ONE = tf.distribute.get_strategy()
INDEX = tf.constant(0, tf.int64)
BATCHES = 4


class Numbers(keras.utils.PyDataset):
    """Batch i holds i, and the number of epochs that have ended before."""

    def __init__(self, batches: int | None = BATCHES, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.batches = batches
        self.told: list[str] = []

    @property
    def num_batches(self) -> int | None:
        return self.batches

    def __getitem__(self, index: int) -> Any:
        size = 2 if index == BATCHES - 1 else 3
        return np.full((size, 2), index, "float64"), [np.full(size, self.told.count("end"))]

    def on_epoch_begin(self) -> None:
        self.told.append("begin")

    def on_epoch_end(self) -> None:
        self.told.append("end")


def take(feed: Any, count: int) -> list[tuple[int, int]]:
    batches = [feed.next(INDEX) for _ in range(count)]
    return [(int(x[0, 0]), int(y[0][0])) for x, y in batches]


@pytest.mark.parametrize("workers", [1, 3])
def test_every_epoch_has_all_batches_in_an_order_of_its_own(workers: int) -> None:
    feed, again = (train_feed(Numbers(workers=workers), 99, 5, None, ONE) for _ in range(2))
    assert feed.steps_per_epoch == BATCHES
    epochs = [take(feed, BATCHES) for _ in range(3)]
    assert epochs == [take(again, BATCHES) for _ in range(3)]
    orders = [[index for index, _ in epoch] for epoch in epochs]
    assert all(sorted(order) == list(range(BATCHES)) for order in orders)
    assert orders[0] != orders[1]
    if workers == 1:  # others fetch ahead
        assert [{ended for _, ended in epoch} for epoch in epochs] == [{0}, {1}, {2}]


def test_an_evaluation_keeps_the_order_and_epochs_are_told() -> None:
    data = Numbers()
    feed = evaluation_feed(data, "validation data", 99, ONE)
    assert [index for index, _ in take(feed, 2 * BATCHES)] == 2 * list(range(BATCHES))
    assert data.told == 2 * ["begin", "end"]


def test_batches_become_tensors_of_keras_types() -> None:
    feed = train_feed(Numbers(), 99, 0, None, ONE)
    x, y = feed.next(INDEX)
    assert (x.dtype, y[0].dtype) == (tf.float32, tf.int64)
    assert feed.dense
    traced = tf.function(feed.next).get_concrete_function(tf.TensorSpec([], tf.int64))
    assert traced.structured_outputs[0].shape.as_list() == [None, 2]


def test_an_endless_one_needs_the_length_of_an_epoch() -> None:
    with pytest.raises(ValueError, match=r"known number of batches.*Pass steps_per_epoch"):
        train_feed(Numbers(None), 99, 0, None, ONE)
    feed = train_feed(Numbers(None), 99, 0, 3, ONE)
    assert [index for index, _ in take(feed, 7)] == list(range(7))


def generated() -> Iterator[Any]:
    for number in range(6):
        yield np.full((2, 1), number), np.full(2, number)


def test_a_generator_is_run_through_once() -> None:
    feed = train_feed(generated(), 99, 0, 3, ONE)
    assert [int(feed.next(INDEX)[1][0]) for _ in range(6)] == list(range(6))
    with pytest.raises(tf.errors.OpError, match="must yield a batch for every step"):
        feed.next(INDEX)
    with pytest.raises(ValueError, match="Pass steps_per_epoch"):
        train_feed(generated(), 99, 0, None, ONE)
    with pytest.raises(TypeError, match="validation data must be there again in every epoch"):
        evaluation_feed(generated(), "validation data", 99, ONE)
    with pytest.raises(ValueError, match="at least 1; got list_iterator"):
        train_feed(iter([]), 99, 0, 3, ONE)


def test_refuses_batches_of_other_forms() -> None:
    with pytest.raises(ValueError, match=r"must consist of batches .* got a batch of 4 parts"):
        train_feed(itertools.repeat((1, 2, 3, 4)), 99, 0, 3, ONE)


def test_processes_are_threads_here() -> None:
    feed = train_feed(Numbers(use_multiprocessing=True, workers=2), 99, 0, None, ONE)
    with pytest.warns(UserWarning, match="use_multiprocessing has no effect"):
        take(feed, 1)


def test_a_run_that_resumes_reads_up_to_its_step(tmp_path: Path) -> None:
    whole = take(train_feed(Numbers(), 99, 5, None, ONE), 11)
    again = train_feed(Numbers(), 99, 5, None, ONE)
    with pytest.warns(UserWarning, match="6 batches were read and dropped"):
        again.restore(6, tmp_path)
    assert take(again, 5) == whole[6:]
