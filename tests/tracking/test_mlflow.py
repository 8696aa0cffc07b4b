"""What MLflow holds in the end is what was measured, once."""

import logging
import math
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.tracking._tracking_service.utils import _get_store

from pruneplug.tracking import Journal
from pruneplug.tracking.journal import last_run
from pruneplug.tracking.mlflow import MlflowTracker, pending, sync
from pruneplug.tracking.store import InTrash

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")

START = """
from pathlib import Path
from pruneplug.tracking import Journal
from pruneplug.tracking.mlflow import MlflowTracker
"""


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
    assert run.data.params == {"model.units": "8", "bad name__9ab38cd0": "x"}
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
import os, signal, time
tracker = MlflowTracker(Journal(Path({str(path)!r})), {sqlite_uri!r})
tracker.start({{"epochs": 3, "resume": "never"}}, {{}})
for step in range(5):
    tracker.log_metrics({{"loss": 1.0}}, step)
while "run_id" not in tracker.describe():
    time.sleep(0.1)
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
    one.log_metrics({"loss": 1.0}, 0)
    path = one.journal.path.with_name("late.csv")
    one.log_artifact(path)
    with caplog.at_level(logging.WARNING):
        one.finish("FINISHED")
    assert f"refused late.csv: {path} does not exist" in one.message
    assert one.message in caplog.messages
    assert _steps(client, _run(client, one)) == [0]
    assert "does not exist" in sync(one.journal.path, one._uri)
    path.write_text("x")
    assert sync(one.journal.path, one._uri) == ""
    assert [f.path for f in client.list_artifacts(_run(client, one).info.run_id)] == ["late.csv"]


NAMES = [
    "a//b", "/a", "a/../b", "../a", "..a", ".", "", "a[0]", "a(0)", "a{0}", "a_0_", "x" * 251,
    "x" * 250, "x" * 400, "tab\t", "naïve", "\udcff", "a\nb", "a/", "%", "é" * 250,
]  # fmt: skip


def test_every_name_arrives_and_none_is_taken_for_another(tracker, client: MlflowClient) -> None:
    one = tracker()
    one.start(dict.fromkeys(NAMES, "value"), dict.fromkeys(NAMES, "nul \0, no text \udcff"))
    one.log_metrics({name: float(number) for number, name in enumerate(NAMES)}, 1)
    one.finish("FINISHED")
    assert one.message == ""
    data = _run(client, one).data
    assert sorted(data.metrics.values()) == list(range(len(NAMES)))
    assert len(data.params) == len(NAMES)
    assert len([key for key in data.tags if not key.startswith(("mlflow.", "pruneplug."))]) == len(
        NAMES
    )
    assert {"a_0_", "x" * 250, "naïve"} <= set(data.metrics)


