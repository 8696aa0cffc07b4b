"""How long the command takes to answer, and to begin."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from ..effort import Effort
from ..figure import Figure, Results, Target
from ..measure import interleave, ratios, scaled, timed

HELP = ["-m", "pruneplug.train", "--help"]


def measure(effort: Effort) -> Results:
    """Start processes by turns."""
    helping = timed({"--help": lambda: _run(HELP)}, effort.starts)
    windows: dict[str, Callable[[], float]] = {
        "command": _first_step,
        "compile": lambda: _until_line(["-m", "experiments.benchmarks.first_compile"]),
    }
    starting = interleave(windows, effort.starts)
    return Results(
        [
            Figure.of("python -m pruneplug.train --help", helping["--help"], "s", Target(1.5)),
            Figure.of(
                "--help: modules of TensorFlow imported",
                [_imported("tensorflow")],
                "modules",
                Target(0),
            ),
            Figure.of(
                "command to first training step, digits / import TensorFlow + first compile",
                ratios(starting, "command", "compile"),
                target=Target(1.3),
                note="trainer.epochs=1 tracking=none; the same model compiled by Keras",
            ),
        ],
        samples=scaled(helping | starting, 1.0, "s"),
    )


def _first_step() -> float:
    # A folder of its own: in a used one the command would go on with the run it finds.
    with tempfile.TemporaryDirectory() as folder:
        settings = [f"hydra.run.dir={folder}/run", "tracking=none", "trainer.epochs=1"]
        return _until_line(["-m", "experiments.benchmarks.first_step", *settings])


def _environment() -> dict[str, str]:
    # TFMOT may have set it in this process, and children inherit it.
    return {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}


def _run(arguments: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env=_environment(),
    )
    return done.stderr


def _imported(package: str) -> int:
    lines = _run(["-X", "importtime", *HELP]).splitlines()
    names = [line.rsplit("|", 1)[-1].strip() for line in lines]
    return sum(name.split(".")[0] == package for name in names)


def _until_line(arguments: list[str]) -> float:
    """Return the seconds from a process' start until it prints FIRST_STEP."""
    begin = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=_environment(),
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "FIRST_STEP" in line:
                taken = time.perf_counter() - begin
                process.communicate()
                return taken
    raise RuntimeError(f"{arguments} must take a training step; it ended without one.")
