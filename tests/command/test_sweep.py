"""Sweeps: one run in MLflow with a run for each job, whatever launches them."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import keras
import pytest
from cli import run_command, write_tiny_data
from hydra import compose, initialize_config_dir
from hydra.errors import MissingConfigException
from mlflow import MlflowClient
from mlflow.entities import Run
from places import ROOT

from pruneplug.command.folder import JOURNAL
from pruneplug.command.settings import config_folder, explain, read_settings, register_schemas
from pruneplug.command.sweep.identity import config_hash, git_commit
from pruneplug.command.sweep.jobs import JobRecord, read_records
from pruneplug.process.lock import LOCK
from pruneplug.tracking import Journal

pytestmark = pytest.mark.filterwarnings("default")

PARENT = "mlflow.parentRunId"
# A start of TensorFlow on a busy machine.
PATIENCE = 300
ATTEMPTS = int(os.environ.get("FRESH_STORES", "3"))


@pytest.fixture
def tiny(tmp_path: Path) -> list[str]:
    """Write data for two steps, and give the arguments of a sweep over it in two epochs."""
    write_tiny_data(tmp_path / "tiny.npz")
    model = ["model.hidden=[8]", "trainer.epochs=2"]
    return ["-m", "data=npz", "data.path=tiny.npz", *model, "hydra.sweep.dir=sweep"]


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pruneplug.train", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_DISABLE_IMPORT_WARNING": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True,
        start_new_session=True,
    )  # fmt: skip


def wait_until(seen: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not seen():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)


def family(folder: Path) -> tuple[Run, list[Run]]:
    """Return the parent and the children that a folder's store holds, and no more."""
    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("pruneplug")
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = (run for run in runs if PARENT not in run.data.tags)
    children = [run for run in runs if PARENT in run.data.tags]
    assert {run.data.tags[PARENT] for run in children} == {parent.info.run_id}
    return parent, sorted(children, key=lambda run: int(run.data.tags["job"]))


def check_family(folder: Path, jobs: int) -> None:
    parent, children = family(folder)
    assert [run.data.tags["job"] for run in children] == [str(job) for job in range(jobs)]
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}
    assert all(run.data.metrics["sparsity/total"] > 0.4 for run in children)


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweep.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_sweep_is_one_run_with_its_jobs_below_it(
    tmp_path: Path, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(tmp_path, *tiny, "sparsity=0.5,0.9") == 0
    check_family(tmp_path, 2)
    parent, children = family(tmp_path)
    sweep = tmp_path / "sweep"
    assert "sparsity=0.5,0.9" in parent.data.tags["command"]
    assert parent.data.tags["folder"] == str(sweep)
    artifacts = {path.name for path in (tmp_path / "mlartifacts").rglob("artifacts/*")}
    assert {"config.yaml", "sweep.csv", "report"} <= artifacts
    for run, sparsity, record in zip(children, ("0.5", "0.9"), read_records(sweep), strict=True):
        assert run.data.params["sparsity"] == sparsity
        assert f"sparsity={sparsity}" in run.data.tags["overrides"].split()
        assert run.data.tags["folder"] == str(record.folder)
        assert run.data.tags["config_hash"] == record.config_hash
        assert run.data.tags["sweep"] == "sweep"
    rows = table(sweep)
    assert [row["status"] for row in rows] == ["done", "done"]
    for row, run in zip(rows, children, strict=True):
        assert float(row["val_accuracy"]) == pytest.approx(run.data.metrics["val_accuracy"])
        summary = json.loads((sweep / row["folder"] / "summary.json").read_text())
        assert float(row["sparsity"]) == summary["sparsity"]["total"]
        assert int(row["gzip_bytes"]) == summary["size"]["gzip_bytes"]
    out = capsys.readouterr().out
    assert "Jobs of the sweep" in out
    assert "No run without pruning (sparsity=0) is here to compare with." in out
    assert f"report               {sweep}/report/report.html" in out
    assert parent.info.run_id in out


def test_relative_paths_keep_their_meaning_in_a_job_that_changes_its_folder(
    tmp_path: Path, tiny: list[str]
) -> None:
    keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]).save(
        tmp_path / "own.keras"
    )
    model = ["model=saved", "model.path=own.keras", "trainer.epochs=1", "tracking.log_model=false"]
    given = [*tiny[:3], *model, "hydra.sweep.dir=sweep", "hydra.job.chdir=true"]
    assert run_command(tmp_path, *given, "sparsity=0.5,0.8") == 0
    check_family(tmp_path, 2)
    assert [path.parent for path in tmp_path.rglob("*.db")] == [tmp_path]
    assert len(list((tmp_path / "sweep").glob("*/summary.json"))) == 2


