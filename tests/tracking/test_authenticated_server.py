"""A real MLflow server that asks for a password: runs arrive whole, and nothing gives it away."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from cli import run_command, write_tiny_data
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow_server import Server

from pruneplug.command import sync
from pruneplug.tracking import Journal
from pruneplug.tracking.journal import values

pytestmark = pytest.mark.filterwarnings("default")

NAME, PASSWORD = "sender", "s3cret:with@signs"
TRAINING = ("data=npz", "data.path=tiny.npz", "trainer.epochs=2")
RIGHT = {"MLFLOW_TRACKING_USERNAME": NAME, "MLFLOW_TRACKING_PASSWORD": PASSWORD}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server"), (NAME, PASSWORD)).running() as server:
        yield server


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write data to train on, and forget credentials."""
    for name in RIGHT:
        monkeypatch.delenv(name, raising=False)
    write_tiny_data(tmp_path / "tiny.npz")
    return tmp_path


def log_in(patch: pytest.MonkeyPatch, credentials: dict[str, str]) -> None:
    for name, value in credentials.items():
        patch.setenv(name, value)


def tracked(server: Server, folder: Path) -> tuple[MlflowClient, Run]:
    """Return the run that has a folder's metrics: every one, each point once."""
    client = MlflowClient(tracking_uri=server.uri)
    experiment = client.get_experiment_by_name("pruneplug")
    query = f"tags.folder = '{folder}'"
    (run,) = client.search_runs([experiment.experiment_id], query)
    entries = [entry for entry in Journal.read(folder / "journal.jsonl") if "metrics" in entry]
    kept = sorted((key, entry["step"]) for entry in entries for key in values(entry))
    histories = [client.get_metric_history(run.info.run_id, key) for key in run.data.metrics]
    assert sorted((point.key, point.step) for points in histories for point in points) == kept
    assert kept
    return client, run


def check_secrecy(folder: Path, said: str) -> None:
    """Look for the password in what was said and in every file that was left."""
    for text in (PASSWORD, quote(PASSWORD, safe="")):
        assert text not in said
        for path in filter(Path.is_file, folder.rglob("*")):
            assert text.encode() not in path.read_bytes(), path


def test_a_run_arrives_whole(
    server: Server,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    log_in(monkeypatch, RIGHT)
    arguments = (*TRAINING, f"tracking.uri={server.uri}", "hydra.run.dir=run")
    assert run_command(folder, *arguments) == 0
    client, run = tracked(server, folder / "run")
    assert run.info.status == "FINISHED"
    assert run.data.params["sparsity"] == "0.8"
    assert PASSWORD not in str(run.to_dictionary())
    there = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"model", "model.keras", "summary.json", "layers.csv"} <= there
    check_secrecy(folder, "".join((*capfd.readouterr(), caplog.text)))


@pytest.mark.parametrize("password", [None, "wrong"])
def test_refused_credentials_cost_nothing_but_a_sync(
    password: str | None,
    server: Server,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if password is not None:
        log_in(monkeypatch, {**RIGHT, "MLFLOW_TRACKING_PASSWORD": password})
    where = (f"tracking.uri={server.uri}", "hydra.run.dir=run", "tracking.log_model=false")
    assert run_command(folder, *TRAINING, *where) == 0
    run = folder / "run"
    assert (run / "summary.json").exists()
    assert "refused the authentication: MLFLOW_TRACKING_USERNAME and" in caplog.text
    assert f"python -m pruneplug.sync {run} sends" in caplog.text
    assert sync.main([str(run)]) == 1
    assert "refused the authentication" in capsys.readouterr().out
    log_in(monkeypatch, RIGHT)
    assert sync.main([str(run)]) == 0
    assert tracked(server, run)[1].info.status == "FINISHED"
    check_secrecy(folder, "".join((*capsys.readouterr(), caplog.text)))


def test_credentials_in_the_address_stay_in_the_environment(
    server: Server,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    uri = server.uri.replace("://", f"://{NAME}:{quote(PASSWORD, safe='')}@")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    sweep = ("-m", *TRAINING, "sparsity=0.5,1.5", "hydra.sweep.dir=sweep")
    # The message about 1.5, which is no sparsity, and that of a finished job are looked at, too.
    assert [run_command(folder, *sweep) for _ in range(2)] == [2, 2]
    (job,) = (path.parent for path in (folder / "sweep").glob("*/summary.json"))
    # The journal names the address without them, and the environment has it with them.
    assert sync.main([str(folder / "sweep")]) == 0
    said = "".join((*capfd.readouterr(), caplog.text))
    check_secrecy(folder, said)
    assert "sent" not in said
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    log_in(monkeypatch, RIGHT)
    _, run = tracked(server, job)
    assert PASSWORD not in str(run.to_dictionary())
