from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from pruneplug.command.data import Arrays, Splits
from pruneplug.command.models import check_output, outputs_logits


def _splits(*shape: int, classes: int = 3) -> Splits:
    part = Arrays(np.zeros((6, *shape), np.float32), np.arange(6) % classes)
    return Splits(part, part, part, classes)


def _chain(*parts: Any, shape: Sequence[int] = (4,)) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *parts])


@pytest.mark.parametrize(
    ("expected", "given"),
    [((4,), (4,)), ((None,), (4,)), ((2, 2, 1), (2, 2)), ((2, 2), (2, 2, 1)), ((4,), (4, 1))],
)
def test_shapes_that_keras_takes(expected: tuple[int, ...], given: tuple[int, ...]) -> None:
    x = inputs = keras.Input(expected)
    x = layers.Dense(3)(x) if expected == (4,) else layers.Dense(3)(layers.Reshape((4,))(x))
    splits = _splits(*given)
    model = keras.Model(inputs, x)
    check_output(model, splits)
    assert model(splits.test.x).shape == (6, 3)


@pytest.mark.parametrize("shape", [(5,), (4, 4), (2, 2, 1), ()])
def test_samples_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"input must have .*got model=\(4,\), data=\("):
        check_output(_chain(layers.Dense(3)), _splits(*shape))


@pytest.mark.parametrize(
    ("parts", "outputs"),
    [
        ([layers.Dense(10)], r"\(10,\)"),
        ([layers.Dense(1)], r"\(1,\)"),
        ([layers.RepeatVector(2), layers.Dense(3)], r"\(2, 3\)"),
    ],
)
def test_other_outputs_than_classes(parts: list[keras.Layer], outputs: str) -> None:
    with pytest.raises(ValueError, match=f"one output for each class.*{outputs}, classes=3"):
        check_output(_chain(*parts), _splits(4))


def test_several_inputs_or_outputs() -> None:
    first, second = keras.Input((4,), name="first"), keras.Input((4,), name="second")
    head = layers.Dense(3)
    with pytest.raises(ValueError, match=r"one of inputs; got inputs=\['first', 'second'\]"):
        check_output(keras.Model([first, second], head(first + second)), _splits(4))
    with pytest.raises(ValueError, match="one of outputs"):
        check_output(keras.Model(first, [head(first), head(first)]), _splits(4))


def test_a_model_that_is_not_built() -> None:
    with pytest.raises(ValueError, match=r"must be a built .*whose inputs are not known"):
        check_output(keras.Sequential([layers.Dense(3)]), _splits(4))


LOGITS = {
    "dense": [layers.Dense(3)],
    "log_softmax": [layers.Dense(3, activation="log_softmax")],
    "nested": [_chain(layers.Dense(3))],
    "linear activation": [layers.Dense(3), layers.Activation("linear", dtype="float32")],
    "time distributed": [layers.Reshape((2, 2)), layers.TimeDistributed(layers.Dense(3))],
}
PROBABILITIES = {
    "dense": [layers.Dense(3, activation="softmax")],
    "layer": [layers.Dense(3), layers.Softmax()],
    "layer as activation": [layers.Dense(3, activation=layers.Softmax())],
    "activation": [layers.Dense(3), layers.Activation("softmax")],
    "nested": [_chain(layers.Dense(3, activation="softmax"))],
    "linear on top": [layers.Dense(3), layers.Softmax(), layers.Activation("linear")],
    "dropout on top": [layers.Dense(3, activation="softmax"), layers.Dropout(0.1)],
    "averaged": [
        layers.Reshape((2, 2)),
        layers.Dense(3, activation="softmax"),
        layers.GlobalAveragePooling1D(),
    ],
}


@pytest.mark.parametrize("parts", LOGITS.values(), ids=LOGITS)
def test_logits(parts: list[keras.Layer]) -> None:
    assert outputs_logits(_chain(*parts))


@pytest.mark.parametrize("parts", PROBABILITIES.values(), ids=PROBABILITIES)
def test_probabilities(parts: list[keras.Layer]) -> None:
    assert not outputs_logits(_chain(*parts))


def test_an_operation_in_place_of_a_layer() -> None:
    inputs = keras.Input((4,))
    assert not outputs_logits(keras.Model(inputs, keras.ops.softmax(layers.Dense(3)(inputs))))


@pytest.mark.parametrize(
    ("parts", "activation"),
    [
        ([layers.Dense(1, activation="sigmoid")], "sigmoid"),
        ([layers.Dense(3, activation="relu")], "relu"),
        ([layers.Dense(3), layers.ReLU()], "None"),
        ([layers.Dense(3), layers.BatchNormalization()], "None"),
    ],
)
def test_outputs_that_are_no_classes(parts: list[keras.Layer], activation: str) -> None:
    with pytest.raises(ValueError, match=f"softmax or linear.*got layer=.*activation={activation}"):
        outputs_logits(_chain(*parts))