def test_without_tracking_nothing_is_tracked(tmp_path: Path, tiny: list[str]) -> None:
    assert run_command(tmp_path, *tiny, "tracking=none", "sparsity=0.5") == 0
    assert not (tmp_path / "mlflow.db").exists()
    assert not list(tmp_path.rglob("*.jsonl"))
    assert [row["status"] for row in table(tmp_path / "sweep")] == ["done"]


def test_a_fresh_store_bears_parallel_jobs_every_time(tmp_path: Path, tiny: list[str]) -> None:
    for attempt in range(ATTEMPTS):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        # Absolute, because the workers live on from one attempt to the next, where they were.
        places = [f"data.path={tmp_path}/tiny.npz", f"hydra.sweep.dir={folder}/sweep"]
        places += [f"tracking.uri=sqlite:///{folder}/mlflow.db"]
        parallel = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "sparsity=0.5,0.8"]
        assert run_command(folder, *tiny[:2], *tiny[3:5], *places, *parallel) == 0
        check_family(folder, 2)


@pytest.mark.parametrize(
    ("plugin", "arguments"),
    [
        ("submitit", ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10"]),
        ("ray", ["hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2"]),
    ],
)
def test_launchers_of_clusters_run_here_too(
    plugin: str, arguments: list[str], tmp_path: Path, tiny: list[str]
) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{plugin}_launcher")
    process = start(tmp_path, *tiny, *arguments, "sparsity=0.5,0.8")
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    check_family(tmp_path, 2)


def test_optuna_searches_accuracy_against_sparsity(tmp_path: Path, tiny: list[str]) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    search = ["hydra/sweeper=optuna", "hydra.sweeper.direction=[maximize,maximize]"]
    search += ["hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=1"]
    # The job whose sparsity is refused does not end the search.
    assert run_command(tmp_path, *tiny, *search, "sparsity=choice(0.5,0.9,1.5)", "seed=1") in (0, 2)
    check_objectives(tmp_path / "sweep")


def check_objectives(sweep: Path) -> None:
    values = [record.objectives(2) for record in read_records(sweep)]
    assert values
    found = (sweep / "optimization_results.yaml").read_text()
    best = max(value for value in values if value is not None)
    assert str(best[0])[:12] in found


def test_a_job_that_fails_leaves_its_log_and_the_others_go_on(
    tmp_path: Path, tiny: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    faults = "data.path=tiny.npz,missing.npz"
    rates = "optimizer.learning_rate=1e38,0.001"
    assert run_command(tmp_path, *tiny, faults, rates, "tracking=journal") == 1
    assert [row["status"] for row in table(tmp_path / "sweep")] == [
        "failed (1)", "done", "failed (2)", "failed (2)",
    ]  # fmt: skip
    logs = sorted((tmp_path / "sweep").glob("*/errors.log"))
    assert len(logs) == 3
    assert all("Traceback" in log.read_text() for log in logs)
    captured = capfd.readouterr()
    assert "failed (1)" in captured.out
    assert "hydra.sweep.dir=" in captured.err


def test_a_sweep_whose_table_cannot_be_written_says_so(
    tmp_path: Path, tiny: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sweep" / "sweep.csv").mkdir(parents=True)
    assert run_command(tmp_path, *tiny, "tracking=none", "sparsity=0.5") == 1
    assert "The results of the sweep cannot be written: " in capfd.readouterr().err


def test_a_killed_sweep_runs_only_what_is_missing(tmp_path: Path, tiny: list[str]) -> None:
    six = [*tiny, "sparsity=0.5,0.55,0.6,0.7,0.8,0.9", "tracking.uri=sqlite:///mlflow.db"]
    process = start(tmp_path, *six)
    sweep = tmp_path / "sweep"
    wait_until(lambda: any(record.number == 2 for record in read_records(sweep)), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = read_records(sweep)
    assert [record.code for record in before] == [0, 0, None]
    models = {r.folder: (r.folder / "model.keras").stat().st_mtime_ns for r in before[:2]}
    assert run_command(tmp_path, *six) == 0
    after = read_records(sweep)
    assert [record.code for record in after] == [0] * 6
    assert all((f / "model.keras").stat().st_mtime_ns == time_ for f, time_ in models.items())
    check_family(tmp_path, 6)


@pytest.mark.parametrize(
    "launcher",
    [
        ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
        ("hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10"),
    ],
)
def test_a_killed_worker_costs_its_job_nothing_but_time(
    launcher: tuple[str, ...], tmp_path: Path, tiny: list[str]
) -> None:
    # A short job and a long one.
    arguments = [*tiny[:4], "trainer.epochs=1,200", *tiny[5:], "tracking=journal"]
    sweep = tmp_path / "sweep"
    process = start(tmp_path, *arguments, *launcher)
    wait_until(lambda: [r.finished for r in read_records(sweep)] == [True, False], process)
    done, broken = read_records(sweep)
    wait_until(lambda: bool(list(broken.folder.glob("checkpoints/step-*"))), process)
    os.kill(json.loads((broken.folder / LOCK).read_text())["pid"], signal.SIGKILL)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "The process of a job was killed or has crashed" in said
    assert "To run what is missing: the same command" in said
    assert "Traceback" not in said
    assert [row["status"] for row in table(sweep)] == ["done", "not finished"]
    model = (done.folder / "model.keras").stat().st_mtime_ns
    assert run_command(tmp_path, *arguments) == 0
    assert [record.code for record in read_records(sweep)] == [0, 0]
    assert (done.folder / "model.keras").stat().st_mtime_ns == model
    entries = [e for e in Journal.read(broken.folder / JOURNAL) if e["type"] == "metrics"]
    measured = [entry["step"] for entry in entries if "val_loss" in entry["metrics"]]
    assert measured == list(range(2, 401, 2))


def test_a_longer_sweep_reuses_what_is_done(
    tmp_path: Path, tiny: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command(tmp_path, *tiny, "tracking=journal", "sparsity=0.8") == 0
    assert run_command(tmp_path, *tiny, "tracking=journal", "sparsity=0.5,0.8") == 0
    rows = table(tmp_path / "sweep")
    assert sorted(row["overrides"].split()[-1] for row in rows) == ["sparsity=0.5", "sparsity=0.8"]
    assert "was finished before" in capfd.readouterr().err


def test_a_sweep_that_cannot_be_tracked_does_not_begin(
    tmp_path: Path, tiny: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command(tmp_path, *tiny, "tracking.uri=nowhere://x", "sparsity=0.5") == 2
    assert "tracking uri must start with" in capfd.readouterr().err
    assert not list((tmp_path / "sweep").glob("*/summary.json"))


@pytest.mark.parametrize(
    ("choice", "extra"),
    [("launcher/ray", "ray"), ("launcher/submitit_slurm", "slurm"), ("sweeper/optuna", "sweep")],
)
def test_a_missing_extra_is_named(choice: str, extra: str) -> None:
    error = MissingConfigException("In ...", missing_cfg_file=f"hydra/{choice}", options=["basic"])
    assert f"pip install 'pruneplug[{extra}]'" in explain(error)


def test_a_torn_record_counts_as_not_begun(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    JobRecord(tmp_path / "0", 0, "seed=0", "abc").write()
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "job.json").write_text('{"number": 1, "ov')
    (record,) = read_records(tmp_path)
    assert (record.status, record.finished, record.objectives(2)) == ("not finished", False, None)


@pytest.mark.parametrize(
    "record",
    [
        '{"number": "1", "overrides": "", "config_hash": null}',
        '{"number": 1, "overrides": null, "config_hash": null}',
        '{"number": 1, "overrides": "", "config_hash": null, "code": "0"}',
        "[1]",
        "[" + "[" * 100_000,
    ],
)
def test_a_damaged_record_counts_as_not_begun(record: str, tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(record)
    (tmp_path / "0").mkdir()
    JobRecord(tmp_path / "0", 0, "seed=0", "abc").write()
    assert [record.number for record in read_records(tmp_path)] == [0]


def test_a_damaged_summary_costs_its_job_alone(
    tmp_path: Path, tiny: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = [*tiny, "tracking=journal", "sparsity=0.5,0.8"]
    assert run_command(tmp_path, *arguments) == 0
    done, torn = (record.folder for record in read_records(tmp_path / "sweep"))
    good = (torn / "summary.json").read_bytes()
    (torn / "summary.json").write_bytes(good[:-20])
    models = [(folder / "model.keras").stat().st_mtime_ns for folder in (done, torn)]
    capfd.readouterr()
    assert [record.status for record in read_records(tmp_path / "sweep")] == [
        "done",
        "not finished",
    ]
    assert run_command(tmp_path, *arguments) == 0
    captured = capfd.readouterr()
    assert f"Job 1 counts as not finished: {torn / 'summary.json'} must be readable" in captured.err
    assert captured.err.count("was finished before") == 1
    assert "Traceback" not in captured.err
    again = [(folder / "model.keras").stat().st_mtime_ns for folder in (done, torn)]
    assert again[0] == models[0]
    assert again[1] > models[1]
    written = json.loads((torn / "summary.json").read_text())
    # The model's file is another one, and may differ by some bytes when it is compressed.
    assert written | {"size": None} == json.loads(good) | {"size": None}
    assert [row["status"] for row in table(tmp_path / "sweep")] == ["done", "done"]


@pytest.mark.parametrize(
    ("words", "same"),
    [
        ("sparsity=0", True),
        ("sparsity=0.8", False),
        ("sparsity=0 schedule.initial=0.5", False),
        ("sparsity=0 sensitivity=scan", False),
        ("sparsity=0 allocation.overrides={hidden_1:0.5}", False),
    ],
)
def test_blocks_of_nothing_make_no_difference(words: str, same: bool) -> None:
    register_schemas()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        choices = [compose("config", [*words.split(), f"block={b}"]) for b in ("none", "4x4")]
    one, other = (config_hash(read_settings(config)) for config in choices)
    assert (one == other) is same


def test_a_dense_baseline_serves_every_shape(
    tmp_path: Path, tiny: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command(tmp_path, *tiny, "tracking=journal", "block=none,4x1", "sparsity=0,0.5") == 0
    rows = [(row["sparsity"] == "0.0", row["status"]) for row in table(tmp_path / "sweep")]
    assert rows == [(True, "done"), (False, "done"), (False, "done")]
    assert "was finished before" in capfd.readouterr().err


def test_the_commit_is_known_inside_a_repository_only(tmp_path: Path) -> None:
    assert git_commit(tmp_path) is None
    command = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*command, "init", "-q"], check=True)
    subprocess.run([*command, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    commit = git_commit(tmp_path)
    assert commit is not None
    assert len(commit) == 40
