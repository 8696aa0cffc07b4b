"""What a user can get wrong: one message, an exit code, no traceback, nothing left behind."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from places import ROOT

from pruneplug.command.main import USAGE, main

LOGGING = "hydra._internal.logging_config.configure_logging"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Configuring logging closes every handler there is, and absl's takes pytest's stderr with it.
    monkeypatch.setattr(LOGGING, lambda config: None)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["pruneplug-train", *arguments])
    with pytest.raises(SystemExit) as ending:
        main()
    assert isinstance(ending.value.code, int)
    return ending.value.code


def write_inputs(folder: Path) -> set[Path]:
    (folder / "text.npz").write_text("no archive")
    (folder / "text.keras").write_text("no model")
    (folder / "file").write_text("a file where a folder should be")
    x, y = np.zeros((8, 4), np.float32), np.arange(8) % 2
    np.savez(folder / "vectors.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    np.savez(folder / "incomplete.npz", x_train=x, y_train=y)
    three = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
    three.add(keras.layers.Dense(3, activation="softmax"))
    three.save(folder / "three_classes.keras")
    (folder / "fashion").mkdir()
    return set(folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ("nosuchkey=1", ["nosuchkey is no setting", "sparsity"]),
        ("trainer.epochs=many", ["trainer.epochs", "'many'", "Integer"]),
        ("model=vgg", ["model must be one of", "resnet", "got model=vgg"]),
        ("model=null", ["Config group override"]),
        ("sparsity", ["must be written as key=value", "'sparsity'"]),
        ("sparsity=0.5,0.8", ["sparsity=0.5,0.8", "--multirun"]),
        ("sparsity=1.2", ["sparsity must lie in [0, 1); got sparsity=1.2"]),
        ("schedule.begin=0.8 schedule.end=0.5", ["schedule.begin=0.8", "schedule.end=0.5"]),
        ("schedule=constant schedule.begin=9000 schedule.end=9999", ["1640 planned steps", "9000"]),
        ("data=npz", ["data.path must be given"]),
        ("data=npz data.path=missing.npz", ["data.path", "missing.npz"]),
        ("data=npz data.path=text.npz", ["text.npz must be an .npz file"]),
        ("data=npz data.path=incomplete.npz", ["incomplete.npz", "x_test, y_test"]),
        ("data=npz data.path=vectors.npz model=cnn", ["images", "(4,)"]),
        ("data=fashion_mnist data.path=missing", ["data.path", "missing"]),
        ("data=fashion_mnist data.path=fashion", ["train-images-idx3-ubyte.gz is missing"]),
        ("model=saved model.path=missing.keras", ["model.path", "missing.keras"]),
        ("model=saved model.path=text.keras", ["model.path", "text.keras"]),
        ("model=saved model.path=three_classes.keras", ["one output for each class", "classes=10"]),
        ("model=cnn block=4x4", ["conv_1/kernel", "2 axes"]),
        ("tracking.uri=nowhere://x", ["tracking uri must start with", "nowhere://x"]),
        ("trainer.resume=missing", ["trainer.resume must be auto, never or", "missing"]),
        ("trainer.resume=fashion tracking=none", ["resume", "no valid checkpoint"]),
        ("hydra.run.dir=file/run", ["hydra.run.dir must be a folder", "file"]),
        ("hydra.run.dir=/proc/run", ["hydra.run.dir must be a folder", "/proc/run"]),
    ],
)
def test_a_mistake_ends_before_training(
    arguments: str,
    parts: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    inputs = write_inputs(tmp_path)
    assert run(monkeypatch, *arguments.split()) == USAGE
    out, err = capfd.readouterr()
    assert not out
    assert err.startswith("pruneplug-train: ")
    assert err.count("pruneplug-train: ") == 1
    assert all(part in err for part in parts), err
    assert "Traceback" not in err
    assert set(tmp_path.iterdir()) == inputs


def test_a_folder_that_was_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "runs" / "kept"
    kept.mkdir(parents=True)
    (kept / "notes.txt").write_text("mine")
    assert run(monkeypatch, "sparsity=2", "hydra.run.dir=runs/kept") == USAGE
    assert [path.name for path in kept.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hydra.sweep.dir=there"], "hydra.sweep.dir has no effect on one run: hydra.run.dir has."),
        (["-m", "hydra.run.dir=there"], "hydra.run.dir has no effect on a sweep: hydra.sweep.dir"),
    ],
)
def test_a_folder_that_is_not_used_is_said_once(
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    values = "2,3" if "-m" in arguments else "2"
    assert run(monkeypatch, *arguments, f"sparsity={values}", "tracking=none") == USAGE
    assert capfd.readouterr().err.count(said) == 1


def test_an_unknown_flag_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--nosuchflag") == USAGE
    assert "--nosuchflag" in capfd.readouterr().err


def test_a_sweep_says_which_job_was_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["-m", "sparsity=1.2,1.3", "hydra.sweep.dir=sweep", "tracking=none"]
    assert run(monkeypatch, *arguments) == USAGE
    err = capfd.readouterr().err
    assert "sparsity=1.2" in err
    assert "sparsity=1.3" in err
    assert "Traceback" not in err
    logs = sorted(path.read_text() for path in (tmp_path / "sweep").glob("*/errors.log"))
    assert ["sparsity=1.2" in logs[0], "sparsity=1.3" in logs[1]] == [True, True]


@pytest.mark.parametrize("arguments", [["sparsity=1.2"], ["data=npz", "data.path=missing.npz"]])
def test_the_real_command_imports_no_tensorflow_for_it(
    arguments: list[str], tmp_path: Path
) -> None:
    code = (
        "import sys\nfrom pruneplug.train import main\n"
        "try:\n    main()\n"
        "finally:\n    print('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    command = [sys.executable, "-c", code, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == USAGE
    assert done.stdout == "False\n"
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())
