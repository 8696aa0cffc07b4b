"""Cuts the power of a disk that runs are written to: `python -m experiments.reliability.power`.

The disk is a file system in a file, mounted by a loop device, which needs root. At a random moment
the process is stopped, and the file is copied: the copy holds what had reached the disk, and is
what a power cut leaves. It is mounted in the place of the other, and the same command is given
again. MLflow's store lies on another disk, as a server's does. Writes power.md.
"""

import argparse
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from experiments.reliability.compare import differences
from experiments.reliability.runs import ROOT
from pruneplug.tracking import Journal
from pruneplug.training.checkpoints.checkpoint import read_checkpoint

SETTINGS = (
    "data=digits", "data.validation=0.4", "model=mlp", "model.hidden=[32]", "model.dropout=0.3",
    "trainer.epochs=150", "trainer.batch_size=32", "trainer.checkpoint_steps=20",
    "tracking.log_model=false",
)  # fmt: skip
# A file system of the kind, and the megabytes that it takes at least.
SYSTEMS = {"ext4": 96, "xfs": 320}
_PATIENCE = 300.0


class Disk:
    """A file system in a file.

    Args:
        folder: Holds the file, and the folder that it is mounted on.
        system: "ext4" or "xfs".
    """

    def __init__(self, folder: Path, system: str) -> None:
        self._file, self._copy, self.path = folder / "disk", folder / "copy", folder / "mounted"
        self.path.mkdir()
        with self._file.open("wb") as file:
            file.truncate(SYSTEMS[system] * 2**20)
        subprocess.run([f"mkfs.{system}", "-q", str(self._file)], check=True)

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """Mount it while the block runs."""
        subprocess.run(["mount", "-o", "loop", str(self._file), str(self.path)], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", str(self.path)], check=True)

    def copy(self) -> None:
        """Keep what has reached the disk so far."""
        shutil.copyfile(self._file, self._copy)

    def cut(self) -> None:
        """Let that be all there is; not while it is mounted."""
        self._copy.replace(self._file)


def main(arguments: list[str] | None = None) -> int:
    """Cut the power as often as is asked for; return 0 if nothing was ever lost."""
    options = _options(arguments)
    if os.geteuid():
        print("Mounting needs root.", file=sys.stderr)
        return 2
    draw = random.Random(options.seed)
    rows: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        whole = work / "whole"
        begin = time.monotonic()
        finish(start(whole, work / "whole.db", work / "whole.out"))
        seconds = time.monotonic() - begin
        for number in range(1, options.cuts + 1):
            folder = work / str(number)
            folder.mkdir()
            row, lost = one_cut(folder, whole, options.system, draw.uniform(0, 0.8), seconds)
            rows.append(f"| {number} | {row} | {', '.join(lost) or 'nothing: bit-equal'} |")
            print(rows[-1], flush=True)
            write(options, rows)
            shutil.rmtree(folder)
    return int(any(not row.endswith("nothing: bit-equal |") for row in rows))


def one_cut(
    folder: Path, whole: Path, system: str, share: float, seconds: float
) -> tuple[str, list[str]]:
    """Cut the power of one run, go on, and say what was there and what was lost."""
    disk, store, said = Disk(folder, system), folder / "mlflow.db", folder / "said"
    run = disk.path / "run"
    with disk.mounted():
        process = start(run, store, said)
        _wait_until(lambda: (run / "checkpoints" / "latest").exists(), process)
        time.sleep(share * 0.3 * seconds)
        process.send_signal(signal.SIGSTOP)
        saved = (run / "checkpoints" / "latest").read_text().strip()
        lines = len(list(Journal.read(run / "journal.jsonl")))
        disk.copy()
        process.kill()
        process.wait()
    known = tracked(store)
    disk.cut()
    with disk.mounted():
        lost = []
        try:
            read_checkpoint(run / "checkpoints" / saved)
        except OSError as error:
            lost.append(f"{saved} was reported as saved: {error}")
        left = len(list(Journal.read(run / "journal.jsonl")))
        finish(start(run, store, said))
        lost += differences(whole, run)
        after = tracked(store)
        if len(after) != 1:
            lost.append(f"{len(after)} runs in MLflow instead of 1")
        if any(count > 1 for points in after.values() for count in points.values()):
            lost.append("points are twice in MLflow")
        expected = {
            (name, entry["step"])
            for entry in Journal.read(run / "journal.jsonl")
            if entry["type"] == "metrics"
            for name in entry["metrics"]
        }
        if any(set(points) != expected for points in after.values()):
            lost.append("MLflow has other points than the journal")
    arrived = sum(len(points) for points in known.values())
    return f"{saved} | {lines} | {left} | {arrived}", lost


def tracked(store: Path) -> dict[str, dict[tuple[str, int], int]]:
    """Count each point of each run in an MLflow store."""
    if not store.exists():
        return {}
    with sqlite3.connect(store) as database:
        runs = [run for (run,) in database.execute("select run_uuid from runs")]
        query = "select key, step, count(*) from metrics where run_uuid = ? group by key, step"
        return {
            run: {(key, step): n for key, step, n in database.execute(query, [run])} for run in runs
        }


def start(folder: Path, store: Path, said: Path) -> subprocess.Popen[bytes]:
    """Start the command."""
    words = [*SETTINGS, f"tracking.uri=sqlite:///{store}", f"hydra.run.dir={folder}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"}
    with said.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "pruneplug.train", *words],
            cwd=said.parent,
            env=environment,
            stdout=output,
            stderr=output,
        )


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of the command.

    Raises:
        RuntimeError: If it does not end well.
    """
    code = process.wait(_PATIENCE)
    if code:
        raise RuntimeError(f"The command ended with {code}.")


def write(options: argparse.Namespace, rows: list[str]) -> None:
    """Write power.md."""
    lines = [
        "# Power cuts",
        "",
        f"    python -m experiments.reliability.power --cuts {options.cuts} --seed {options.seed} "
        f"--system {options.system}",
        "",
        "At a random moment, all that has reached the disk is kept, and the rest is lost.",
        "",
        "| cut | last checkpoint | lines of the journal before | after | points in MLflow | lost |",
        "|---" * 6 + "|",
        *rows,
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "power.md").write_text("\n".join(lines) + "\n")


def _wait_until(seen: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not seen():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("The run has ended before its power was cut.")
        time.sleep(0.01)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m experiments.reliability.power")
    parser.add_argument("--cuts", type=int, default=10, help="how often")
    parser.add_argument("--seed", type=int, default=0, help="draws the moments")
    parser.add_argument("--system", choices=SYSTEMS, default="ext4", help="file system")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of results")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
