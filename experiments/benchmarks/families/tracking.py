"""What tracking costs the training: journal and MLflow on sqlite, 50 pruned weights."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pruneplug.tracking import Journal, NullTracker, Tracker
from pruneplug.tracking.mlflow import MlflowTracker, sync

from .. import networks, peers
from ..effort import Effort
from ..figure import Figure, Results, Target
from ..measure import ratios, scaled

LAYERS, WIDTH = 49, 256  # and the head: 50 pruned weights
FREQUENCY, EPOCH = 10, 100


class _Stopwatch(keras.callbacks.Callback):
    """Notes when the second epoch begins, since the first one compiles, and when training ends."""

    begun = ended = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start in the second epoch."""
        if epoch == 1:
            self.begun = time.perf_counter()

    def on_train_end(self, logs: Any = None) -> None:
        """Stop."""
        self.ended = time.perf_counter()


def measure(effort: Effort) -> Results:
    """Train by turns with and without tracking; MLflow's thread works beside the training."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    names = ("tracked", "untracked", "wait at the end")
    samples: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        _train(_tracker(Path(folder), 0), 2)  # makes the data base and imports MLflow
        for number in range(1, 2 * effort.rounds + 1):
            training, wait = _train(_tracker(Path(folder), number), _epochs(effort))
            samples["tracked"].append(training)
            samples["wait at the end"].append(wait)
            samples["untracked"].append(_train(NullTracker(), _epochs(effort))[0])
        sending = _sending(Path(folder), 2 * effort.rounds)
    cores = len(os.sched_getaffinity(0))
    figures = [
        Figure.of(
            "Trainer, 50 pruned weights, frequency 10: journal + MLflow (sqlite) / no tracking",
            ratios(samples, "tracked", "untracked"),
            target=Target(1.02),
            note=f"from the second epoch to the last step; {sending:.2f} s of CPU time is what "
            "MLflow takes for the points of one, in a thread beside the training",
            floor=1 + sending / cores / float(np.median(samples["untracked"])),
        ),
        Figure.of("wait at the end until MLflow has every point", samples["wait at the end"], "s"),
    ]
    return Results(figures, samples=scaled(samples, 1.0, "tracking, s"))


def _epochs(effort: Effort) -> int:
    return 1 + max(5, effort.steps // EPOCH)


def _tracker(folder: Path, number: int) -> Tracker:
    journal = Journal(folder / f"{number}.jsonl")
    return MlflowTracker(journal, _uri(folder / "mlflow"), "benchmark", str(number))


def _uri(stem: Path) -> str:
    return f"sqlite:///{stem}.db"


def _sending(folder: Path, number: int) -> float:
    """Return the CPU seconds in which MLflow takes a training's points when nothing else runs."""
    uri = _uri(folder / "again")
    sync(folder / "0.jsonl", uri)  # makes the data base
    begun = time.thread_time()  # TensorFlow's threads count in that of the process
    sync(folder / f"{number}.jsonl", uri)
    return time.thread_time() - begun


def _train(tracker: Tracker, epochs: int) -> tuple[float, float]:
    """Return the seconds of the training, and of the wait for the tracker after it."""
    stopwatch = _Stopwatch()
    fit = peers.trainer(
        lambda library: networks.dense_net(library, WIDTH, [WIDTH] * LAYERS),
        EPOCH,
        FREQUENCY,
        tracker=tracker,
    )
    tracker.start({}, {})
    fit([stopwatch], epochs)
    begun = time.perf_counter()
    tracker.finish("FINISHED")
    return stopwatch.ended - stopwatch.begun, time.perf_counter() - begun
