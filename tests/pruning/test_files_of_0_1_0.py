"""Files and checkpoints written by version 0.1.0 load, and what they hold goes on.

They were written in the middle of SCHEDULE, after one epoch of 8 steps.
"""

import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
from places import TESTS
from sparse import check_sparse, masks

from pruneplug import (
    PolynomialDecay,
    Pruner,
    Trainer,
    UpdatePruningStep,
    prune_low_magnitude,
    sparsity_report,
)

FILES = TESTS / "fixtures" / "0.1.0"
SCHEDULE = PolynomialDecay(0.0, 0.75, begin_step=1, end_step=16, frequency=3)
X = np.random.default_rng(0).normal(size=(32, 6)).astype("f")
Y = (X[:, 0] > 0).astype("int64")


class Stop(keras.callbacks.Callback):
    """Bears the name of the callback that ended the first run, and stops nothing."""


def _dense() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation="relu", name="a"),
            keras.layers.Dense(2, activation="softmax", name="b"),
        ]
    )


def _check_goes_on(model: keras.Model) -> None:
    with np.load(FILES / "half.npz") as held:
        for mask, written in zip(masks(model), held.values(), strict=True):
            np.testing.assert_array_equal(mask, written)
    # The last update was due at 7, and the next one, at 10, is still to come.
    assert [int(v[0]) for layer in model.layers for v in layer.pruning_updates] == [7, 7]
    assert sparsity_report(model).weights[0].target == SCHEDULE.sparsity(7)
    assert Pruner(model).step == 8
    assert Pruner(model).start() is None
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(X, Y, batch_size=4, verbose=0, callbacks=[UpdatePruningStep()])
    check_sparse(model, 0.75)


def test_a_keras_file_loads() -> None:
    _check_goes_on(keras.models.load_model(FILES / "half.keras"))


def test_a_weights_file_loads() -> None:
    model = prune_low_magnitude(_dense(), SCHEDULE)
    model.load_weights(FILES / "half.weights.h5")
    _check_goes_on(model)


def test_a_checkpoint_is_resumed(tmp_path: Path) -> None:
    shutil.copytree(FILES / "run", tmp_path / "run")
    arguments: dict[str, Any] = {"epochs": 3, "batch_size": 4, "jit_compile": False}
    trainer = Trainer(
        _dense(),
        SCHEDULE,
        optimizer=keras.optimizers.Adam(0.01),
        folder=tmp_path / "run",
        resume="auto",
        callbacks=[Stop()],
        **arguments,
    )
    result = trainer.fit((X, Y), (X[:8], Y[:8]))
    assert (result.steps, len(result.history["loss"])) == (24, 3)
    assert [weight.sparsity for weight in result.report.weights] == [0.75, 0.75]
