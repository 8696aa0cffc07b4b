"""A CSV logger's file holds each epoch once, however often the run was stopped."""

import csv
import os
import signal
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pruneplug import PolynomialDecay
from pruneplug.training.checkpoints.checkpoint import Checkpoint
from pruneplug.training.checkpoints.csv_rows import rows_kept
from pruneplug.training.trainer import Trainer

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(24, 4)).astype("float32"), np.arange(24) % 2


class Stop(keras.callbacks.Callback):
    """Sends a signal at the n-th end of a batch."""

    def __init__(self, batch: int) -> None:
        super().__init__()
        left = iter(range(batch - 1, -1, -1))
        self.on_train_batch_end = lambda *_, **__: (
            next(left, 1) or os.kill(os.getpid(), signal.SIGTERM)
        )


def train(folder: Path, log: Path, stop: int = 10**6, **options: Any) -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
    schedule = PolynomialDecay(0.0, 0.5, begin_step=2, end_step=12, frequency=2)
    callbacks = [keras.callbacks.CSVLogger(log, **options), Stop(stop)]
    trainer = Trainer(
        model, schedule, folder=folder, callbacks=callbacks, epochs=5, batch_size=8,
        resume="auto", jit_compile=False,
    )  # fmt: skip
    try:
        trainer.fit((X, Y))
    finally:
        callbacks[0].csv_file.close()  # which the end of a process does
    assert callbacks[0].append == options.get("append", False)


def rows(log: Path) -> list[list[str]]:
    with log.open(newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("options", [{}, {"append": True}, {"separator": ";"}])
def test_a_resumed_run_goes_on_with_its_file(tmp_path: Path, options: dict[str, Any]) -> None:
    train(tmp_path / "whole", tmp_path / "whole.csv", **options)
    for stop in (2, 5):
        with pytest.raises(SystemExit):
            train(tmp_path / "cut", tmp_path / "cut.csv", stop, **options)
    train(tmp_path / "cut", tmp_path / "cut.csv", **options)
    assert rows(tmp_path / "cut.csv") == rows(tmp_path / "whole.csv")
    assert len(rows(tmp_path / "cut.csv")) == 6


@pytest.mark.parametrize(
    ("content", "epoch", "left"),
    [
        ("epoch,loss\n0,1\n1,2\n2,3\n", 1, "epoch,loss\n0,1\n"),
        ("epoch,loss\n0,1\n1,2\n2", 2, "epoch,loss\n0,1\n1,2\n"),
        ("epoch,loss\n0,1\n1,2\n2,3\n0,4\n1,5\n", 0, "epoch,loss\n0,1\n1,2\n2,3\n"),
        ("epoch,loss\n0,1\n1,2\n0,4\n", 1, "epoch,loss\n0,1\n1,2\n0,4\n"),
        ("epoch,loss\n", 0, "epoch,loss\n"),
        ("epo", 0, ""),
        ("", 3, ""),
    ],
)
def test_what_lies_behind_the_checkpoint_is_cut(
    content: str, epoch: int, left: str, tmp_path: Path
) -> None:
    log = tmp_path / "log.csv"
    log.write_text(content)
    logger = keras.callbacks.CSVLogger(log)
    with rows_kept([logger, keras.callbacks.History()], Checkpoint(0, {"epoch": epoch}, {})):
        assert logger.append
        assert log.read_text() == left
    assert not logger.append


def test_a_new_run_begins_its_file_anew(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("epoch,loss\n0,1\n")
    logger = keras.callbacks.CSVLogger(log)
    with rows_kept([logger], None):
        assert not logger.append
    assert log.read_text() == "epoch,loss\n0,1\n"
