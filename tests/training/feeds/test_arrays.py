from itertools import chain
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

from pruneplug.training.feeds.arrays import ArrayFeed

ONE = tf.distribute.get_strategy()


def make(samples: int = 10, **changes: Any) -> ArrayFeed:
    rows = np.arange(samples)
    return ArrayFeed((rows.astype("float64"), rows), "data", 4, ONE, **changes)


def epoch(feed: ArrayFeed, number: int) -> list[list[int]]:
    feed.start(number)
    steps = range(feed.steps_per_epoch)
    return [feed.next(tf.constant(step, tf.int64))[1].numpy().tolist() for step in steps]


def test_keeps_the_order_without_a_seed_and_the_short_last_batch() -> None:
    assert epoch(make(), 0) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_order_is_a_function_of_seed_and_epoch() -> None:
    first, second = epoch(make(seed=1), 0), epoch(make(seed=1), 1)
    assert first != second
    assert sorted(chain(*first)) == sorted(chain(*second)) == list(range(10))
    assert epoch(make(seed=1), 1) == second
    assert epoch(make(seed=2), 1) != second


def test_restore_goes_to_the_epoch_of_the_next_step(tmp_path: Any) -> None:
    feed, expected = make(seed=1), epoch(make(seed=1), 2)
    feed.save(tmp_path)
    assert list(tmp_path.iterdir()) == []
    feed.restore(7, tmp_path)
    assert feed.next(tf.constant(1, tf.int64))[1].numpy().tolist() == expected[1]


def test_full_batches_have_a_static_size() -> None:
    sizes = []
    for feed in (make(8, seed=0), make(10, seed=0), make(10, seed=0, steps_per_epoch=2)):
        traced = tf.function(feed.next).get_concrete_function(tf.TensorSpec([], tf.int64))
        sizes.append(traced.structured_outputs[0].shape[0])
    assert sizes == [4, None, 4]


def test_casts_floats_as_keras_does() -> None:
    x, y = make().next(tf.constant(0, tf.int64))
    assert (x.dtype, y.dtype) == (tf.float32, tf.int64)


def test_takes_structures_of_arrays() -> None:
    arrays = ({"a": np.zeros((6, 2)), "b": [np.ones((6, 1)), np.ones(6)]}, np.arange(6))
    x, y = ArrayFeed(arrays, "data", 4, ONE, seed=0).next(tf.constant(1, tf.int64))
    assert x["a"].shape == (2, 2)
    assert isinstance(x["b"], tuple)
    assert y.shape == (2,)


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        ((np.zeros(3), np.zeros(4)), ValueError, r"same number of samples.*samples=\[3, 4\]"),
        ((np.zeros((0, 2)), np.zeros(0)), ValueError, r"at least 1; got samples=\[0\]"),
        (([1, 2], np.zeros(2)), TypeError, "must consist of arrays.*got int"),
    ],
)
def test_refuses_what_is_no_data(arrays: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ArrayFeed(arrays, "training data", 4, ONE)


@pytest.mark.parametrize("steps", [0, 4])
def test_refuses_epochs_longer_than_the_data(steps: int) -> None:
    with pytest.raises(ValueError, match=rf"in \[1, 3\].*steps_per_epoch={steps}"):
        make(steps_per_epoch=steps)


def sparse_and_ragged() -> tuple[Any, ...]:
    cube = np.random.default_rng(0).integers(-3, 3, (7, 3, 2)).clip(0)
    ragged = tf.ragged.constant([list(range(length)) for length in (2, 0, 3, 1, 1, 4, 2)])
    matrix = scipy.sparse.csr_array(cube[:, :, 0].astype("float64"))
    return {"cube": tf.sparse.from_dense(cube), "lists": ragged, "matrix": matrix}, np.arange(7)


@pytest.mark.parametrize("seed", [None, 3])
def test_rows_of_sparse_and_ragged_arrays_go_with_their_labels(seed: int | None) -> None:
    x, y = sparse_and_ragged()
    feed = ArrayFeed((x, y), "data", 3, tf.distribute.get_strategy(), seed=seed)
    assert not feed.dense
    traced = tf.function(feed.next, input_signature=[tf.TensorSpec([], tf.int64)])
    seen = []
    for index in range(feed.steps_per_epoch):
        batch, labels = traced(index)
        rows = labels.numpy()
        seen += rows.tolist()
        dense = tf.sparse.to_dense(x["cube"]).numpy()[rows]
        assert np.array_equal(tf.sparse.to_dense(batch["cube"]), dense)
        assert np.array_equal(tf.sparse.to_dense(batch["matrix"]), dense[:, :, 0])
        assert batch["matrix"].dtype == tf.float32
        assert batch["lists"].to_list() == tf.gather(x["lists"], rows).to_list()
    assert sorted(seen) == list(range(7))
    assert (seen == list(range(7))) == (seed is None)


def test_refuses_what_holds_no_numbers() -> None:
    mixed = np.array([[1, "a"], [None, 2.5]], object)
    with pytest.raises(TypeError, match="arrays of numbers or strings; got ndarray"):
        ArrayFeed((mixed, np.arange(2)), "data", 2, tf.distribute.get_strategy())
