"""Every entry reaches the store, none twice, whatever fails in between."""

import os
from functools import partial
from pathlib import Path

import pytest

from pruneplug.tracking import Journal
from pruneplug.tracking.delivery import Delivery, Sent, next_batch
from pruneplug.tracking.store import Gone, Refused


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.start({"lr": 0.1}, {"git": "abc"})
    return journal


def _log(journal: Journal, steps: range, keys: int = 1) -> None:
    for step in steps:
        journal.log_metrics({f"m{key}": float(step) for key in range(keys)}, step)


def _delivery(journal: Journal, store, address: str = "http://me:secret@host") -> Delivery:
    return Delivery(journal.path, address, lambda: store)


def _steps(store, key: str = "m0") -> list[int]:
    return [p.step for points in store.points.values() for p in points if p.key == key]


def test_a_whole_run_arrives(journal: Journal, store, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("x")
    _log(journal, range(3))
    journal.log_artifact(tmp_path / "table.csv", "tables")
    journal.finish("FAILED")
    delivery = _delivery(journal, store)
    assert delivery.missing() == "3 points and 5 other entries"
    delivery.send_all()
    (run,) = store.runs.values()
    assert run == {
        "params": {"lr": "0.1"},
        "tags": {"git": "abc"},
        "artifacts": {"tables/table.csv": b"x"},
        "status": "FAILED",
    }
    assert _steps(store) == [0, 1, 2]
    assert not delivery.missing()


def test_batches_hold_at_most_a_thousand_points(journal: Journal, store) -> None:
    _log(journal, range(5), keys=400)
    journal.log_metrics({f"w{key}": 0.0 for key in range(2300)}, step=5)
    _delivery(journal, store).send_all()
    assert store.calls == [800, 800, 400, 1000, 1000, 300]


def test_a_second_delivery_goes_on_where_the_first_stopped(journal: Journal, store) -> None:
    _log(journal, range(3))
    _delivery(journal, store).send_all()
    _log(journal, range(3, 6))
    store.calls.clear()
    _delivery(journal, store).send_all()
    assert store.calls == [3]
    assert _steps(store) == [0, 1, 2, 3, 4, 5]


def test_a_lost_confirmation_doubles_nothing(journal: Journal, store) -> None:
    _log(journal, range(3))
    store.lost = 1
    delivery = _delivery(journal, store)
    with pytest.raises(TimeoutError):
        delivery.send_all()
    delivery.send_all()
    assert _steps(store) == [0, 1, 2]
    assert store.calls == [3, 3]


@pytest.mark.parametrize(
    "state",
    [
        None,
        b"",
        b"[1]",
        b"[" * 100_000,
        b"\xff",
        b'{"store": "x", "new": 1}',
        b'{"store": "http://host", "offset": "5"}',
        b'{"store": "http://host", "offset": 5.5}',
        b'{"store": "http://host", "offset": true}',
        b'{"store": "http://host", "offset": -1}',
        b'{"store": "http://host", "offset": 300, "run_id": "other"}',
        b'{"store": "http://host", "run_id": 7}',
        b'{"store": "http://host", "run_id": ["a"]}',
        b'{"store": "http://host", "refused": [1]}',
        b'{"store": "http://host", "refused": {"a": 1}}',
        b'{"store": ["http://host"]}',
    ],
)
def test_a_lost_or_broken_position_doubles_nothing(
    journal: Journal, store, state: bytes | None
) -> None:
    _log(journal, range(3))
    _delivery(journal, store).send_all()
    beside = journal.path.with_name("journal.jsonl.sent")
    beside.unlink() if state is None else beside.write_bytes(state)
    _delivery(journal, store).send_all()
    assert len(store.runs) == 1
    assert _steps(store) == [0, 1, 2]


def test_an_outage_stops_delivery_and_loses_nothing(journal: Journal, store) -> None:
    delivery = _delivery(journal, store)
    delivery.send_all()
    store.down = True
    _log(journal, range(3))
    with pytest.raises(ConnectionError):
        delivery.send_all()
    store.down = False
    delivery.send_all()
    assert _steps(store) == [0, 1, 2]


def test_one_bad_point_takes_no_other_with_it(journal: Journal, store) -> None:
    journal.log_metrics({f"m{key}": 0.0 for key in range(100)} | {"a//b": 1.0}, step=0)
    delivery = _delivery(journal, store)
    delivery.send_all()
    assert sum(len(points) for points in store.points.values()) == 100
    assert delivery.refusals == {"a//b": "bad name"}
    assert not delivery.missing()


def test_a_resumed_run_stays_the_same_run(journal: Journal, store) -> None:
    _log(journal, range(3))
    _delivery(journal, store).send_all()
    resumed = Journal(journal.path, resume=True)
    resumed.start({"lr": 0.1}, {})
    _log(resumed, range(1, 5))
    _delivery(resumed, store).send_all()
    assert len(store.runs) == 1
    assert _steps(store) == [0, 1, 2, 3, 4]


def test_two_runs_in_one_journal_are_two_runs(journal: Journal, store) -> None:
    _log(journal, range(3))
    again = Journal(journal.path)
    again.start({}, {})
    _log(again, range(3))
    _delivery(again, store).send_all()
    assert [len(points) for points in store.points.values()] == [3, 3]


def test_another_store_gets_everything(journal: Journal, store) -> None:
    _log(journal, range(3))
    _delivery(journal, store).send_all()
    other = type(store)()
    _delivery(journal, other, "http://other").send_all()
    assert _steps(other) == [0, 1, 2]


def test_points_before_any_start_are_refused(tmp_path: Path, store) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    _log(journal, range(2))
    delivery = _delivery(journal, store)
    delivery.send_all()
    assert delivery.refusals == {"metrics": "no run was started"}


def test_the_state_file_holds_no_secret(journal: Journal, store) -> None:
    _delivery(journal, store).send_all()
    assert "secret" not in journal.path.with_name("journal.jsonl.sent").read_text()


def test_a_journal_that_was_cut_and_has_grown_again_is_sent_whole(journal: Journal, store) -> None:
    """After a power cut: the position lies within the journal, but behind other lines."""
    _log(journal, range(3))
    size = journal.path.stat().st_size
    _log(journal, range(3, 6))
    _delivery(journal, store).send_all()
    with open(journal.path, "r+b") as file:
        file.truncate(size)
    resumed = Journal(journal.path, resume=True, clock=lambda: 1.0)
    resumed.start({}, {})
    _log(resumed, range(3, 20))
    _delivery(resumed, store).send_all()
    assert len(store.runs) == 1
    assert set(_steps(store)) == set(range(20))


def test_what_is_sent_is_on_the_disk_before(
    journal: Journal, store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _delivery(journal, store).send_all()
    _log(journal, range(3))
    calls: list[str] = []
    fsync, send = os.fsync, store.send_points
    monkeypatch.setattr(os, "fsync", lambda file: (calls.append("sync"), fsync(file))[1])
    monkeypatch.setattr(store, "send_points", lambda *args: (calls.append("send"), send(*args))[1])
    _delivery(journal, store).send_all()
    assert calls[:2] == ["sync", "send"]


def test_a_position_that_cannot_be_written_stops_nothing(
    journal: Journal, store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    _log(journal, range(3))
    journal.finish("FINISHED")
    monkeypatch.setattr(os, "replace", fail)
    monkeypatch.setattr(os, "access", lambda *_: False)
    delivery = _delivery(journal, store)
    delivery.send_all()
    assert _steps(store) == [0, 1, 2]
    assert not delivery.missing()


def test_one_bad_param_or_tag_takes_no_other_with_it(tmp_path: Path, store) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    many = {f"p{number}": number for number in range(20)}
    journal.start({**many, "bad": 1}, {"a": "x", "bad": "y", "b": "z"})
    taken: dict[str, dict[str, str]] = {"params": {}, "tags": {}}

    def send(kind: str, run_id: str, named: dict[str, str]) -> None:
        if "bad" in named:
            raise Refused("bad name")
        taken[kind].update(named)

    store.send_params = partial(send, "params")
    store.send_tags = partial(send, "tags")
    delivery = _delivery(journal, store)
    delivery.send_all()
    assert taken["params"] == {name: str(value) for name, value in many.items()}
    assert taken["tags"] == {"a": "x", "b": "z"}
    assert delivery.refusals == {"bad": "bad name"}


def test_a_refusal_is_remembered_and_sent_again_when_asked(journal: Journal, store) -> None:
    _log(journal, range(3))
    real = store.send_points

    def refuse(run_id: str, points: object) -> None:
        raise Refused("not now")

    store.send_points = refuse
    _delivery(journal, store).send_all()
    store.send_points = real
    later = _delivery(journal, store)
    assert later.refusals == {"m0": "not now"}
    later.recheck()
    later.send_all()
    assert _steps(store) == [0, 1, 2]
    assert _delivery(journal, store).refusals == {}


def test_a_run_that_is_gone_is_made_anew_from_the_journal(journal: Journal, store) -> None:
    _log(journal, range(3))
    delivery = _delivery(journal, store)
    delivery.send_all()
    gone = store.runs.popitem()[0]
    store.points.clear()
    real = store.send_points

    def send(run_id: str, points: object) -> None:
        if run_id not in store.runs:
            raise Gone(run_id)
        real(run_id, points)

    store.send_points = send
    _log(journal, range(3, 5))
    delivery.send_all()
    assert _steps(store) == [0, 1, 2, 3, 4]
    store.send_points = real
    store.runs.clear()
    store.points.clear()
    later = _delivery(journal, store)
    assert later.missing() == ""
    later.recheck()
    later.send_all()
    assert _steps(store) == [0, 1, 2, 3, 4]
    assert list(store.runs) == [gone]


def test_a_journal_that_cannot_be_read_is_said_to_be_missing(journal: Journal, store) -> None:
    delivery = _delivery(journal, store)
    journal.path.unlink()
    assert "cannot be read (No such file or directory)" in delivery.missing()
    assert "cannot be read" in _delivery(journal, store).missing()


def test_a_position_behind_the_end_belongs_to_another_journal(tmp_path: Path) -> None:
    Sent("s", offset=100, run_id="r").save(tmp_path / "state")
    assert Sent.load(tmp_path / "state", "s", size=100).run_id == "r"
    assert Sent.load(tmp_path / "state", "s", size=99) == Sent("s")


def test_next_batch_of_nothing(tmp_path: Path) -> None:
    assert next_batch(Journal(tmp_path / "journal.jsonl").path, 0) == ([], 0)
