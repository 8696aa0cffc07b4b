"""A store in memory that obeys MLflow's rules, and a real one in a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pruneplug.tracking.journal import Entry
from pruneplug.tracking.store import Point, Refused


class MemoryStore:
    """Keeps runs in dictionaries; `down` makes every call fail, `lost` confirmations only."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, object]] = {}
        self.points: dict[str, dict[Point, None]] = {}
        self.calls: list[int] = []
        self.down = False
        self.lost = 0

    def open_run(self, start: Entry, run_id: str | None) -> str:
        self._answer()
        run_id = run_id or f"run-{start['id']}"
        self.points.setdefault(run_id, {})
        self.runs.setdefault(run_id, {"params": {}, "tags": {}, "artifacts": {}})
        self.runs[run_id]["status"] = "RUNNING"
        return run_id

    def has_run(self, run_id: str) -> bool:
        self._answer()
        return run_id in self.runs

    def send_points(self, run_id: str, points: Sequence[Point]) -> None:
        self._answer()
        assert 0 < len(points) <= 1000
        if any("//" in point.key for point in points):
            raise Refused("bad name")
        self.calls.append(len(points))
        self.points[run_id].update(dict.fromkeys(points))
        self._confirm()

    def send_params(self, run_id: str, params: Mapping[str, str]) -> None:
        self._answer()
        self.runs[run_id]["params"] = dict(params)

    def send_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        self._answer()
        self.runs[run_id]["tags"] = dict(tags)

    def send_artifact(self, run_id: str, path: Path, folder: str) -> None:
        self._answer()
        self.runs[run_id]["artifacts"] = {f"{folder}/{path.name}": path.read_bytes()}

    def close_run(self, run_id: str, status: str, ended: int) -> None:
        self._answer()
        self.runs[run_id]["status"] = status

    def _answer(self) -> None:
        if self.down:
            raise ConnectionError("no answer from http://me:secret@host:1")

    def _confirm(self) -> None:
        if self.lost:
            self.lost -= 1
            raise TimeoutError("answer lost")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture(scope="session")
def sqlite_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One real MLflow store for all tests: making one takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"
