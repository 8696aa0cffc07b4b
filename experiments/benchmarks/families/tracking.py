"""What tracking costs the training: journal and MLflow on sqlite, 50 pruned weights."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import keras

from pruneplug.tracking import Journal, NullTracker, Tracker
from pruneplug.tracking.mlflow import MlflowTracker

from .. import networks, peers
from ..effort import Effort
from ..figure import Figure, Results, Target
from ..measure import ratios, scaled

LAYERS, WIDTH = 49, 256  # and the head: 50 pruned weights
FREQUENCY, EPOCH = 10, 100


class _Stopwatch(keras.callbacks.Callback):
    """Notes when the second epoch begins: the first one compiles."""

    begun = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start in the second epoch."""
        if epoch == 1:
            self.begun = time.perf_counter()


def measure(effort: Effort) -> Results:
    """Train by turns with and without tracking, the delivery to MLflow included."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    samples: dict[str, list[float]] = {"tracked": [], "untracked": []}
    with tempfile.TemporaryDirectory() as folder:
        _train(_tracker(Path(folder), 0), 2)  # makes the data base and imports MLflow
        for number in range(1, effort.rounds + 1):
            samples["tracked"].append(_train(_tracker(Path(folder), number), _epochs(effort)))
            samples["untracked"].append(_train(NullTracker(), _epochs(effort)))
    figure = Figure.of(
        "Trainer, 50 pruned weights, frequency 10: journal + MLflow (sqlite) / no tracking",
        ratios(samples, "tracked", "untracked"),
        target=Target(1.02),
        note="from the second epoch until MLflow has every point",
    )
    return Results([figure], samples=scaled(samples, 1.0, "tracking, s"))


def _epochs(effort: Effort) -> int:
    return 1 + max(5, effort.steps // EPOCH)


def _tracker(folder: Path, number: int) -> Tracker:
    uri = f"sqlite:///{folder}/mlflow.db"
    return MlflowTracker(Journal(folder / f"{number}.jsonl"), uri, "benchmark", str(number))


def _train(tracker: Tracker, epochs: int) -> float:
    stopwatch = _Stopwatch()
    fit = peers.trainer(
        lambda library: networks.dense_net(library, WIDTH, [WIDTH] * LAYERS),
        EPOCH,
        FREQUENCY,
        tracker=tracker,
    )
    tracker.start({}, {})
    fit([stopwatch], epochs)
    tracker.finish("FINISHED")
    return time.perf_counter() - stopwatch.begun
