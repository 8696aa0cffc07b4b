"""Random numbers that a checkpoint cannot hold are spoken of, and no others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pruneplug import ConstantSparsity, Trainer


class Draws(keras.layers.Layer):
    """Adds what a function draws."""

    def __init__(self, draw: Callable[[Any, Any], Any]):
        super().__init__(name="draws")
        self.draw = draw
        self.seed_generator = keras.random.SeedGenerator(1)
        self.generator = tf.random.Generator.from_seed(1)

    def call(self, inputs: Any) -> Any:
        return inputs + self.draw(self, tf.shape(inputs))


def _train(folder: Path | None, draw: Callable[[Any, Any], Any]) -> None:
    layers = [Draws(draw), keras.layers.Dropout(0.5), keras.layers.Dense(3, activation="softmax")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    x, y = np.zeros((8, 4), np.float32), np.arange(8) % 3
    Trainer(model, ConstantSparsity(0.5, 1), folder=folder).fit((x, y))


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda _, shape: tf.random.normal(shape), "RandomStandardNormal at '.*draws"),
        (lambda _, shape: tf.random.uniform(shape, seed=3), "RandomUniform at '.*draws"),
        (lambda layer, shape: layer.generator.normal(shape), "RngReadAndSkip at '.*draws"),
        (lambda _, shape: tf.nn.dropout(tf.ones(shape), 0.5), "RandomUniform at '.*draws"),
    ],
    ids=["normal", "uniform with a seed", "generator", "dropout"],
)
def test_what_no_checkpoint_holds_is_named(
    tmp_path: Path, draw: Callable[[Any, Any], Any], said: str
) -> None:
    with pytest.warns(UserWarning, match=said):
        _train(tmp_path, draw)


def test_what_keras_draws_is_held(tmp_path: Path) -> None:
    _train(tmp_path, lambda layer, shape: keras.random.normal(shape, seed=layer.seed_generator))


def test_without_checkpoints_nothing_is_said() -> None:
    _train(None, lambda _, shape: tf.random.normal(shape))
