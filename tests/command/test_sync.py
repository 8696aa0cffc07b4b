"""What an outage has kept from MLflow arrives later, all of it and nothing twice."""

from pathlib import Path

import pytest
from cli import run_command, write_tiny_data
from mlflow import MlflowClient
from mlflow_server import Server

from pruneplug.command import sync
from pruneplug.command.sweep.jobs import JobRecord, read_records
from pruneplug.tracking import Journal
from pruneplug.tracking.journal import values
from pruneplug.tracking.locations import redact

pytestmark = pytest.mark.filterwarnings("default")


def points(journal: Path) -> list[tuple[str, int]]:
    found = [entry for entry in Journal.read(journal) if entry["type"] == "metrics"]
    return sorted((key, entry["step"]) for entry in found for key in values(entry))


def tracked(client: MlflowClient, run_id: str) -> list[tuple[str, int]]:
    keys = client.get_run(run_id).data.metrics
    histories = [client.get_metric_history(run_id, key) for key in keys]
    return sorted((point.key, point.step) for history in histories for point in history)


def test_a_server_that_stops_in_a_sweep_gets_everything_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_data(tmp_path / "tiny.npz")
    server = Server(tmp_path)
    server.start()
    server.wait()
    ended: list[object] = []

    def stop_after_the_first_job(self: JobRecord) -> None:
        # Records are written when a job begins and when it ends: this is the second one's start.
        ended.append(self)
        if len(ended) == 3:
            server.stop()
        write(self)

    write = JobRecord.write
    monkeypatch.setattr(JobRecord, "write", stop_after_the_first_job)
    monkeypatch.setattr("pruneplug.tracking.sender._POLL", 0.05)
    arguments = ["-m", "data=npz", "data.path=tiny.npz", "trainer.epochs=2", "sparsity=0.5,0.8,0.9"]
    where = ["hydra.sweep.dir=sweep", f"tracking.uri={server.uri}"]
    assert run_command(tmp_path, *arguments, *where) == 0
    sweep = tmp_path / "sweep"
    assert [record.code for record in read_records(sweep)] == [0, 0, 0]
    assert sync.main([str(sweep)]) == 1
    assert "has not got everything" in capsys.readouterr().out
    try:
        server.start()
        server.wait()
        assert sync.main([str(sweep)]) == 0
        assert "4 of 4 runs are in MLflow completely" in capsys.readouterr().out
        check_store(MlflowClient(tracking_uri=server.uri), sweep)
        assert sync.main([str(sweep)]) == 0
        assert capsys.readouterr().out.count("nothing is missing") == 4
        check_store(MlflowClient(tracking_uri=server.uri), sweep)
    finally:
        server.stop()


def check_store(client: MlflowClient, sweep: Path) -> None:
    experiment = client.get_experiment_by_name("pruneplug")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    children = {run.data.tags["folder"]: run for run in runs if "job" in run.data.tags}
    (parent,) = (run for run in runs if "job" not in run.data.tags)
    assert len(children) == 3
    for record in read_records(sweep):
        run = children[str(record.folder)]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.info.status == "FINISHED"
        found = tracked(client, run.info.run_id)
        assert found == points(record.folder / "journal.jsonl")
        assert found


