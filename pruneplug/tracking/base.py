"""What the training loop asks of a tracker, and the tracker that does nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

RunStatus: TypeAlias = Literal["FINISHED", "FAILED", "KILLED"]
Param: TypeAlias = str | int | float | bool


class Tracker(Protocol):
    """Records one training run.

    Every method returns at once (`finish` after a bounded wait) and none raises because a
    store, a network or a disk fails: training must not depend on whether it is being watched.
    """

    def start(self, params: Mapping[str, Param], tags: Mapping[str, str]) -> None:
        """Begin a run.

        Args:
            params: the flat configuration, one value by dotted name.
            tags: free labels of the run.
        """

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Record measured values.

        Args:
            metrics: value by metric name; NaN and infinities are values like any other.
            step: number of optimizer steps taken when they were measured.
        """

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Attach a file, or a folder with all it holds, to the run.

        Args:
            path: the file; it must stay where it is until the run is over.
            folder: the folder inside the run's artifacts, "" for the top.
        """

    def flush(self) -> None:
        """Wait until what was recorded outlives a power cut; called before each checkpoint."""

    def finish(self, status: RunStatus) -> None:
        """End the run.

        Args:
            status: FINISHED, FAILED (an error ended it) or KILLED (a signal did).
        """

    def describe(self) -> dict[str, str]:
        """Say where the run can be looked at, e.g. its tracking_uri and run_id; {} for nowhere."""


class NullTracker:
    """Records nothing."""

    def start(self, params: Mapping[str, Param], tags: Mapping[str, str]) -> None:
        """Do nothing."""

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Do nothing."""

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Do nothing."""

    def flush(self) -> None:
        """Do nothing."""

    def finish(self, status: RunStatus) -> None:
        """Do nothing."""

    def describe(self) -> dict[str, str]:
        """Return {}: there is nothing to look at."""
        return {}
