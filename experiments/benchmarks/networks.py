"""The networks that are measured, each written once for Keras 3 and tf_keras."""

from __future__ import annotations

from typing import Any

import numpy as np

BATCH = 32
CLASSES = 10


def cnn(keras: Any) -> Any:
    """Build 28x28, two 5x5 convolutions of 32 and 64 filters, a dense layer of 1024."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(1024, activation="relu"),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )


def mlp(keras: Any) -> Any:
    """Build 784-2048-2048-10."""
    return dense_net(keras, 784, [2048, 2048])


def dense_net(keras: Any, inputs: int, hidden: list[int]) -> Any:
    """Build a multilayer perceptron with the given widths and ten classes."""
    layers = [keras.layers.Dense(units, activation="relu") for units in hidden]
    head = keras.layers.Dense(CLASSES, activation="softmax")
    return keras.Sequential([keras.Input((inputs,)), *layers, head])


def batches_for(model: Any, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random samples for `steps` batches of a model; every call gives the same."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((steps * BATCH, *model.input_shape[1:]), np.float32)
    return x, generator.integers(0, CLASSES, steps * BATCH)
