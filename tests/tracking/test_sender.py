"""The sender keeps out of the way, comes back after an outage, and ends in bounded time."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pruneplug.tracking import Journal
from pruneplug.tracking.delivery import Delivery
from pruneplug.tracking.sender import Sender


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.start({}, {})
    return journal


def _sender(journal: Journal, connect: Callable) -> Sender:
    return Sender(Delivery(journal.path, "http://me:secret@host", connect), poll=0.01)


def test_points_arrive_while_training_goes_on(journal: Journal, store) -> None:
    sender = _sender(journal, lambda: store)
    assert sender.run_id() in store.runs
    journal.log_metrics({"loss": 1.0}, step=1)
    deadline = time.monotonic() + 10
    while not store.calls and time.monotonic() < deadline:
        time.sleep(0.01)
    assert store.calls == [1]
    sender.close(patience=5)
    assert sender.what_is_left() == ""


def test_an_outage_is_survived(journal: Journal, store) -> None:
    store.down = True
    sender = _sender(journal, lambda: store)
    assert sender.run_id() is None
    for step in range(5):
        journal.log_metrics({"loss": 1.0}, step)
    assert sender.problem == "ConnectionError: no answer from http://host:1"
    store.down = False
    sender.close(patience=5)
    assert [p.step for p in next(iter(store.points.values()))] == [0, 1, 2, 3, 4]
    assert sender.what_is_left() == ""


def test_a_dead_store_is_given_up_soon_with_a_message(journal: Journal, store) -> None:
    store.down = True
    sender = _sender(journal, lambda: store)
    journal.log_metrics({"loss": 1.0, "accuracy": 0.0}, 1)
    begin = time.monotonic()
    sender.close(patience=60)
    assert time.monotonic() - begin < 5
    report = sender.what_is_left()
    assert "2 points and 3 other entries (ConnectionError" in report
    assert str(journal.path) in report
    assert "secret" not in report


def test_a_hanging_store_is_left_behind(
    journal: Journal, store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "open_run", lambda start, run_id: time.sleep(3))
    sender = _sender(journal, lambda: store)
    begin = time.monotonic()
    sender.close(patience=0.2)
    assert time.monotonic() - begin < 2
    assert "it answers too slowly" in sender.what_is_left()


def test_connecting_may_take_longer(journal: Journal, store) -> None:
    sender = _sender(journal, lambda: time.sleep(1) or store)
    sender.close(patience=0.2)
    assert sender.what_is_left() == ""


def test_pauses_grow_while_the_store_fails(
    journal: Journal, store, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(
        Sender, "_wait", lambda self, pause, closing: pauses.append(pause) or time.sleep(0.001)
    )
    store.down = True
    sender = _sender(journal, lambda: store)
    while len(pauses) < 20:
        time.sleep(0.001)
    sender.close(patience=5)
    assert pauses[:4] == [0.02, 0.04, 0.08, 0.16]
    assert max(pauses) == 60.0
