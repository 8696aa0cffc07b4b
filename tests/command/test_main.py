"""The command from end to end, on a small real training."""

import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from cli import write_tiny_data
from places import ROOT

from pruneplug.command.folder import JOURNAL, LAYERS, SCAN, SUGGESTION
from pruneplug.command.main import TARGET_MISSED, USAGE, main

QUICK = "experiment=quick"
TABLES = (LAYERS, JOURNAL, SCAN, SUGGESTION)
LOGGING = "hydra._internal.logging_config.configure_logging"
# experiment=quick: 2 epochs of 41 steps; 0.1 and 0.7 of 82 steps; and the end of the training.
UPDATES = [*range(8, 58), 82]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pruneplug.train", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=pipe, stderr=pipe, text=True
    )


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Run the command in this process, in an empty folder; gives its exit code."""
    monkeypatch.chdir(tmp_path)
    # Configuring logging closes every handler there is, and absl's takes pytest's stderr with it.
    monkeypatch.setattr(LOGGING, lambda config: None)

    def run(*arguments: str) -> object:
        monkeypatch.setattr(sys, "argv", ["pruneplug-train", *arguments])
        with pytest.raises(SystemExit) as ending:
            main()
        return ending.value.code

    return run


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """One real run: its working directory, standard output and standard error."""
    folder = tmp_path_factory.mktemp("quick")
    process = start(folder, QUICK, "hydra.run.dir=run")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return folder, out, err


def summary_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return content


def zeros_by_weight(model: Path) -> dict[str, tuple[int, int]]:
    layers = keras.saving.load_model(model).layers
    kernels = {f"{x.name}/kernel": np.asarray(x.kernel) for x in layers if hasattr(x, "kernel")}
    return {name: (int((k == 0).sum()), k.size) for name, k in kernels.items()}


def test_a_run_leaves_its_results(quick: tuple[Path, str, str]) -> None:
    run = quick[0] / "run"
    expected = {"model.keras", "layers.csv", "config.yaml", "summary.json", JOURNAL}
    expected |= {"sparsity_curves.png", "final_sparsity.png"}
    assert expected <= {path.name for path in run.iterdir()}
    assert {path.name for path in quick[0].iterdir()} >= {"run", "mlflow.db"}
    assert not (quick[0] / "outputs").exists()


def test_the_summary_tells_what_the_file_holds(quick: tuple[Path, str, str]) -> None:
    summary = summary_of(quick[0] / "run")
    names = {"steps", "metrics", "sparsity", "size", "model", "mlflow"}
    assert set(summary) == names
    assert summary["steps"] == 82
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "test_accuracy"} <= set(
        summary["metrics"]
    )
    assert summary["model"] == str(quick[0] / "run" / "model.keras")
    layers, zeros = summary["sparsity"]["layers"], zeros_by_weight(Path(summary["model"]))
    assert set(layers) == set(zeros)
    for name, (count, size) in zeros.items():
        kept = max(round(size * 0.2), 1)
        assert count == size - kept
        assert layers[name]["kept"] == kept
        assert layers[name]["sparsity"] == pytest.approx(count / size)
        assert layers[name]["target"] == 0.8
        assert np.prod(layers[name]["shape"]) == size
    total = sum(count for count, _ in zeros.values()) / sum(size for _, size in zeros.values())
    assert summary["sparsity"]["total"] == pytest.approx(total)
    size = summary["size"]
    assert 0 < size["gzip_bytes"] < size["stripped_bytes"]
    assert size["stripped_bytes"] <= size["dense_bytes"] * 1.1


def test_mlflow_holds_the_curves(quick: tuple[Path, str, str]) -> None:
    summary = summary_of(quick[0] / "run")
    tracked = summary["mlflow"]
    assert tracked["tracking_uri"] == f"sqlite:///{quick[0]}/mlflow.db"
    with sqlite3.connect(quick[0] / "mlflow.db") as store:
        rows = store.execute(
            "select key, step, value from metrics where run_uuid = ? order by step",
            [tracked["run_id"]],
        ).fetchall()
        params = dict(store.execute("select key, value from params").fetchall())
        status, name = store.execute("select status, name from runs").fetchone()
    for weight, layer in summary["sparsity"]["layers"].items():
        points = [(step, value) for key, step, value in rows if key == f"sparsity/{weight}"]
        assert [step for step, _ in points] == UPDATES
        assert points[-1][1] == pytest.approx(layer["sparsity"], abs=1e-12)
        assert any(key == f"threshold/{weight}" for key, _, _ in rows)
    assert {"loss", "val_accuracy", "test_accuracy", "sparsity/total"} <= {row[0] for row in rows}
    assert params["sparsity"] == "0.8"
    assert params["trainer.epochs"] == "2"
    assert (status, name) == ("FINISHED", QUICK)


def test_artifacts_are_sent(quick: tuple[Path, str, str]) -> None:
    sent = {path.name for path in quick[0].rglob("artifacts/*")}
    assert sent == {
        "config.yaml", "model", "model.keras", "layers.csv",
        "sparsity_curves.png", "final_sparsity.png", "summary.json",
    }  # fmt: skip


def test_the_user_sees_tables_and_no_noise(quick: tuple[Path, str, str]) -> None:
    folder, out, err = quick
    for part in ("hidden_1/kernel", "64x16", "0.8000", "205", "validation accuracy", "gzip size"):
        assert part in out
    assert str(folder / "run" / "model.keras") in out
    assert f"mlflow ui --backend-store-uri sqlite:///{folder}/mlflow.db" in out
    lines = err.splitlines()
    assert all(line.startswith("step ") for line in lines), err
    assert "loss" in lines[-1]


def test_help_needs_no_tensorflow(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pruneplug.train import main\n"
        "try:\n    main()\nfinally:\n    print('tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "sparsity=0.8" in done.stdout
    assert done.stdout.endswith("False\n")
    assert not list(tmp_path.iterdir())


def test_sparsity_zero_is_the_dense_baseline(
    command: Callable[..., object], tmp_path: Path
) -> None:
    assert command(QUICK, "sparsity=0", "tracking=none", "hydra.run.dir=run") == 0
    layers = summary_of(tmp_path / "run")["sparsity"]["layers"].values()
    assert all(layer["target"] == 0 and layer["sparsity"] < 0.01 for layer in layers)
    assert not (tmp_path / "run" / JOURNAL).exists()


@pytest.mark.filterwarnings("default")
def test_a_missed_target_has_its_own_exit_code(
    command: Callable[..., object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["tracking=none", "hydra.run.dir=run", "schedule.begin=0", "schedule.end=1000"]
    assert command(QUICK, *arguments) == TARGET_MISSED
    sparsity = summary_of(tmp_path / "run")["sparsity"]
    assert all(x["target"] == 0.8 and x["sparsity"] < 0.8 for x in sparsity["layers"].values())
    said = capsys.readouterr().err
    assert "will not be finished" in said
    missed = f"pruneplug-train: The target sparsity was not reached: {sparsity['total']:.4f} "
    assert said.endswith(f"{missed}instead of 0.8000.\n")
    # Its result stands; started again, it is written again with the same code.
    assert command(QUICK, *arguments) == TARGET_MISSED


def test_layers_of_one_name_are_told_apart_everywhere(
    command: Callable[..., object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_data(tmp_path / "tiny.npz")
    layers = keras.layers
    parts = [
        keras.Sequential([keras.Input((width,)), layers.Dense(8, name="d")], name=name)
        for name, width in (("a", 16), ("b", 8))
    ]
    ends = [layers.Flatten(), *parts, layers.Dense(3, activation="softmax", name="out")]
    keras.Sequential([keras.Input((4, 4, 1)), *ends]).save(tmp_path / "nested.keras")
    arguments = ["data=npz", "data.path=tiny.npz", "model=saved", "model.path=nested.keras"]
    arguments += ["trainer.epochs=2", "tracking=journal", "hydra.run.dir=run", "sparsity=0.5"]
    arguments += [
        "allocation.overrides={d_1:0.25}",
        "sensitivity=scan",
        "sensitivity.sparsities=[0.5]",
    ]
    for _ in range(2):  # trained, and read again
        assert command(*arguments) == 0
        found = summary_of(tmp_path / "run")["sparsity"]["layers"]
        assert list(found) == ["d/kernel", "d_1/kernel", "out/kernel"]
        assert found["d_1/kernel"]["kept"] == 48
        out = capsys.readouterr().out
        tables = [out, *((tmp_path / "run" / name).read_text() for name in TABLES)]
        assert all("d_1/kernel" in table for table in tables)
    stripped = keras.saving.load_model(tmp_path / "run" / "model.keras")
    kernels = [part.get_layer("d").kernel.numpy() for part in stripped.layers[1:3]]
    kept = [int((kernel != 0).sum()) for kernel in kernels]
    assert kept == [found[name]["kept"] for name in ("d/kernel", "d_1/kernel")]


@pytest.mark.filterwarnings("default")
def test_a_resume_that_is_refused_says_line_by_line_what_differs(
    command: Callable[..., object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_data(tmp_path / "tiny.npz")
    common = ["data=npz", "data.path=tiny.npz", "tracking=none", "hydra.run.dir=run"]
    assert command(*common, "trainer.epochs=3", "model.hidden=[8]", "sparsity=0.5") == 0
    capsys.readouterr()
    changes = ["sparsity=0.9", "optimizer.learning_rate=0.5", "model.hidden=[4]"]
    changes += ["trainer.batch_size=9", "trainer.epochs=4", "seed=2", "schedule.end=0.9"]
    assert command(*common, *changes) == USAGE
    said = capsys.readouterr().err
    lines = [line.removeprefix("- ") for line in said.splitlines() if line.startswith("- ")]
    assert set(lines) >= {
        "sparsity: 0.5 in the checkpoint, 0.9 now",
        "optimizer.learning_rate: 0.001 in the checkpoint, 0.5 now",
        "model.hidden: [8] in the checkpoint, [4] now",
        "trainer.batch_size: 32 in the checkpoint, 9 now",
        "trainer.epochs: 3 in the checkpoint, 4 now",
        "seed: 0 in the checkpoint, 2 now",
        "schedule.end: 0.7 in the checkpoint, 0.9 now",
    }
    assert len({line.partition(":")[0] for line in lines}) == len(lines)
    assert not any("{" in line for line in lines)
    # Forced, it says the same, and delivers what is asked for now.
    given = ["sparsity=0.9", "model.hidden=[8]", "trainer.epochs=8", "trainer.force_resume=true"]
    assert command(*common, *given) == 0
    assert "- sparsity: 0.5 in the checkpoint, 0.9 now" in capsys.readouterr().err
    assert summary_of(tmp_path / "run")["sparsity"]["total"] == pytest.approx(0.9, abs=0.02)


def test_another_model_on_other_data(command: Callable[..., object], tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x, y = generator.random((60, 5), np.float32), np.arange(60) % 3
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3, name="logits")])
    model.save(tmp_path / "own.keras")
    arguments = ["data=npz", "data.path=own.npz", "model=saved", "model.path=own.keras"]
    more = ["optimizer=sgd", "schedule=constant", "block.size=[5,1]", "trainer.epochs=2"]
    assert command(*arguments, *more, "tracking=journal", "hydra.run.dir=run") in (0, TARGET_MISSED)
    assert set(summary_of(tmp_path / "run")["sparsity"]["layers"]) == {"logits/kernel"}


def test_a_sweep_gives_comparable_runs(command: Callable[..., object], tmp_path: Path) -> None:
    arguments = ["-m", QUICK, "sparsity=0.5,0.8", "tracking=journal", "hydra.sweep.dir=sweep"]
    assert command(*arguments) == 0
    folders = sorted(path.parent for path in (tmp_path / "sweep").glob("*/summary.json"))
    assert [path.name for path in folders] == [
        f"0_{QUICK},sparsity=0.5,tracking=journal",
        f"1_{QUICK},sparsity=0.8,tracking=journal",
    ]
    summaries = [summary_of(folder) for folder in folders]
    assert [round(s["sparsity"]["total"], 1) for s in summaries] == [0.5, 0.8]
    assert set(summaries[0]["sparsity"]["layers"]) == set(summaries[1]["sparsity"]["layers"])


def test_a_finished_run_is_not_trained_again(quick: tuple[Path, str, str]) -> None:
    before = summary_of(quick[0] / "run")
    process = start(quick[0], QUICK, "hydra.run.dir=run")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert summary_of(quick[0] / "run")["metrics"] == before["metrics"]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 143),
        (signal.SIGUSR1, 128 + signal.SIGUSR1),
        (signal.SIGUSR2, 128 + signal.SIGUSR2),
    ],
)
def test_an_interrupted_run_says_so(number: int, code: int, tmp_path: Path) -> None:
    process = start(tmp_path, "trainer.epochs=5000", "tracking=journal", "hydra.run.dir=run")
    journal = tmp_path / "run" / JOURNAL
    deadline = time.monotonic() + 200
    while not (journal.exists() and "val_loss" in journal.read_text()):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.2)
    process.send_signal(number)
    _, err = process.communicate(timeout=100)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert json.loads(journal.read_text().splitlines()[-1])["status"] == "KILLED"
    words = shlex.split(err.splitlines()[-1].partition("To go on: ")[2])
    assert words[:3] == ["python", "-m", "pruneplug.train"]
    assert words[3:] == [
        "trainer.epochs=5000",
        "tracking=journal",
        f'hydra.run.dir="{tmp_path}/run"',
    ]
    steps = [int(path.name[5:]) for path in (tmp_path / "run/checkpoints").glob("step-*")]
    assert f"stopped after step {max(steps)}. It can go on from step {max(steps)}" in err
