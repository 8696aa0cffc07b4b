"""The report of a real sweep, from its folder and from MLflow, against the models themselves."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from places import ROOT

from pruneplug.command.data import digits
from pruneplug.command.report import main

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")

SWEEP = ["experiment=quick", "sparsity=0,0.8", "seed=0,1", "hydra.sweep.dir=sweep"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory of a sweep of four jobs."""
    folder = tmp_path_factory.mktemp("swept")
    done = subprocess.run(
        [sys.executable, "-m", "pruneplug.train", "-m", *SWEEP],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def accuracy(model: keras.Model, x: np.ndarray, y: np.ndarray) -> float:
    return float((np.argmax(model.predict(x, verbose=0), axis=-1) == y).mean())


def test_the_numbers_are_those_of_the_model_files(swept: Path, tmp_path: Path) -> None:
    assert main([str(swept / "sweep"), "--out", str(tmp_path)]) == 0
    again = {}
    for row in rows(tmp_path / "runs.csv"):
        path = swept / "sweep" / row["run"] / "model.keras"
        model = keras.saving.load_model(path)
        splits = digits.load(seed=int(row["seed"]))
        assert float(row["val_accuracy"]) == pytest.approx(accuracy(model, *splits.validation))
        assert float(row["test_accuracy"]) == pytest.approx(accuracy(model, *splits.test))
        kernels = {f"{x.name}/kernel": np.asarray(x.kernel) for x in model.layers if x.weights}
        zeros = sum(int((kernel == 0).sum()) for kernel in kernels.values())
        size = sum(kernel.size for kernel in kernels.values())
        assert float(row["sparsity"]) == pytest.approx(zeros / size)
        assert int(row["stripped_bytes"]) == path.stat().st_size
        for layer in rows(tmp_path / "layers.csv"):
            if layer["run"] == row["run"]:
                assert int(layer["kept"]) == int((kernels[layer["weight"]] != 0).sum())
        again.setdefault(zeros / size > 0.5, []).append(accuracy(model, *splits.validation))
    groups = rows(tmp_path / "ranking.csv")
    assert len(groups) == 2
    for group in groups:
        accuracies = again[group["setting sparsity"] == "0.8"]
        assert group["seeds"] == "0 1"
        assert float(group["val_accuracy"]) == pytest.approx(np.mean(accuracies))
        assert float(group["val_accuracy_std"]) == pytest.approx(np.std(accuracies, ddof=1))


def test_mlflow_gives_the_same_report(
    swept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(swept)
    assert main(["sweep", "--out", str(tmp_path / "folder")]) == 0
    assert main(["pruneplug", "--out", str(tmp_path / "mlflow")]) == 0
    assert "Ranking" in capsys.readouterr().out
    one, other = (rows(tmp_path / source / "ranking.csv") for source in ("folder", "mlflow"))
    assert one == other
    curves = [(tmp_path / source / "layers.png").read_bytes() for source in ("folder", "mlflow")]
    assert curves[0] == curves[1]


def test_a_mistake_is_one_message(
    swept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    store = f"sqlite:///{swept}/mlflow.db"
    for arguments, message in (
        (["empty"], "must hold finished runs"),
        (["nowhere"], "no store sqlite:///"),
        (["nowhere", "--uri", store], "which is neither. The store has the experiments"),
        (["nowhere", "--uri", "ftp://x"], "tracking uri must start with"),
        (["Default", "--uri", store], "must hold finished runs"),
    ):
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"empty"}


def test_help_waits_for_nothing() -> None:
    code = "import sys, pruneplug.command.report as m\nprint({'keras','mlflow'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
