"""A real MLflow server stops and comes back while the command trains: every point, once."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow_server import Server
from places import ROOT

from pruneplug.command import sync
from pruneplug.tracking import Journal

# Starts of TensorFlow and of the server on a busy machine.
PATIENCE = 300
SETTINGS = (
    "experiment=quick", "hydra.run.dir=run", "tracking.log_model=false",
    "schedule.begin=50", "schedule.end=2000", "schedule.frequency=10",
    "trainer.epochs=100000",  # until it is told to stop
)  # fmt: skip


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path).running(PATIENCE) as server:
        yield server


@pytest.fixture
def command(tmp_path: Path, server: Server) -> Iterator[subprocess.Popen[bytes]]:
    """Start to train, on the server's watch."""
    words = [sys.executable, "-m", "pruneplug.train", *SETTINGS, f"tracking.uri={server.uri}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with open(tmp_path / "said.txt", "wb") as said:
        process = subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=said)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until(seen: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not seen():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)


def runs(client: MlflowClient) -> list[Run]:
    experiment = client.get_experiment_by_name("pruneplug")
    return client.search_runs([experiment.experiment_id]) if experiment else []


def test_every_point_arrives_once(
    server: Server, command: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    client, journal = MlflowClient(tracking_uri=server.uri), tmp_path / "run" / "journal.jsonl"
    wait_until(lambda: any("val_loss" in run.data.metrics for run in runs(client)), command)
    server.stop()
    size = journal.stat().st_size
    wait_until(lambda: journal.stat().st_size > 2 * size, command)
    server.start()
    server.wait(PATIENCE)
    assert command.poll() is None
    command.terminate()
    assert command.wait(PATIENCE) == 143, (tmp_path / "said.txt").read_text()
    # On a busy machine the server may be too slow for the wait at the run's end.
    assert sync.main([str(journal.parent)]) == 0
    (run,) = runs(client)
    assert run.info.status == "KILLED"
    entries = [entry for entry in Journal.read(journal) if entry["type"] == "metrics"]
    measured = sorted((key, entry["step"]) for entry in entries for key in entry["metrics"])
    histories = [client.get_metric_history(run.info.run_id, key) for key in run.data.metrics]
    arrived = sorted((point.key, point.step) for points in histories for point in points)
    assert arrived == measured
    assert len(set(arrived)) == len(arrived) > 100
