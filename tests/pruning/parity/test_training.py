"""Trained on the same batches, both libraries have the same masks at every step."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras
from oracle import Build, Data, build_pair, reference, train_ours, train_reference

import pruneplug

STEPS = 60
BATCH = 8
OUTPUTS = 4
LENGTH = 5
WORDS = BATCH * LENGTH

Make = Callable[[Any], Any]


def mlp(k: Any) -> Any:
    layers = k.layers
    return k.Sequential(
        [
            layers.Input((12,)),
            layers.Dense(16, activation="relu"),
            layers.Dense(11, activation="tanh"),
            layers.Dense(OUTPUTS),
        ]
    )


def cnn(k: Any) -> Any:
    layers = k.layers
    return k.Sequential(
        [
            layers.Input((8, 8, 2)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(6, 2, activation="relu"),
            layers.Flatten(),
            layers.Dense(OUTPUTS),
        ]
    )


def separable_conv(k: Any) -> Any:
    layers = k.layers
    return k.Sequential(
        [
            layers.Input((6, 6, 3)),
            layers.SeparableConv2D(8, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(OUTPUTS),
        ]
    )


def embedding_lstm(k: Any) -> Any:
    layers = k.layers
    return k.Sequential(
        [
            layers.Input((LENGTH,), dtype="int32"),
            layers.Embedding(WORDS, 8),
            layers.LSTM(6),
            layers.Dense(OUTPUTS),
        ]
    )


def gru(k: Any) -> Any:
    layers = k.layers
    return k.Sequential([layers.Input((LENGTH, 6)), layers.GRU(7), layers.Dense(OUTPUTS)])


def attention(k: Any) -> Any:
    layers = k.layers
    inputs = layers.Input((4, 6))
    # The gradient of the key's bias is zero but for rounding, and Adam turns rounding into steps.
    attended = layers.MultiHeadAttention(2, 3, use_bias=False)(inputs, value=inputs)
    return k.Model(inputs, layers.Dense(OUTPUTS)(layers.Flatten()(attended)))


MODELS: dict[str, Build] = {
    "MLP": mlp,
    "CNN": cnn,
    "SeparableConv": separable_conv,
    "Embedding+LSTM": embedding_lstm,
    "GRU": gru,
    "MultiHeadAttention": attention,
}
OPTIMIZERS: dict[str, Make] = {
    "SGD": lambda k: k.optimizers.SGD(0.05, momentum=0.9),
    "Adam": lambda k: k.optimizers.Adam(0.01),
}
SCHEDULES: dict[str, Make] = {
    "constant": lambda library: library.ConstantSparsity(0.6, begin_step=2, frequency=5),
    "polynomial": lambda library: library.PolynomialDecay(0.1, 0.77, 1, 49, frequency=4),
}
PATTERNS: dict[str, dict[str, Any]] = {
    "blocks": {"block_size": (4, 2)},
    "largest of blocks": {"block_size": (2, 2), "block_pooling_type": "MAX"},
    "m-by-n": {"sparsity_m_by_n": (2, 4)},
}


def _data(model: keras.Model) -> Data:
    rng = np.random.default_rng(1)
    count = BATCH * (STEPS + 1)
    shape = (count, *model.input_shape[1:])
    x = rng.standard_normal(shape).astype("float32")
    if model.inputs[0].dtype == "int32":
        # Each word once in a batch: Keras 3's Adam squares the gradients of a repeated one apart.
        x = np.concatenate([rng.permutation(WORDS) for _ in range(STEPS + 1)]).reshape(shape)
    return Data(x, rng.standard_normal((count, OUTPUTS)).astype("float32"), BATCH)


def _compare(build: Build, schedule: Make, optimizer: Make, pattern: dict[str, Any]) -> int:
    """Train in both libraries and compare after every step; return the number of steps."""
    ours, theirs = build_pair(
        build,
        {"pruning_schedule": schedule(pruneplug), **pattern},
        {"pruning_schedule": schedule(reference), **pattern},
    )
    data = _data(ours)
    expected = train_reference(theirs, optimizer(tf_keras), data)
    steps = train_ours(ours, optimizer(keras), data)
    for step, (our, their) in enumerate(zip(steps, expected, strict=False)):
        for mask, their_mask in zip(our.masks, their.masks, strict=True):
            np.testing.assert_array_equal(mask, their_mask, err_msg=f"step {step}")
        for weight, their_weight in zip(our.weights, their.weights, strict=True):
            np.testing.assert_allclose(
                weight, their_weight, rtol=0, atol=1e-5, err_msg=f"step {step}"
            )
    assert not all(mask.all() for mask in our.masks)
    return len(expected)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_models(model: str, optimizer: str, schedule: str, compared: Callable[[int], None]) -> None:
    compared(_compare(MODELS[model], SCHEDULES[schedule], OPTIMIZERS[optimizer], {}))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns(pattern: str, compared: Callable[[int], None]) -> None:
    model = cnn if pattern == "m-by-n" else mlp
    compared(_compare(model, SCHEDULES["polynomial"], OPTIMIZERS["Adam"], PATTERNS[pattern]))