def test_runs_without_a_store_can_be_given_one(
    tmp_path: Path, sqlite_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = Journal(tmp_path / "journal.jsonl")
    sweep.start({}, {"name": "all"})
    job = Journal(tmp_path / "0" / "journal.jsonl", parent=sweep.path)
    job.start({"lr": 0.1}, {"name": "one"})
    job.log_metrics({"loss": 1.0}, 1)
    job.finish("FINISHED")
    assert sync.main(["--uri", sqlite_uri, str(tmp_path / "0")]) == 0
    assert "sent 1 points and 4 other entries" in capsys.readouterr().out
    assert sync.main(["--uri", sqlite_uri, str(tmp_path)]) == 0
    client = MlflowClient(tracking_uri=sqlite_uri)
    runs = client.search_runs([client.get_experiment_by_name("pruneplug").experiment_id])
    by_name = {run.data.tags["name"]: run for run in runs if "name" in run.data.tags}
    parent = by_name["one"].data.tags["mlflow.parentRunId"]
    assert parent == by_name["all"].info.run_id


@pytest.fixture
def sqlite_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


@pytest.mark.parametrize(
    ("arguments", "part"), [(["missing"], "must exist"), (["."], "must hold runs with a journal")]
)
def test_a_mistake_is_one_message(
    arguments: list[str],
    part: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.jsonl").write_text("no journal\n")
    assert sync.main(arguments) == 2
    assert part in capsys.readouterr().err


def test_a_damaged_journal_is_named_and_all_the_rest_arrives(
    tmp_path: Path, sqlite_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.start({}, {"name": "damaged"})
    for step in range(10):
        journal.log_metrics({"loss": 1.0}, step)
    journal.finish("FINISHED")
    data = journal.path.read_bytes()
    place = data.index(b'"step": 5')
    journal.path.write_bytes(data[:place] + b"X" + data[place + 1 :])
    for _ in range(2):
        assert sync.main(["--uri", sqlite_uri, str(tmp_path)]) == 1
        said = capsys.readouterr().out
        assert "1 line is damaged, the first before byte" in said
        assert "0 of 1 runs are in MLflow completely" in said
    client = MlflowClient(tracking_uri=sqlite_uri)
    (run,) = client.search_runs(
        [client.get_experiment_by_name("pruneplug").experiment_id], "tags.name = 'damaged'"
    )
    assert [step for _, step in tracked(client, run.info.run_id)] == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert run.info.status == "FINISHED"


def test_what_is_in_the_trash_is_said_to_be_there(
    tmp_path: Path, sqlite_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.start({}, {"name": "trashed"})
    assert sync.main(["--uri", sqlite_uri, str(tmp_path)]) == 0
    client = MlflowClient(tracking_uri=sqlite_uri)
    experiments = [client.get_experiment_by_name("pruneplug").experiment_id]
    (run,) = client.search_runs(experiments, "tags.name = 'trashed'")
    client.delete_run(run.info.run_id)
    journal.log_metrics({"loss": 1.0}, 0)
    capsys.readouterr()
    for _ in range(2):
        assert sync.main(["--uri", sqlite_uri, str(tmp_path)]) == 1
        said = capsys.readouterr().out
        assert "has not got everything: the run" in said
        assert f"mlflow runs restore --run-id {run.info.run_id}" in said
    client.restore_run(run.info.run_id)
    assert sync.main(["--uri", sqlite_uri, str(tmp_path)]) == 0
    assert "sent 1 points" in capsys.readouterr().out
    assert tracked(client, run.info.run_id) == [("loss", 0)]


def test_a_store_that_cannot_be_asked_is_not_said_to_have_everything(
    tmp_path: Path, sqlite_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.start({}, {})
    assert sync.main(["--uri", sqlite_uri, str(tmp_path)]) == 0
    sent = journal.path.with_name("journal.jsonl.sent")
    sent.write_text(sent.read_text().replace(sqlite_uri, "http://127.0.0.1:9"))
    capsys.readouterr()
    assert sync.main(["--uri", "http://127.0.0.1:9", str(tmp_path)]) == 1
    assert "cannot be asked whether it still has everything" in capsys.readouterr().out


def test_a_password_is_not_looked_for_in_the_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.start({}, {}, {"uri": redact("http://me:secret@host:5000")})
    assert sync.address(journal.path, None) == "http://host:5000"
    assert sync.address(journal.path, "http://other:1") == "http://other:1"
    with pytest.raises(ValueError, match="must hold no address with a password"):
        sync.address(journal.path, "http://me:secret@host:5000")
