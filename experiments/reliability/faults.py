"""Injects one fault after another into the command: `python -m experiments.reliability.faults`.

Writes faults.md: what was done, what the user saw, and what was lost against a run without it.
Mounting small disks needs root; faults that cannot be injected are left out and named.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from experiments.reliability.compare import differences
from experiments.reliability.runs import ROOT

SETTINGS = ("experiment=quick", "trainer.epochs=6", "trainer.checkpoint_steps=20")
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "COLUMNS": "200",
}


@dataclass(frozen=True)
class Seen:
    """What came of one fault: the exit code and the messages, before and after the way on."""

    code: int
    said: str
    lost: str


def start(folder: Path, *changes: str, tracking: str = "tracking=journal") -> subprocess.Popen[str]:
    """Start the command in a run folder."""
    command = [sys.executable, "-m", "pruneplug.train", *SETTINGS, tracking, *changes]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*command, f"hydra.run.dir={folder}"],
        cwd=folder.parent,
        env=ENVIRONMENT,
        stdout=pipe,
        stderr=pipe,
        text=True,
    )


def run(folder: Path, *changes: str, tracking: str = "tracking=journal") -> tuple[int, str]:
    """Run the command to its end; give exit code and messages."""
    process = start(folder, *changes, tracking=tracking)
    _, said = process.communicate(timeout=900)
    return process.returncode, said


def stop(folder: Path, number: int) -> tuple[int, str]:
    """Run the command, and send it a signal when it has a checkpoint."""
    process = start(folder)
    while process.poll() is None and len(list(folder.glob("checkpoints/step-*"))) < 2:
        time.sleep(0.001)
    process.send_signal(number)
    _, said = process.communicate(timeout=900)
    return process.returncode, said


def after(whole: Path, folder: Path, seen: tuple[int, str], *changes: str) -> Seen:
    """Go on with a run that had ended early, and see what it lacks at its end."""
    code, said = run(folder, *changes)
    if code:
        return Seen(seen[0], seen[1], f"the way on failed: {said}")
    return Seen(seen[0], f"{seen[1]}\n{said}", lost(whole, folder))


def lost(whole: Path, folder: Path) -> str:
    """Say in what a finished run differs from one without a fault."""
    found = differences(whole, folder)
    return ", ".join(found) if found else "nothing: bit-equal"


@contextmanager
def disk(folder: Path, options: str) -> Iterator[None]:
    """Mount a file system of its own on a folder."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def bad_disk(options: str) -> Callable[[Path, Path], Seen]:
    """Return a fault: checkpoints go to such a disk."""

    def inject(whole: Path, folder: Path) -> Seen:
        with disk(folder / "checkpoints", options):
            code, said = run(folder)
        same = (folder / "layers.csv").read_bytes() == (whole / "layers.csv").read_bytes()
        return Seen(code, said, "the checkpoints; no result" if same else "the results differ")

    return inject


def damaged(damage: Callable[[bytes], bytes]) -> Callable[[Path, Path], Seen]:
    """Return a fault: the newest checkpoint of a killed run is damaged."""

    def inject(whole: Path, folder: Path) -> Seen:
        seen = stop(folder, signal.SIGKILL)
        newest = max(folder.glob("checkpoints/step-*")) / "arrays.npy"
        newest.write_bytes(damage(newest.read_bytes()))
        return after(whole, folder, seen)

    return inject


def signalled(number: int) -> Callable[[Path, Path], Seen]:
    """Return a fault: a signal, after which the run is resumed."""
    return lambda whole, folder: after(whole, folder, stop(folder, number))


def diverged(whole: Path, folder: Path) -> Seen:
    """Train with a learning rate that no training survives."""
    code, said = run(folder, "optimizer=sgd", "optimizer.learning_rate=1e30")
    return Seen(code, said, "nothing that was good: no checkpoint holds NaN")


def second_run(whole: Path, folder: Path) -> Seen:
    """Start a run in the folder of another one."""
    first = start(folder, "trainer.epochs=100000")
    while first.poll() is None and not list(folder.glob("checkpoints/step-*")):
        time.sleep(0.01)
    code, said = run(folder)
    alive = first.poll() is None
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=900)
    ended = f"the first run went on, until it was ended with {first.returncode}"
    return Seen(code, said, f"nothing: {ended}" if alive else "the first run")


def finished(whole: Path, folder: Path) -> Seen:
    """Run the command again after its end."""
    run(folder)
    code, said = run(folder)
    return Seen(code, said, lost(whole, folder))


def unreachable(whole: Path, folder: Path) -> Seen:
    """Track to a server that does not exist."""
    code, said = run(folder, "tracking.uri=http://127.0.0.1:9", tracking="tracking=mlflow")
    return Seen(code, said, lost(whole, folder))


def hanging(whole: Path, folder: Path) -> Seen:
    """Track to a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"tracking.uri=http://127.0.0.1:{server.getsockname()[1]}"
        code, said = run(folder, uri, tracking="tracking=mlflow")
    return Seen(code, said, lost(whole, folder))


FAULTS: dict[str, Callable[[Path, Path], Seen]] = {
    "SIGTERM, then resumed": signalled(signal.SIGTERM),
    "SIGINT, then resumed": signalled(signal.SIGINT),
    "SIGUSR1, then resumed": signalled(signal.SIGUSR1),
    "SIGUSR2, then resumed": signalled(signal.SIGUSR2),
    "`kill -9`, then resumed": signalled(signal.SIGKILL),
    "one byte of the newest checkpoint flipped after a `kill -9`": damaged(
        lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
    ),
    "newest checkpoint cut in half after a `kill -9`": damaged(lambda data: data[: len(data) // 2]),
    "disk for checkpoints full (a tmpfs of 16 KB)": bad_disk("size=16k"),
    "checkpoint folder read-only (a tmpfs mounted read-only)": bad_disk("ro"),
    "learning rate of 1e30: the loss becomes NaN": diverged,
    "a second run in the same folder": second_run,
    "the command repeated after its end": finished,
    "MLflow server down from the start": unreachable,
    "MLflow server that never answers": hanging,
}


def main() -> None:
    """Inject all faults and write the table."""
    rows = ["| fault | exit code | what the user saw | what was lost |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as work:
        whole = Path(work) / "whole"
        whole.mkdir()
        run(whole)
        for number, (name, inject) in enumerate(FAULTS.items()):
            folder = Path(work) / f"fault{number}"
            folder.mkdir()
            try:
                row = _row(name, inject(whole, folder), Path(work))
            except subprocess.CalledProcessError as error:
                row = f"| {name} | - | not injected here: {error} | - |"
            rows.append(row)
            print(row, flush=True)
    path = Path(__file__).with_name("faults.md")
    head = "# Faults\n\nWritten by `python -m experiments.reliability.faults`; "
    more = "the data pipeline, callbacks and full disks in mid-run: `tests/training/test_guard.py`."
    path.write_text(f"{head}{more}\n\n" + "\n".join(rows) + "\n")


def _row(name: str, seen: Seen, work: Path) -> str:
    shown = (line for line in seen.said.splitlines() if line.startswith("pruneplug-train: "))
    lines = [line.removeprefix("pruneplug-train: ") for line in shown]
    first = [*lines[:4], *(["..."] if len(lines) > 4 else [])]
    text = "<br>".join(first).replace(f"{work}/", "").replace("|", "\\|")
    traced = " **with a traceback**" if "Traceback" in seen.said else ""
    return f"| {name} | {seen.code} | {text}{traced} | {seen.lost} |"


if __name__ == "__main__":
    main()
