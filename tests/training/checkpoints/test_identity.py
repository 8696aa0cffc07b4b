"""A run goes on with the model, the loss and the data that it began with, or says what differs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pruneplug import ConstantSparsity, Trainer
from pruneplug.training.checkpoints.identity import comparable
from pruneplug.training.feeds.arrays import ArrayFeed

X = np.random.default_rng(0).standard_normal((16, 4), np.float32)
Y = np.arange(16) % 3


@keras.saving.register_keras_serializable("test_identity")
class Scale(keras.layers.Layer):
    def __init__(self, factor: Any = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs: Any) -> Any:
        return inputs * np.mean(self.factor)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


def _model(
    rate: float = 0.5,
    activation: Any = "relu",
    factor: Any = 1.0,
    nested: type = keras.Sequential,
    initializer: str = "glorot_uniform",
) -> keras.Model:
    inside = nested(
        [
            keras.layers.Dense(8, activation=activation, kernel_initializer=initializer),
            keras.layers.Dropout(rate),
            Scale(factor),
        ]
    )
    head = keras.layers.Dense(3, activation="softmax")
    return keras.Sequential([keras.Input((4,)), inside, head])


def _loss(y: Any, p: Any) -> Any:
    return keras.losses.sparse_categorical_crossentropy(y, p)


def _other_loss(y: Any, p: Any) -> Any:
    return 2 * _loss(y, p)


def _train(folder: Path, epochs: int, **changed: Any) -> Any:
    given = {"x": X, "y": Y, "loss": _loss, "validation": None, "model": _model} | changed
    trainer = Trainer(
        given["model"](),
        ConstantSparsity(0.5, 1),
        loss=given["loss"],
        epochs=epochs,
        folder=folder,
        resume="auto",
    )
    return trainer.fit((given["x"], given["y"]), given["validation"])


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    _train(folder, 1)
    return folder


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": lambda: _model(rate=0.25)}, r"model\.Dropout 1\.rate: 0\.5 .*0\.25 now"),
        ({"model": lambda: _model(activation="tanh")}, r"Dense 1\.activation: relu .*tanh now"),
        ({"model": lambda: _model(factor=2.0)}, r"model\.Scale 1\.factor: 1\.0 .*2\.0 now"),
        (
            {"model": lambda: _model(activation="tanh", factor=[1.0] * 1000)},
            r"model\.Scale 1\.factor: 1\.0 .*1000 items, \w{8} now",
        ),
        ({"loss": _other_loss}, "loss: _loss in the checkpoint, _other_loss now"),
        ({"loss": keras.losses.SparseCategoricalCrossentropy()}, "loss: _loss .*, Sparse"),
        ({"y": (Y + 1) % 3}, r"data\.fingerprint: "),
        ({"x": X[::-1]}, r"data\.fingerprint: "),
        ({"validation": (X, Y)}, "validation: none in the checkpoint, kind=arrays"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_another_run_is_refused(begun: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=r"(?s)settings it began with.*" + said):
        _train(begun, 2, **changed)


def test_the_same_run_goes_on_whatever_does_not_matter(begun: Path) -> None:
    _model()  # Keras numbers names within a process
    # An initial value has had its effect, and floats become Keras' before they are compared.
    same = {"model": lambda: _model(initializer="he_normal"), "x": X.astype(np.float64)}
    assert _train(begun, 2, **same).history["loss"][1:]


def _with_layers_inside() -> keras.Model:
    cropped = [keras.layers.RandomCrop(3, 3), keras.layers.Reshape((3, 3))]
    recurrent = keras.layers.Bidirectional(keras.layers.LSTM(4, return_sequences=True))
    each = keras.layers.TimeDistributed(keras.layers.Dense(2))
    head = [keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")]
    inputs = keras.Input((4,)), keras.layers.Reshape((2, 2, 1)), keras.layers.UpSampling2D(2)
    return keras.Sequential([*inputs, *cropped, recurrent, each, *head])


def test_what_keras_numbers_and_draws_anew_is_no_difference(tmp_path: Path) -> None:
    # Names of layers inside of others, and seeds that layers have drawn for themselves.
    _train(tmp_path, 1, model=_with_layers_inside)
    assert len(_train(tmp_path, 2, model=_with_layers_inside).history["loss"]) == 2


def test_without_checkpoints_the_data_is_not_looked_through(monkeypatch: Any) -> None:
    monkeypatch.setattr(ArrayFeed, "describe", None)
    Trainer(_model(), ConstantSparsity(0.5, 1), epochs=1).fit((X, Y))


def test_what_an_older_checkpoint_does_not_know_is_not_compared() -> None:
    own = {"seed": 1, "model": {}, "data": {"batch_size": 8, "fingerprint": "1"}}
    assert comparable({"seed": 2, "data": {"batch_size": 4}}, own)[1] == {
        "seed": 1,
        "data": {"batch_size": 8},
    }


def _sparse(values: list[float]) -> tf.SparseTensor:
    return tf.SparseTensor([[0, 1], [1, 0]], values, (2, 3))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: np.zeros((4, 2)), lambda: np.zeros((4, 2, 1))),
        (lambda: np.zeros(2, np.int64), lambda: np.zeros(2, np.int32)),
        (lambda: np.array(["a", "bc"]), lambda: np.array(["ab", "c"])),
        (lambda: _sparse([1.0, 2.0]), lambda: _sparse([1.0, 3.0])),
        (lambda: tf.ragged.constant([[1], [2, 3]]), lambda: tf.ragged.constant([[1, 2], [3]])),
    ],
    ids=["shape", "dtype", "strings", "sparse", "ragged"],
)
def test_data_of_any_kind_has_a_fingerprint(
    one: Callable[[], Any], other: Callable[[], Any]
) -> None:
    def found(make: Callable[[], Any]) -> Any:
        strategy = tf.distribute.get_strategy()
        return ArrayFeed((make(),), "data", 2, strategy).describe()["fingerprint"]

    assert found(one) == found(one)
    assert found(one) != found(other)


def test_a_class_is_known_by_its_registered_name_wherever_it_lies() -> None:
    def identity(module: str, name: str) -> dict[str, Any]:
        schedule = {"module": module, "class_name": "Late", "registered_name": name}
        return {"pruning": [{"pruning_schedule": schedule}], "data": {}}

    there, own = comparable(identity("a", "own>Late"), identity("b", "own>Late"))
    assert there == own
    there, own = comparable(identity("a", "Late"), identity("b", "Late"))
    assert there != own
