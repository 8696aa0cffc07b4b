"""A real MLflow server that is late, stops and comes back: all points arrive, none twice."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow_server import Server

from pruneplug.tracking import Journal
from pruneplug.tracking.mlflow import MlflowTracker

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.stop()


def _wait_for(client: MlflowClient, run_id: str, key: str, count: int) -> list[int]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        steps = sorted(point.step for point in client.get_metric_history(run_id, key))
        if len(steps) >= count:
            break
        time.sleep(0.2)
    return steps


def test_late_stopped_and_restarted(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pruneplug.tracking.sender._LONGEST_PAUSE", 1.0)
    tracker = MlflowTracker(Journal(tmp_path / "journal.jsonl"), server.uri)
    tracker.start({"epochs": 3}, {})
    metrics = {"loss": 1.0, "nan": float("nan"), "inf": float("inf")}
    for step in range(100):
        tracker.log_metrics(metrics, step)
    server.start()
    server.wait()
    client = MlflowClient(tracking_uri=server.uri)
    while "run_id" not in tracker.describe():
        time.sleep(0.1)
    run_id = tracker.describe()["run_id"]
    assert _wait_for(client, run_id, "loss", 100) == list(range(100))
    for step in range(100, 200):
        tracker.log_metrics(metrics, step)
        if step == 150:
            server.stop()
        time.sleep(0.005)
    server.start()
    server.wait()
    (tmp_path / "model.bin").write_bytes(b"weights")
    tracker.log_artifact(tmp_path / "model.bin", "model")
    tracker.finish("FINISHED")
    assert tracker.message == ""
    for key in metrics:
        assert _wait_for(client, run_id, key, 200) == list(range(200))
    assert client.get_run(run_id).info.status == "FINISHED"
    assert [file.path for file in client.list_artifacts(run_id, "model")] == ["model/model.bin"]


def test_a_hanging_server_is_left_behind_and_served_later(server: Server, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    tracker = MlflowTracker(journal, server.uri, patience=1.0)
    tracker.start({}, {})
    run_id = tracker.describe()["run_id"]
    server.send(signal.SIGSTOP)
    begin = time.monotonic()
    for step in range(50):
        tracker.log_metrics({"loss": 1.0}, step)
    assert time.monotonic() - begin < 1
    tracker.finish("FINISHED")
    assert time.monotonic() - begin < 5
    assert "has not got 50 points" in tracker.message
    server.send(signal.SIGCONT)
    later = MlflowTracker(Journal(journal.path, resume=True), server.uri)
    later.start({}, {})
    assert later.describe()["run_id"] == run_id
    later.finish("FINISHED")
    client = MlflowClient(tracking_uri=server.uri)
    assert _wait_for(client, run_id, "loss", 50) == list(range(50))
