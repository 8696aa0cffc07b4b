from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pruneplug import ConstantSparsity, Trainer
from pruneplug.training.feeds.base import evaluation_feed
from pruneplug.training.feeds.datasets import DatasetFeed
from pruneplug.training.model.build import build_state

ARRAYS = (np.zeros((6, 4)), np.zeros(6))


def test_creates_model_optimizer_and_metrics_without_using_a_batch() -> None:
    model = keras.Sequential([keras.layers.Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    dataset = tf.data.Dataset.from_tensor_slices((np.eye(6), np.arange(6))).batch(2)
    feed = DatasetFeed(dataset, "data", model.distribute_strategy)
    build_state(model, feed)
    assert model.built
    assert len(model.optimizer.variables) == 2 + 4
    assert len(model.metrics_variables) == 4
    assert feed.next(tf.constant(0, tf.int64))[1].numpy().tolist() == [0, 1]


def test_leaves_what_it_cannot_build_to_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    model = keras.Sequential([keras.layers.Dense(2)])
    model.compile("adam", "mse")
    monkeypatch.setattr(model, "compute_metrics", None)
    build_state(model, evaluation_feed(ARRAYS, "data", 2, model.distribute_strategy))


def test_refuses_a_loss_without_targets() -> None:
    model, other = (keras.Sequential([keras.layers.Dense(2)]) for _ in range(2))
    feed = evaluation_feed((np.zeros((6, 4)),), "data", 2, model.distribute_strategy)
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match="must hold targets for loss='mse'"):
        build_state(model, feed)
    other.compile("adam")  # as for losses that layers add
    build_state(other, feed)


def test_a_model_may_compute_its_own_loss_without_targets() -> None:
    class Rebuilds(keras.Sequential):
        def compute_loss(self, x: Any = None, y_pred: Any = None, **_: Any) -> Any:
            return keras.ops.mean((x - y_pred) ** 2)

    model = Rebuilds([keras.layers.Dense(4)])
    model.compile("adam", "mse")
    feed = evaluation_feed((np.zeros((6, 4)),), "data", 2, model.distribute_strategy)
    build_state(model, feed)
    assert model.built


def test_the_trainer_refuses_it_in_these_words() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="must hold targets for loss='mse'"):
        Trainer(model, ConstantSparsity(0.5, 1), loss="mse").fit((np.zeros((6, 4)),))
