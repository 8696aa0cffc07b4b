"""Laws that every tracker keeps."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pruneplug.tracking import Journal, NullTracker, Tracker
from pruneplug.tracking.mlflow import MlflowTracker

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")

TRACKERS: dict[str, Callable[[Path, str], Tracker]] = {
    "none": lambda folder, uri: NullTracker(),
    "journal": lambda folder, uri: Journal(folder / "journal.jsonl"),
    "mlflow": lambda folder, uri: MlflowTracker(Journal(folder / "journal.jsonl"), uri),
    "mlflow down": lambda folder, uri: MlflowTracker(
        Journal(folder / "journal.jsonl"), "http://127.0.0.1:9"
    ),
}


@pytest.fixture(params=TRACKERS)
def tracker(request: pytest.FixtureRequest, tmp_path: Path, sqlite_uri: str) -> Tracker:
    return TRACKERS[request.param](tmp_path, sqlite_uri)


def test_a_run_raises_nothing_and_keeps_no_one_waiting(tracker: Tracker, tmp_path: Path) -> None:
    begin = time.monotonic()
    tracker.start({"a": 1, "b": 0.5, "c": "x", "d": True}, {"tag": "value"})
    for step in range(100):
        tracker.log_metrics({"loss": float("nan"), "accuracy": 0.5}, step)
    tracker.log_artifact(tmp_path / "nowhere.txt", "folder")
    assert time.monotonic() - begin < 1
    tracker.finish("FINISHED")
    assert time.monotonic() - begin < 30


def test_calls_out_of_order_raise_nothing(tracker: Tracker) -> None:
    tracker.log_metrics({"loss": 1.0}, 0)
    tracker.finish("KILLED")
    tracker.start({}, {})
    tracker.finish("FAILED")
    tracker.log_metrics({"loss": 1.0}, 1)


def test_a_tracker_takes_one_run_after_the_other(tracker: Tracker) -> None:
    for _ in range(2):
        tracker.start({}, {})
        tracker.log_metrics({"loss": 1.0}, 0)
        tracker.finish("FINISHED")


def test_a_description_is_text_without_secrets(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(tracker, MlflowTracker):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
        tracker = MlflowTracker(Journal(tmp_path / "journal.jsonl"))
    tracker.start({}, {})
    described = tracker.describe()
    tracker.finish("FINISHED")
    assert all(isinstance(value, str) for value in described.values())
    assert "secret" not in str(described)
    assert not any(b"secret" in path.read_bytes() for path in tmp_path.iterdir())


def test_whatever_was_logged_can_be_made_to_outlive_a_power_cut(tracker: Tracker) -> None:
    tracker.flush()
    tracker.start({}, {})
    tracker.log_metrics({"loss": 1.0}, 0)
    tracker.flush()
    tracker.finish("FINISHED")
    tracker.flush()


def test_no_tracker_imports_mlflow_in_the_caller(tmp_path: Path) -> None:
    """Importing mlflow takes seconds, so the thread that logs must never do it."""
    code = (
        "import sys; from pathlib import Path; from pruneplug.tracking.mlflow import *;"
        "from pruneplug.tracking import Journal;"
        f"MlflowTracker(Journal(Path({str(tmp_path)!r}, 'j')), 'http://127.0.0.1:9');"
        "assert 'mlflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
