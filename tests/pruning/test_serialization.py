"""What can be written to a configuration comes back, and the rest is said."""

from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pruneplug import ConstantSparsity, PolynomialDecay, Trainer, prune_low_magnitude
from pruneplug.pruning.serialization import describe_schedule


@keras.saving.register_keras_serializable("tests")
def every_third(step: int) -> tuple[bool, float]:
    return step % 3 == 0, 0.5


@keras.saving.register_keras_serializable("tests")
class Duck:
    """Answers and says its arguments, and is no PruningSchedule."""

    def __init__(self, target: float):
        self.aim = target

    def __call__(self, step: int) -> tuple[bool, float]:
        return True, self.aim

    def get_config(self) -> dict[str, Any]:
        return {"target": self.aim}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config)


def _model(schedule: Any) -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    return prune_low_magnitude(model, schedule)


def _loaded(schedule: Any, folder: Path) -> Any:
    _model(schedule).save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras").layers[0].pruning_schedule


def test_schedules_and_functions_known_to_keras_come_back(tmp_path: Path) -> None:
    for schedule in (ConstantSparsity(0.5, 0), PolynomialDecay(0.0, 0.5, 0.0, 9.0), every_third):
        assert _loaded(schedule, tmp_path) == schedule
    assert _loaded(Duck(0.3), tmp_path).aim == 0.3


def _unknown(step: int) -> tuple[bool, float]:
    return True, 0.5


@pytest.mark.parametrize(
    "function", [_unknown, lambda step: (True, 0.5), partial(_unknown), Duck(0.3).__call__]
)
def test_functions_that_keras_could_not_find_are_not_saved(function: Any, tmp_path: Path) -> None:
    model = _model(function)
    model.save_weights(tmp_path / "model.weights.h5")
    for write in (model.get_config, model.to_json, lambda: model.save(tmp_path / "model.keras")):
        with pytest.raises(ValueError, match="or a function known to Keras, to be saved"):
            write()


def test_functions_are_told_apart_by_their_names() -> None:
    assert describe_schedule(_unknown).endswith("test_serialization._unknown")
    assert describe_schedule(Duck(0.3).__call__).endswith("Duck.__call__")
    assert describe_schedule(partial(_unknown)) == "functools.partial"
    described = describe_schedule(ConstantSparsity(0.5, 0))
    assert described["config"] == ConstantSparsity(0.5, 0).get_config()


def test_a_training_by_a_function_is_resumed(tmp_path: Path) -> None:
    x = np.ones((8, 4), "float32")
    for epochs in (1, 2):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
        arguments = {"optimizer": "sgd", "loss": "mse", "metrics": (), "batch_size": 2}
        trainer = Trainer(
            model, _unknown, epochs=epochs, folder=tmp_path, resume="auto", **arguments
        )
        result = trainer.fit((x, x), (x, x))
    assert result.steps == 8
    assert result.report.total == 0.5


@pytest.mark.parametrize("wrong", [0.5, "polynomial", None, ConstantSparsity, {"target": 0.5}])
def test_what_cannot_be_asked_is_no_schedule(wrong: Any) -> None:
    with pytest.raises(ValueError, match="pruning_schedule must be a PruningSchedule; got"):
        _model(wrong)
