"""A run that was cut goes on in the order that its data sets would have had."""

import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pruneplug import PolynomialDecay, Trainer, TrainingResult

RNG = np.random.default_rng(0)
X = RNG.normal(size=(22, 6)).astype("float32")
Y = np.arange(22) % 3


def plain() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)


def shuffled() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(22, seed=1).batch(4)


def subset() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(22, seed=1).take(10).batch(4)


class Shuffled(keras.utils.PyDataset):
    """Shuffles itself, as fit allows."""

    def __init__(self) -> None:
        super().__init__()
        self._rng = np.random.default_rng(0)
        self._order = np.arange(22)

    @property
    def num_batches(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        chosen = self._order[4 * index : 4 * index + 4]
        return X[chosen], Y[chosen]

    def on_epoch_end(self) -> None:
        self._rng.shuffle(self._order)


class Killed(Exception):
    """Stands for the end of the process."""


class Cut(keras.callbacks.Callback):
    """Ends a run: at the begin of an epoch at once, in an evaluation with a signal."""

    def __init__(self, epoch: int = -1, evaluated: int = 10**6) -> None:
        super().__init__()
        self._epoch = epoch
        left = iter(range(evaluated - 1))
        self._is_last = lambda: next(left, None) is None  # a function is not part of the state

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == self._epoch:
            raise Killed

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._is_last():
            signal.raise_signal(signal.SIGTERM)


def fit(folder: Path, train: Any, validation: Any, cut: Cut) -> TrainingResult:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, activation="softmax")])
    schedule = PolynomialDecay(0.0, 0.5, begin_step=0, end_step=8, frequency=2)
    settings: dict[str, Any] = {"epochs": 3, "jit_compile": False, "callbacks": [cut]}
    trainer = Trainer(model, schedule, folder=folder, resume="auto", **settings)
    return trainer.fit(train(), validation())


def facts(result: TrainingResult) -> tuple[Any, ...]:
    weights = [array.tolist() for array in result.model.get_weights()]
    return result.history, result.best_step, result.metrics, weights


@pytest.mark.parametrize(
    ("train", "validation", "cut", "read"),
    [
        (shuffled, plain, {"epoch": 2}, "training data was not saved: 12 batches"),
        (shuffled, plain, {"evaluated": 8}, "training data was not saved: 12 batches"),
        (plain, subset, {"evaluated": 5}, "validation data was not saved: 5 batches"),
        (plain, Shuffled, {"epoch": 2}, "validation data was not saved: 4 batches"),
    ],
)
def test_ends_with_the_same_bits(
    tmp_path: Path,
    train: Callable[[], Any],
    validation: Callable[[], Any],
    cut: dict[str, int],
    read: str,
) -> None:
    whole = fit(tmp_path / "whole", train, validation, Cut())
    with pytest.raises((Killed, SystemExit)):
        fit(tmp_path / "cut", train, validation, Cut(**cut))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The position in the")
        with pytest.warns(UserWarning, match=read):
            again = fit(tmp_path / "cut", train, validation, Cut())
    assert facts(again) == facts(whole)


def test_evaluations_that_are_all_the_same_cost_nothing(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        fit(tmp_path, plain, plain, Cut(epoch=1))
    fit(tmp_path, plain, plain, Cut())  # a warning would be an error
