import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pruneplug import ConstantSparsity, Trainer
from pruneplug.training.checkpoints.variables import (
    check_variables,
    random_state,
    read_variables,
    restore_random_state,
    restore_variables,
    state_variables,
    view_variables,
)


def build(units: int = 3, dtype: str = "float32") -> keras.Model:
    layers = [keras.Input((2,)), keras.layers.Dense(units, dtype=dtype), keras.layers.Dropout(0.5)]
    model = keras.Sequential(layers)
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def sections(model: keras.Model) -> dict:  # type: ignore[type-arg]
    return {n: list(read_variables(variables)) for n, variables in state_variables(model).items()}


def test_restores_a_model_whose_automatic_names_differ() -> None:
    model, other = build(), build()
    assert model.variables[0].path != other.variables[0].path
    saved = sections(model)
    restore_variables(other, saved)
    for name, arrays in sections(other).items():
        for (_, one), (_, two) in zip(arrays, saved[name], strict=True):
            np.testing.assert_array_equal(one, two)


def _with_states() -> keras.Model:
    inputs = keras.Input(batch_shape=(8, 5, 4))
    first = keras.layers.GRU(4, stateful=True, return_sequences=True)(inputs)
    second = keras.layers.LSTM(6, stateful=True)(first)
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(second))


def test_the_states_of_layers_come_back(tmp_path: Path) -> None:
    def run(folder: str, epochs: int) -> Sequence[Any]:
        keras.utils.set_random_seed(0)
        x = np.random.default_rng(0).standard_normal((24, 5, 4), np.float32)
        trainer = Trainer(
            _with_states(),
            ConstantSparsity(0.5, 1),
            epochs=epochs,
            batch_size=8,
            folder=tmp_path / folder,
            resume="auto",
        )
        return list(trainer.fit((x, np.arange(24) % 3)).model.get_weights())

    whole = run("whole", 3)
    run("cut", 1)
    for one, other in zip(whole, run("cut", 3), strict=True):
        np.testing.assert_array_equal(one, other)


def test_covers_seed_generators_and_bfloat16() -> None:
    saved = sections(build(dtype="bfloat16"))
    assert any("seed_generator" in path for path, _ in saved["model"])
    assert saved["model"][0][1].dtype.name == "bfloat16"
    restore_variables(build(dtype="bfloat16"), saved)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: build(4), r"model: .*dense/kernel \(2, 3\) float32 in the checkpoint, .*\(2, 4\)"),
        (lambda: build(dtype="float64"), "float32 in the checkpoint, .* float64 here"),
        (lambda: keras.Sequential([build()]), "variables in the checkpoint"),
    ],
)
def test_shows_how_another_architecture_differs(model: object, message: str) -> None:
    saved = sections(build())
    other = model()  # type: ignore[operator]
    other.compile("sgd", "mse")
    with pytest.raises(ValueError, match=message):
        check_variables(other, saved, force=False)
    with pytest.warns(UserWarning, match=message):
        check_variables(other, saved, force=True)
    restore_variables(other, saved, force=True)


def test_random_states_go_through_json() -> None:
    import json

    random.gauss(0, 1), np.random.normal()
    state = json.loads(json.dumps(random_state()))
    expected = random.random(), random.gauss(0, 1), np.random.normal(), np.random.random()
    restore_random_state(state)
    assert (random.random(), random.gauss(0, 1), np.random.normal(), np.random.random()) == expected


def test_viewing_copies_nothing() -> None:
    variable = keras.Variable(np.ones((64, 64), np.float32), name="kernel")
    ((path, one),), ((_, other),) = view_variables([variable]), view_variables([variable])
    assert path == "kernel"
    assert np.shares_memory(one, other)
    before = one.copy()
    variable.assign_add(np.ones((64, 64), np.float32))
    np.testing.assert_array_equal(one, before)
