import re
import warnings

import keras
import numpy as np
import pytest

from pruneplug import (
    ConstantSparsity,
    GlobalAllocation,
    PolynomialDecay,
    Pruner,
    Trainer,
    prune_low_magnitude,
    strip_pruning,
)
from pruneplug.pruning.callbacks import UpdatePruningStep
from pruneplug.pruning.schedules import PruningSchedule
from pruneplug.pruning.wrapper import pruned_layers
from pruneplug.training.preparation import Wrapping, callback_list, check_schedules

SCHEDULE = ConstantSparsity(0.5, 0)


def build() -> keras.Model:
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


def test_wraps_a_dense_model_and_leaves_a_pruned_one() -> None:
    options = {"block_size": (1, 3), "allocation": GlobalAllocation()}
    model = Wrapping(SCHEDULE, options).wrap(build())
    (layer,) = pruned_layers(model)
    assert layer.block_size == (1, 3)
    assert layer.allocation == GlobalAllocation()
    strip_pruning(model)
    assert Wrapping(None, {}).wrap(model) is model
    assert type(model.trainable_variables[0].constraint).__name__ == "MaskConstraint"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("block_sise", "Did you mean block_size?"),
        ("pruning_schedule", "Did you mean schedule?"),
        ("to_prune", "or those of prune_low_magnitude (block_size"),
    ],
)
def test_refuses_arguments_that_nobody_takes(name: str, hint: str) -> None:
    with pytest.raises(TypeError, match=re.escape(hint)):
        Wrapping(SCHEDULE, {name: 1})


def test_needs_exactly_one_schedule() -> None:
    with pytest.raises(ValueError, match="got schedule=None"):
        Wrapping(None, {}).check(build())
    pruned = prune_low_magnitude(build(), SCHEDULE)
    with pytest.raises(ValueError, match="schedule must be left out"):
        Wrapping(SCHEDULE, {}).check(pruned)
    with pytest.raises(ValueError, match=r"block_size must be left out .* got block_size=.2, 1"):
        Wrapping(None, {"block_size": (2, 1)}).check(pruned)
    with pytest.raises(TypeError, match=r"model must be a Keras 3 model; got builtins\.str"):
        Wrapping(SCHEDULE, {}).check("model")  # type: ignore[arg-type]


def test_callbacks_get_model_and_history() -> None:
    model = build()
    stop = keras.callbacks.EarlyStopping()
    listed = callback_list([stop], model, epochs=2, steps=3)
    assert [type(c).__name__ for c in listed.callbacks] == ["EarlyStopping", "History"]
    assert stop.model is model
    assert stop.params["steps"] == 3
    with pytest.raises(ValueError, match="must not contain UpdatePruningStep"):
        callback_list([UpdatePruningStep()], model, 2, 3)


def _pruner(*schedules: PruningSchedule) -> Pruner:
    layers = [
        prune_low_magnitude(keras.layers.Dense(4, activation="softmax"), s) for s in schedules
    ]
    return Pruner(keras.Sequential([keras.Input((4,)), *layers]))


def test_a_schedule_that_fits_is_silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_schedules(_pruner(PolynomialDecay(0.0, 0.8, 0, 50), ConstantSparsity(0.5, 0)), 100)


def test_a_schedule_that_never_fires_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"ConstantSparsity\(.*80 planned steps.*into \[1, 80\]"):
        check_schedules(_pruner(ConstantSparsity(0.5, 0, frequency=100)), 80)


def test_a_partly_used_schedule_names_the_sparsity_it_reaches() -> None:
    schedule = PolynomialDecay(0.0, 0.8, 0, 100, power=1, frequency=25)
    with pytest.warns(UserWarning, match=r"at step 50, and reaches a sparsity of 0\.4000 instead"):
        check_schedules(_pruner(schedule), 60)


def test_a_missed_target_is_said_before_a_training_and_not_again_behind_it() -> None:
    schedule = PolynomialDecay(0.0, 0.8, 0, 20, frequency=2)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    x, y = np.ones((16, 4), np.float32), np.arange(16) % 3
    with pytest.warns(UserWarning, match="A pruning schedule") as said:
        Trainer(model, schedule, epochs=2, batch_size=4).fit((x, y))
    texts = [str(warning.message) for warning in said if warning.category is UserWarning]
    assert ["will not be finished" in text for text in texts] == [True]