@pytest.mark.parametrize("trashed", ["run", "experiment"])
def test_what_was_in_the_trash_arrives_once_it_is_out(
    trashed: str, tracker, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pruneplug.tracking.sender._POLL", 0.05)
    one = tracker(experiment=f"with a {trashed}")
    one.start({"a": 1}, {})
    for step in range(50):
        one.log_metrics({"loss": 1.0}, step)
    run = _run(client, one)
    run_id, experiment = run.info.run_id, run.info.experiment_id
    if trashed == "run":
        client.delete_run(run_id)
    else:
        client.delete_experiment(experiment)
    for step in range(50, 150):
        one.log_metrics({"loss": 1.0}, step)
    two = tracker(resume=True, experiment=f"with a {trashed}")  # of a process that was killed
    two.start({"a": 2}, {"b": "c"})
    two.finish("FINISHED")
    one._sender.close(5)
    assert "points" in two.message
    assert f"the run {run_id} is in MLflow's trash; mlflow runs restore" in two.message
    with pytest.raises(InTrash, match=run_id):
        sync(one.journal.path, one._uri)
    if trashed == "run":
        client.restore_run(run_id)
    else:
        client.restore_experiment(experiment)
    assert sync(one.journal.path, one._uri) == ""
    assert pending(one.journal.path, one._uri) == ""
    run = client.get_run(run_id)
    assert _steps(client, run) == list(range(150))
    assert (run.info.status, run.data.tags["b"]) == ("FINISHED", "c")
    assert len(client.search_runs([experiment])) == 1


def test_an_experiment_in_the_trash_takes_no_run(tracker, client: MlflowClient) -> None:
    experiment = client.create_experiment("thrown away")
    client.delete_experiment(experiment)
    one = tracker(experiment="thrown away")
    one.start({}, {})
    one.log_metrics({"loss": 1.0}, 0)
    one.finish("FINISHED")
    assert "the experiment thrown away is in MLflow's trash; mlflow experiments" in one.message
    client.restore_experiment(experiment)
    assert sync(one.journal.path, one._uri) == ""
    (run,) = client.search_runs([experiment])
    assert _steps(client, run) == [0]


@pytest.mark.parametrize("when", ["under way", "after its end"])
def test_a_run_that_the_store_lost_is_made_anew(
    when: str, tracker, client: MlflowClient, sqlite_uri: str
) -> None:
    one = tracker()
    one.start({"a": 1}, {})
    for step in range(3):
        one.log_metrics({"loss": 1.0}, step)
    lost = _run(client, one).info.run_id
    if when == "after its end":
        one.finish("KILLED")
    _get_store(sqlite_uri)._hard_delete_run(lost)  # as `mlflow gc` does
    if when == "under way":
        one.log_metrics({"loss": 1.0}, 3)
        one.finish("FINISHED")
        assert one.message == ""
    two = tracker(resume=True)
    two.start({"a": 1}, {})
    two.log_metrics({"loss": 1.0}, 4)
    two.finish("FINISHED")
    assert two.message == ""
    run = _run(client, two)
    assert run.info.run_id != lost
    steps = [0, 1, 2, 3, 4] if when == "under way" else [0, 1, 2, 4]
    assert _steps(client, run) == steps
    assert run.data.params == {"a": "1"}
    _get_store(sqlite_uri)._hard_delete_run(run.info.run_id)
    assert sync(one.journal.path, sqlite_uri) == ""
    query = f"params.a = '1' and attributes.run_id != '{lost}'"
    ids = [run.info.experiment_id]
    assert steps in [_steps(client, found) for found in client.search_runs(ids, query)]


def test_a_folder_that_is_removed_under_way_costs_no_point(
    tracker, client: MlflowClient, sqlite_uri: str
) -> None:
    one = tracker()
    one.start({}, {})
    run_id = one.describe()["run_id"]
    for step in range(30):
        if step == 10:
            shutil.rmtree(one.journal.path.parent, ignore_errors=True)
            assert not one.journal.path.exists()
        one.log_metrics({"loss": 1.0}, step)
    one.finish("FINISHED")
    assert one.message == ""
    assert _steps(client, client.get_run(run_id)) == list(range(30))
    assert sync(one.journal.path, sqlite_uri) == ""
    assert len(last_run(one.journal.path)) == 34


def test_to_start_twice_leaves_no_thread_behind(tracker, client: MlflowClient) -> None:
    before = threading.active_count()
    one = tracker()
    for step in range(3):
        one.start({}, {})
        one.log_metrics({"loss": 1.0}, step)
    one.finish("FINISHED")
    assert threading.active_count() == before
    assert _steps(client, _run(client, one)) == [0, 1, 2]


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


def test_the_users_own_mlflow_keeps_its_settings(
    tracker, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("MAX_RETRIES", "TIMEOUT")
    for name in names:
        monkeypatch.delenv(f"MLFLOW_HTTP_REQUEST_{name}", raising=False)
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "false")
    seen: list[dict[str, str | None]] = []
    log_batch = MlflowClient.log_batch

    def look(self: MlflowClient, *args: object, **options: object) -> None:
        seen.append({name: os.environ.get(f"MLFLOW_HTTP_REQUEST_{name}") for name in names})
        log_batch(self, *args, **options)

    monkeypatch.setattr(MlflowClient, "log_batch", look)
    one = tracker()
    one.start({"a": 1}, {})
    one.log_metrics({"loss": 1.0}, 0)
    one.finish("FINISHED")
    assert seen
    assert all(found == {"MAX_RETRIES": "0", "TIMEOUT": "10"} for found in seen)
    assert not any(f"MLFLOW_HTTP_REQUEST_{name}" in os.environ for name in names)
    assert os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] == "false"
