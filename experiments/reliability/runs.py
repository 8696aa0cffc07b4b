"""Starts runs and kills them."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.reliability.phases import PhaseByte

ROOT = Path(__file__).parents[2]
# Moments are drawn by what the run is doing, so that the short ones are hit as well.
WEIGHTS = {
    "start": 1,
    "training": 8,
    "evaluation": 4,
    "checkpoint": 4,
    "between": 2,
    "end": 1,
}
_PATIENCE = 5.0
_LIMIT = 600.0

# What a run's process is started with, given its folder.
Arguments = Callable[[Path], Sequence[str]]


class RunFailedError(RuntimeError):
    """A run that was not killed did not end well."""


@dataclass(frozen=True)
class Kill:
    """A SIGKILL that hit.

    Args:
        aimed: The phase it was aimed at.
        hit: What the run was doing when it died.
        seconds: Since the run began to train; 0 before that.
        saved: Steps of the newest checkpoint that was left behind; None for none.
    """

    aimed: str
    hit: str
    seconds: float
    saved: int | None


class Run:
    """One process.

    Args:
        folder: The run folder; the phase and the output are kept beside it.
        arguments: Of `child.py`, given the folder.
    """

    def __init__(self, folder: Path, arguments: Arguments) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        byte = folder.with_suffix(".phase")
        self.phase = PhaseByte(byte)
        self.phase.set("start")
        self.output = folder.with_suffix(".out")
        command = [sys.executable, "-m", "experiments.reliability.child", str(byte)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"}
        with self.output.open("a") as output:
            self.process = subprocess.Popen(
                [*command, *arguments(folder)],
                cwd=folder.parent,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def finish(self) -> float:
        """Wait for the end; return the seconds since training began.

        Raises:
            RunFailedError: If the exit code is another than 0.
        """
        self._wait_for({"between", "training", "end"}, _LIMIT)
        begin = time.monotonic()
        code = self.process.wait(_LIMIT)
        if code:
            raise RunFailedError(
                f"{self.folder}: exit code {code}\n{self.output.read_text()[-3000:]}"
            )
        return time.monotonic() - begin

    def kill(self, draw: random.Random, duration: float) -> Kill | None:
        """Kill the run at a moment drawn by `draw`; None if it had ended before.

        Args:
            draw: The source of chance.
            duration: Seconds that a whole training takes.
        """
        aimed = draw.choices(list(WEIGHTS), WEIGHTS.values())[0]
        wait, late = draw.uniform(0, 0.4 * duration), draw.uniform(0, 0.004)
        begin = time.monotonic()
        if aimed == "start":
            time.sleep(draw.uniform(0, 6))
        else:
            self._wait_for({"between", "training", "end"}, _LIMIT)
            begin = time.monotonic()
            time.sleep(0 if aimed == "end" else wait)
            self._wait_for({aimed, "end"}, _LIMIT if aimed == "end" else _PATIENCE)
            time.sleep(late)
        self.process.send_signal(signal.SIGKILL)
        if self.process.wait() != -signal.SIGKILL:
            return None
        hit = self.phase.get()
        seconds = 0.0 if hit == "start" else time.monotonic() - begin
        return Kill(aimed, hit, round(seconds, 3), self._saved())

    def _wait_for(self, phases: set[str], patience: float) -> None:
        deadline = time.monotonic() + patience
        while self.process.poll() is None and time.monotonic() < deadline:
            if self.phase.get() in phases:
                return
            time.sleep(0.0002)

    def _saved(self) -> int | None:
        checkpoints = self.folder / "checkpoints"
        steps = [int(path.name[5:]) for path in checkpoints.glob("step-????????")]
        return max(steps, default=None)
