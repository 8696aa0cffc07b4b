"""A run that is forced to other settings delivers these, and nothing that came of the old ones."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pruneplug import PolynomialDecay, Trainer, TrainingResult
from pruneplug.training.checkpoints.store import CheckpointStore

X = np.random.default_rng(0).normal(size=(40, 6)).astype("f")
Y = (X[:, 0] > 0).astype("int64")

pytestmark = [
    pytest.mark.filterwarnings("ignore:Resumed with other settings"),
    pytest.mark.filterwarnings("ignore:Only what fits is taken"),
]


class Killed(Exception):
    """Breaks a training off."""


def train(
    folder: Path, told: Callable[[str, int], object] = lambda what, epoch: None, **changes: Any
) -> TrainingResult:
    units, sparsity = changes.pop("units", (8,)), changes.pop("sparsity", 0.5)
    model = keras.Sequential([keras.Input((6,))])
    for number, width in enumerate(units):
        model.add(keras.layers.Dense(width, activation="relu", name=f"hidden_{number}"))
    model.add(keras.layers.Dense(2, activation="softmax", name="out"))
    schedule = PolynomialDecay(0.0, sparsity, begin_step=1, end_step=4, frequency=1)
    callback = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: told("begin", epoch),
        on_epoch_end=lambda epoch, logs: told("end", epoch),
    )
    arguments = {"epochs": 4, "batch_size": 8, "jit_compile": False, "resume": "auto", **changes}
    trainer = Trainer(model, schedule, callbacks=[callback], folder=folder, **arguments)
    return trainer.fit((X, Y), (X[:8], Y[:8]))


def _kill_in_the_third(what: str, epoch: int) -> None:
    if (what, epoch) == ("begin", 2):
        raise Killed


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a run of which two epochs, of 5 steps each, are over."""
    run = tmp_path_factory.mktemp("killed") / "run"
    with pytest.raises(Killed):
        train(run, _kill_in_the_third)
    return run


@pytest.fixture
def half(killed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(killed, tmp_path / "run"))


@pytest.mark.parametrize("sparsity", [0.25, 0.9])
def test_another_sparsity_is_delivered(sparsity: float, half: Path) -> None:
    result = train(half, sparsity=sparsity, force_resume=True)
    kernels = [layer.kernel.numpy() for layer in result.model.layers]
    assert [w.sparsity for w in result.report.weights] == pytest.approx([sparsity] * 2, abs=0.05)
    assert [(k == 0).mean() for k in kernels] == pytest.approx([sparsity] * 2, abs=0.05)
    assert result.target_reached
    assert result.best_step in (15, 20)  # of the new epochs


def test_the_best_of_other_settings_is_none_of_these(half: Path) -> None:
    optimizer = keras.optimizers.SGD(1e-30)  # no epoch is better than those before
    assert train(half, optimizer=optimizer, force_resume=True).best_step in (15, 20)


def test_the_best_of_the_same_settings_stays(half: Path) -> None:
    store = CheckpointStore(half / "checkpoints")
    (newest, *_) = store.candidates()
    best = newest.facts["best"]["logs"]["val_loss"]
    assert train(half, force_resume=True).metrics["val_loss"] <= best


@pytest.mark.parametrize("units", [(16,), (8, 8)])
def test_another_architecture_trains_to_its_end(units: tuple[int, ...], half: Path) -> None:
    result = train(half, units=units, force_resume=True)
    assert [layer.units for layer in result.model.layers] == [*units, 2]
    assert result.target_reached
    assert result.steps == 20
    again = train(half, units=units)
    assert again.metrics == result.metrics


@pytest.mark.parametrize(("batch_size", "first", "last"), [(16, 3, 3), (4, 1, 1), (40, 10, 10)])
def test_epochs_of_another_length_are_counted_anew(
    batch_size: int, first: int, last: int, half: Path
) -> None:
    told: list[tuple[str, int]] = []
    changes = {"batch_size": batch_size, "epochs": last + 1, "force_resume": True}
    with pytest.warns(UserWarning, match=r"trainer\.batch_size: 8 in the checkpoint"):
        result = train(half, lambda *words: told.append(words), **changes)
    assert result.steps == (last + 1) * -(-len(X) // batch_size)
    epochs = range(first, last + 1)
    assert told == [(what, epoch) for epoch in epochs for what in ("begin", "end")]


def test_nothing_is_delivered_where_nothing_is_left_to_train(half: Path) -> None:
    before = train(half)
    for changes in ({"sparsity": 0.9}, {"units": (16,)}):
        with pytest.raises(ValueError, match=r"steps left to train; got .* at step 20, and 20"):
            train(half, force_resume=True, **changes)
    assert train(half, force_resume=True).metrics == before.metrics
    assert train(half, force_resume=True, epochs=5, sparsity=0.9).target_reached
