"""Another Hydra app uses our groups under the prefix `pruneplug/`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from places import ROOT

APP = ROOT / "experiments" / "hydra_app" / "app.py"
# An installation puts the plug-in where Hydra looks; a checkout says where it is.
PATH = f"{ROOT}:{ROOT / 'pruneplug' / 'plugins'}"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(APP), *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": PATH}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_the_app_prunes_and_tracks(tmp_path: Path) -> None:
    done = run(tmp_path, "epochs=3", "pruneplug.schedule.power=1", "sparsity=0.7")
    assert done.returncode == 0, done.stderr
    model = keras.saving.load_model(tmp_path / "sparse.keras")
    kernels = [np.asarray(layer.kernel) for layer in model.layers if layer.weights]
    assert [round(float((kernel == 0).mean()), 2) for kernel in kernels] == [0.7, 0.7]
    entries = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    measured = [entry["metrics"] for entry in entries if entry["type"] == "metrics"]
    assert len(measured) == 3
    assert {"loss", "val_accuracy", "sparsity/dense/kernel", "sparsity/total"} <= set(measured[0])
    assert measured[-1]["sparsity/total"] == pytest.approx(0.7, abs=0.01)
    assert entries[-1]["status"] == "FINISHED"
    assert (tmp_path / "mlflow.db").exists()


def test_a_group_is_chosen_and_checked(tmp_path: Path) -> None:
    chosen = run(tmp_path, "pruneplug/schedule=constant", "--cfg", "job")
    assert "name: constant" in chosen.stdout
    assert "power" not in chosen.stdout
    typo = run(tmp_path, "pruneplug.schedule.powr=1")
    assert typo.returncode == 1
    assert "powr" in typo.stderr
    unknown = run(tmp_path, "pruneplug/schedule=nothing")
    assert "pruneplug/schedule" in unknown.stderr
    assert "one_shot" in unknown.stderr


def test_completion_offers_the_groups(tmp_path: Path) -> None:
    line = "app.py pruneplug/"
    environment = {**os.environ, "PYTHONPATH": PATH, "COMP_LINE": line, "COMP_POINT": "17"}
    done = subprocess.run(
        [sys.executable, str(APP), "-sc", "query=bash"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    offered = set(done.stdout.split())
    assert {"pruneplug/schedule=", "pruneplug/model=", "pruneplug/block="} <= offered
    assert not any("hydra" in name or "experiment" in name for name in offered)


def test_our_own_command_has_its_groups_once(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pruneplug.train", "--info", "searchpath"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": PATH}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert "pruneplug://conf" not in done.stdout
