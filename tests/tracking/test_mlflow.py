"""What MLflow holds in the end is what was measured, once."""

import logging
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from pruneplug.tracking import Journal
from pruneplug.tracking.mlflow import MlflowTracker, sync

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")

START = "from pruneplug.tracking.mlflow import *; from pruneplug.tracking import Journal\n"


@pytest.fixture
def client(sqlite_uri: str) -> MlflowClient:
    return MlflowClient(tracking_uri=sqlite_uri)


@pytest.fixture
def tracker(tmp_path: Path, sqlite_uri: str) -> Callable[..., MlflowTracker]:
    def make(resume: bool = False, folder: str = "run", **options: object) -> MlflowTracker:
        journal = Journal(tmp_path / folder / "journal.jsonl", resume=resume)
        return MlflowTracker(journal, sqlite_uri, **options)  # type: ignore[arg-type]

    return make


def _run(client: MlflowClient, tracker: MlflowTracker) -> Run:
    return client.get_run(tracker.describe()["run_id"])


def _steps(client: MlflowClient, run: Run, key: str = "loss") -> list[int]:
    return sorted(point.step for point in client.get_metric_history(run.info.run_id, key))


def test_a_run_in_a_sqlite_store(tracker, client: MlflowClient, sqlite_uri: str) -> None:
    one = tracker(experiment="fresh", run_name="mine")
    one.start({"model.units": 8, "bad name?": "x"}, {"git": "abc"})
    assert one.describe()["tracking_uri"] == sqlite_uri
    assert _run(client, one).info.status == "RUNNING"
    for step, value in enumerate((1.5, math.nan, math.inf)):
        one.log_metrics({"loss": value, "sparsity/dense/kernel": 0.5}, step)
    (one.journal.path.parent / "a.txt").write_text("text")
    one.log_artifact(one.journal.path.parent / "a.txt", "tables")
    one.finish("FINISHED")
    run = _run(client, one)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "mine")
    assert run.data.params == {"model.units": "8", "bad name_": "x"}
    assert run.data.tags["git"] == "abc"
    history = sorted(client.get_metric_history(run.info.run_id, "loss"), key=lambda p: p.step)
    assert [p.step for p in history] == [0, 1, 2]
    assert (history[0].value, math.isnan(history[1].value)) == (1.5, True)
    assert history[2].value > 1e308
    assert [file.path for file in client.list_artifacts(run.info.run_id, "tables")]
    database = Path(sqlite_uri.removeprefix("sqlite:///"))
    assert run.info.artifact_uri.startswith((database.parent / "mlartifacts").as_uri())
    assert one.message == ""


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_the_status_is_the_one_given(tracker, client: MlflowClient, status: str) -> None:
    one = tracker()
    one.start({}, {})
    one.finish(status)
    assert _run(client, one).info.status == status


def test_a_killed_run_is_adopted(
    tracker, client: MlflowClient, tmp_path: Path, sqlite_uri: str
) -> None:
    path = tmp_path / "run" / "journal.jsonl"
    code = f"""{START}
import os, signal
tracker = MlflowTracker(Journal(Path({str(path)!r})), {sqlite_uri!r})
tracker.start({{"epochs": 3, "resume": "never"}}, {{}})
for step in range(5):
    tracker.log_metrics({{"loss": 1.0}}, step)
print(tracker.describe()["run_id"], flush=True)
for step in range(5, 10):
    tracker.log_metrics({{"loss": 1.0}}, step)
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    one = tracker(resume=True)
    one.start({"epochs": 3, "resume": "auto"}, {})
    assert one.describe()["run_id"] == killed.stdout.strip()
    for step in range(3, 12):
        one.log_metrics({"loss": 1.0}, step)
    one.finish("FINISHED")
    run = _run(client, one)
    assert _steps(client, run) == list(range(12))
    assert run.info.status == "FINISHED"
    assert run.data.params == {"epochs": "3", "resume": "never"}
    assert run.data.tags["resumed.resume"] == "auto"
    assert one.message == ""


def test_a_run_given_by_its_id_is_adopted(tracker, client: MlflowClient) -> None:
    one = tracker()
    one.start({}, {})
    for step in range(3):
        one.log_metrics({"loss": 1.0}, step)
    one.finish("KILLED")
    run_id = one.describe()["run_id"]
    two = tracker(folder="other", run_id=run_id)
    two.start({}, {})
    for step in range(1, 5):
        two.log_metrics({"loss": 1.0}, step)
    two.finish("FINISHED")
    assert two.describe()["run_id"] == run_id
    assert _steps(client, client.get_run(run_id)) == [0, 1, 2, 3, 4]


def test_a_run_that_the_store_does_not_know_is_made_anew(tracker, client: MlflowClient) -> None:
    one = tracker(run_id="0" * 32)
    one.start({}, {})
    one.log_metrics({"loss": 1.0}, 0)
    one.finish("FINISHED")
    assert one.describe()["run_id"] != "0" * 32
    assert _steps(client, _run(client, one)) == [0]


def test_a_replay_of_the_whole_journal_adds_nothing(
    tracker, client: MlflowClient, sqlite_uri: str
) -> None:
    one = tracker()
    one.start({"a": 1}, {})
    for step in range(30):
        one.log_metrics({f"m{key}": math.nan if key else 0.1 * step for key in range(50)}, step)
    one.finish("FINISHED")
    (one.journal.path.with_name("journal.jsonl.sent")).unlink()
    assert sync(one.journal.path, sqlite_uri) == ""
    run = _run(client, one)
    assert _steps(client, run, "m0") == _steps(client, run, "m7") == list(range(30))
    assert run.info.status == "FINISHED"


def test_what_cannot_be_taken_is_named(
    tracker, client: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    one = tracker()
    one.start({}, {})
    one.log_metrics({"a//b": 1.0, "loss": 1.0}, 0)
    one.log_artifact(Path("/nowhere/file"))
    with caplog.at_level(logging.WARNING):
        one.finish("FINISHED")
    assert "refused a//b" in one.message
    assert "/nowhere/file does not exist" in one.message
    assert one.message in caplog.messages
    assert _steps(client, _run(client, one)) == [0]


def test_processes_that_open_a_fresh_store_together(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    code = f"""{START}
import sys
tracker = MlflowTracker(Journal(Path({str(tmp_path)!r}, sys.argv[1], "journal")), {uri!r})
tracker.start({{}}, {{}})
tracker.log_metrics({{"loss": 1.0}}, 1)
tracker.finish("FINISHED")
sys.exit(tracker.message or 0)
"""
    jobs = [subprocess.Popen([sys.executable, "-c", code, str(job)]) for job in range(3)]
    assert [job.wait(90) for job in jobs] == [0] * 3
    client = MlflowClient(tracking_uri=uri)
    experiments = [e.experiment_id for e in client.search_experiments() if e.name == "pruneplug"]
    assert len(experiments) == 1
    runs = client.search_runs(experiments)
    assert [run.data.metrics for run in runs] == [{"loss": 1.0}] * 3
