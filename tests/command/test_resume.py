"""A killed run of the command is adopted: the same MLflow run, every point once."""

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from places import ROOT

SETTINGS = ("experiment=quick", "trainer.epochs=8", "trainer.checkpoint_steps=20")


def start(folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pruneplug.train", *SETTINGS, "hydra.run.dir=run"]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True
    )


def finish(folder: Path) -> str:
    process = start(folder)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    return said


def stored(folder: Path) -> tuple[list[tuple[str, str]], list[tuple[str, int, float]]]:
    with sqlite3.connect(folder / "mlflow.db") as store:
        runs = store.execute("SELECT run_uuid, status FROM runs").fetchall()
        points = store.execute("SELECT key, step, value FROM metrics ORDER BY key, step, value")
        return runs, points.fetchall()


def test_a_killed_run_goes_on_as_the_same_run(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    finish(whole)
    for steps in (40, 180):
        process = start(cut)
        while not any(int(p.name[5:]) >= steps for p in cut.glob("run/checkpoints/step-*")):
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.002)
        process.kill()
        process.communicate()
    assert "Resumed at step" in finish(cut)
    runs, points = stored(cut)
    assert [status for _, status in runs] == ["FINISHED"]
    assert points == stored(whole)[1]
    assert len({(key, step) for key, step, _ in points}) == len(points)
    assert "This run has finished" in finish(cut)
    assert stored(cut) == (runs, points)
