"""What a journal's sender asks of a store of runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from pruneplug.tracking.journal_lines import Entry
from pruneplug.tracking.locations import redact_all

# What MLflow's error codes ask of the user.
_MEANING = {
    "UNAUTHENTICATED": "it refused the authentication: MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD must hold a name and a password that it knows",
    "PERMISSION_DENIED": "it knows the user of MLFLOW_TRACKING_USERNAME but denies the permission",
}


class Refused(Exception):
    """The store does not accept what it was sent, whenever that is sent."""


class InTrash(Exception):
    """The store takes nothing until something is taken out of its trash."""


class Gone(Exception):
    """The store no longer has the run, not even in its trash."""


def reason(problem: Exception) -> str:
    """Say in one line, without secrets, why a store did not take or give what it was asked for."""
    first_line = str(problem).partition("\n")[0]
    said = redact_all(f"{type(problem).__name__}: {first_line}")[:300]
    return _MEANING.get(getattr(problem, "error_code", ""), said)


class Point(NamedTuple):
    """A value of a metric at a step; `time` in milliseconds since 1970."""

    key: str
    value: float
    time: int
    step: int


class Store(Protocol):
    """Holds runs. Each call may raise: `Refused` when trying again is vain, `Gone` with its run."""

    def open_run(self, start: Entry, run_id: str | None) -> str:
        """Continue the run `run_id`, else find or make the one of a start entry; give its id."""

    def has_run(self, run_id: str) -> bool:
        """Tell whether there is such a run, be it in the trash."""

    def send_points(self, run_id: str, points: Sequence[Point]) -> None:
        """Add at most 1000 points; one that is there already must not be doubled."""

    def send_params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Add the params that are not there yet."""

    def send_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags."""

    def send_artifact(self, run_id: str, path: Path, folder: str) -> None:
        """Upload a file or a folder."""

    def close_run(self, run_id: str, status: str, ended: int) -> None:
        """Set the final status and the end in milliseconds since 1970."""
