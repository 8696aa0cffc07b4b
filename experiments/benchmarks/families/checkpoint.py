"""What a checkpoint costs, against one write and fsync of the same bytes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from .. import networks, peers
from ..effort import Effort
from ..figure import Figure, Results, Target
from ..measure import Samples, differences, interleave, scaled, seconds
from ..turnstile import Turnstile

WINDOW = 100  # steps, and the steps between two checkpoints
INPUTS, HIDDEN = 1360, [2560, 2560]  # with 10 outputs 10.06 million weights


def measure(effort: Effort) -> Results:
    """Measure windows with and without a checkpoint at their end, and the bare write."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        return _measure(effort, Path(folder))


def _measure(effort: Effort, folder: Path) -> Results:
    run = folder / "run"
    saving = _trainer(effort.rounds, folder=run, checkpoint_every=WINDOW)
    windows: dict[str, Callable[[], float]] = {
        "with checkpoint": saving,
        "without": _trainer(effort.rounds),
        "write + fsync": lambda: _write(folder / "bytes", _size(run)),
    }
    samples: Samples = interleave(windows, effort.rounds)
    size = _size(run)
    extra = differences(samples, "with checkpoint", "without")
    ratio = [more / raw for more, raw in zip(extra, samples["write + fsync"], strict=True)]
    return Results(
        [
            Figure.of(
                "checkpoint every 100 steps, 10 M weights, Adam: extra time / write + fsync",
                ratio,
                target=Target(1.5),
                note=f"{size / 1e6:.0f} MB a checkpoint",
            ),
            Figure.of("checkpoint, 10 M weights, Adam: extra time", [1e3 * e for e in extra], "ms"),
        ],
        samples=scaled(samples, 1e3, "checkpoint, ms a window of 100 steps"),
    )


def _trainer(rounds: int, **settings: object) -> Callable[[], float]:
    fit = peers.trainer(
        lambda library: networks.dense_net(library, INPUTS, HIDDEN), WINDOW, 100, **settings
    )
    return Turnstile(keras.callbacks.Callback, fit, rounds).window


def _size(run: Path) -> int:
    """Return the bytes of the newest checkpoint."""
    newest = max((run / "checkpoints").glob("step-*"))
    return sum(path.stat().st_size for path in newest.iterdir())


def _write(path: Path, size: int) -> float:
    data = np.random.default_rng(0).bytes(size)

    def write() -> None:
        with path.open("wb", buffering=0) as file:
            file.write(data)
            os.fsync(file.fileno())

    path.unlink(missing_ok=True)
    return seconds(write)
