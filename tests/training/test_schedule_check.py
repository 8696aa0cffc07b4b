import warnings

import keras
import numpy as np
import pytest

from pruneplug import ConstantSparsity, PolynomialDecay, Pruner, Trainer, prune_low_magnitude
from pruneplug.schedules import PruningSchedule
from pruneplug.training.schedule_check import check_schedules


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
