"""What a checkpoint costs, against one write and fsync of the same bytes."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from .. import networks, peers
from ..effort import Effort
from ..figure import Figure, Results, Target
from ..measure import Samples, differences, scaled, seconds

EVERY = 100  # steps
INPUTS, HIDDEN = 1360, [2560, 2560]  # with 10 outputs 10.06 million weights

# Steps of every hundred between which time is taken: around a checkpoint, and around none. Masks
# are updated inside both.
_WINDOWS = {"with checkpoint": (95, 5), "without": (45, 55)}
_WRITE = 75

# The first ones are written into memory that the machine had not used before.
_WARM_UP = 3


class _Stopwatch(keras.callbacks.Callback):
    """Times ten steps around each checkpoint and ten between two, and the bare write as well."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.samples: Samples = {name: [] for name in (*_WINDOWS, "write + fsync", "SHA-256")}
        self._folder = folder
        self._begun = 0.0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Start, stop, or write."""
        now, step = time.perf_counter(), (batch + 1) % EVERY
        for name, (begin, end) in _WINDOWS.items():
            if step == end:
                self.samples[name].append(now - self._begun)
            if step == begin:
                self._begun = now
        if step == _WRITE and batch > EVERY:
            size = newest_size(self._folder / "run")
            data = np.random.default_rng(0).bytes(size)
            self.samples["write + fsync"].append(write(self._folder, f"{batch:08d}.bytes", data))
            self.samples["SHA-256"].append(seconds(lambda: hashlib.sha256(data)))


def measure(effort: Effort) -> Results:
    """Time a training that saves, between its steps."""
    rounds = _WARM_UP + 3 * effort.rounds
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        stopwatch = _Stopwatch(folder)
        fit = peers.trainer(
            lambda library: networks.dense_net(library, INPUTS, HIDDEN),
            EVERY * (rounds + 1),
            EVERY // 2,
            folder=folder / "run",
            checkpoint_every=EVERY,
        )
        fit([stopwatch], 1)
        size = newest_size(folder / "run")
    # Of each the last ones: step 5 comes once before the first checkpoint.
    samples = {name: values[-3 * effort.rounds :] for name, values in stopwatch.samples.items()}
    return _figures(samples, size)


def _figures(samples: Samples, size: int) -> Results:
    extra = differences(samples, "with checkpoint", "without")
    ratio = [more / raw for more, raw in zip(extra, samples["write + fsync"], strict=True)]
    written, hashed = (1e3 * float(np.median(samples[n])) for n in ("write + fsync", "SHA-256"))
    return Results(
        [
            Figure.of(
                "checkpoint every 100 steps, 10 M weights, Adam: extra time / write + fsync",
                ratio,
                target=Target(1.5),
                note=f"{size / 1e6:.0f} MB a checkpoint, {written:.0f} ms to write; their SHA-256, "
                f"{hashed:.0f} ms on the other core, is computed beside that",
                floor=max(1.0, hashed / written),
            ),
            Figure.of("checkpoint, 10 M weights, Adam: extra time", [1e3 * e for e in extra], "ms"),
        ],
        samples=scaled(samples, 1e3, "checkpoint, ms around it and between, 10 steps each"),
    )


def newest_size(run: Path) -> int:
    """Return the bytes of the newest checkpoint."""
    newest = max((run / "checkpoints").glob("step-*"))
    return sum(path.stat().st_size for path in newest.iterdir())


def write(folder: Path, name: str, data: bytes) -> float:
    """Return the seconds of one write and fsync of the same bytes.

    As among checkpoints the two newest files stay: memory that a file has just given back is
    quicker to write to.
    """
    path = folder / name

    def act() -> None:
        with path.open("wb", buffering=0) as file:
            file.write(data)
            os.fsync(file.fileno())

    taken = seconds(act)
    for old in sorted(folder.glob("*.bytes"))[:-2]:
        old.unlink()
    return taken
