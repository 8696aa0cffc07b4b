import math
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L

from pruneplug.training.best import Best, check_mode, direction


def test_keeps_the_lowest_loss() -> None:
    best = Best("val_loss")
    taken = [best.offer(i, {"val_loss": v}, list) for i, v in enumerate([3.0, 4.0, 2.0, 2.0])]
    assert taken == [True, False, True, False]
    assert (best.step, best.logs) == (2, {"val_loss": 2.0})


def test_keeps_the_highest_score() -> None:
    best = Best("val_r2", "max")
    taken = [best.offer(i, {"val_r2": v}, list) for i, v in enumerate([3.0, 2.0, 4.0])]
    assert taken == [True, False, True]


def test_never_takes_nan_or_a_missing_metric() -> None:
    best = Best("val_loss")
    assert not best.offer(1, {"val_loss": math.nan}, list)
    assert not best.offer(1, {"loss": 1.0}, list)
    assert best.step is None


def test_comes_back_as_it_was() -> None:
    best, other = Best("val_loss"), Best("val_loss")
    best.offer(3, {"val_loss": 1.0}, list)
    other.restore(best.save(), [])
    assert other == best


class Psnr(keras.metrics.MeanMetricWrapper):
    def __init__(self, name: str = "psnr") -> None:
        super().__init__(lambda y, p: -keras.ops.mean((y - p) ** 2), name=name)
        self._direction = "up"


def compiled(**arguments: Any) -> keras.Model:
    inputs = keras.Input((3,))
    outputs = {name: L.Dense(2, name=name)(inputs) for name in ("accel", "speed")}
    model = keras.Model(inputs, outputs)
    model.compile("sgd", {"accel": "mse", "speed": "mae"}, **arguments)
    zeros = np.zeros((4, 2), "float32")
    model.train_on_batch(np.zeros((4, 3)), dict.fromkeys(outputs, zeros))
    return model


def ask(model: keras.Model, monitor: str, mode: Any = "auto") -> str:
    names = model.get_metrics_result().keys()
    return direction(model, monitor, mode, names, names)


def test_losses_are_better_when_lower_whatever_their_names() -> None:
    model = compiled()
    for monitor in ("loss", "val_loss", "accel_loss", "val_accel_loss", "val_speed_loss"):
        assert ask(model, monitor) == "min"


def test_metrics_are_asked_by_output_and_number() -> None:
    r2, mse = keras.metrics.R2Score(), keras.metrics.MeanSquaredError(name="score")
    similar = keras.metrics.CosineSimilarity(name="accuracy_gap")
    model = compiled(
        metrics={"accel": [r2, similar, "mae"], "speed": [Psnr(), mse, Psnr("score")]},
        weighted_metrics={"speed": [keras.metrics.AUC(name="auc"), "mse"]},
    )
    expected = {
        "accel_r2_score": "max",
        "val_accel_accuracy_gap": "max",
        "val_accel_mae": "min",
        "val_speed_psnr": "max",
        "speed_score": "min",
        "val_speed_score_1": "max",
        "val_speed_auc": "max",
        "val_speed_mse": "min",
    }
    assert {monitor: ask(model, monitor) for monitor in expected} == expected


def test_a_metric_that_does_not_say_needs_a_mode() -> None:
    model = compiled(metrics={"accel": [lambda y, p: keras.ops.mean(p)]})
    (name,) = [name for name in model.get_metrics_result() if "lambda" in name]
    with pytest.raises(ValueError, match=r"mode must be 'min' or 'max' .* does not say which"):
        ask(model, name)
    assert ask(model, f"val_{name}", "max") == "max"
    assert ask(model, "val_loss", "max") == "max"


def test_a_metric_of_the_models_own_is_asked_too() -> None:
    class Own(keras.Sequential):
        pass

    model = Own([keras.Input((3,)), L.Dense(1)])
    model.quality = keras.metrics.R2Score(name="quality")
    model.cost = keras.metrics.Mean(name="cost")
    model.compile("sgd")
    names = {"quality", "cost"}
    assert direction(model, "val_quality", "auto", names, names) == "max"
    with pytest.raises(ValueError, match="got monitor='val_cost' and mode='auto'"):
        direction(model, "val_cost", "auto", names, names)


def test_the_monitor_must_be_measured() -> None:
    model, names = compiled(), {"loss", "accuracy"}
    assert direction(model, "val_other", "auto", names, None) == "min"  # there is no best epoch
    with pytest.raises(ValueError, match=r"one of \['accuracy', 'loss'\]; got monitor='acc'"):
        direction(model, "acc", "auto", names, None)
    with pytest.raises(ValueError, match=r"one of \['accuracy', 'loss', 'val_loss'\]"):
        direction(model, "val_acc", "auto", names, {"loss"})


@pytest.mark.parametrize("mode", ["Max", None, "up"])
def test_refuses_another_mode(mode: Any) -> None:
    with pytest.raises(ValueError, match="mode must be 'auto', 'min' or 'max'; got mode="):
        check_mode(mode)
