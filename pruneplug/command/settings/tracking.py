"""Where metrics and results go besides the run folder."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pruneplug.tracking.locations import refuse_password

if TYPE_CHECKING:
    from pruneplug.tracking import Journal, Tracker


@dataclass
class TrackingSettings(ABC):
    """Where metrics and results go; one subclass for each file of `conf/tracking`."""

    name: str

    @abstractmethod
    def build(
        self, journal: Path, run_name: str, resume: bool, parent: Path | None = None
    ) -> "Tracker":
        """Build the tracker; all but `none` keep a journal.

        Args:
            journal: Where it lies.
            run_name: What MLflow calls the run.
            resume: Whether a journal that is there goes on.
            parent: The journal of the sweep that the run is a job of.

        Raises:
            OSError: If the journal cannot be written.
            ValueError: If the tracking address is none.
        """


@dataclass
class UntrackedSettings(TrackingSettings):
    """No tracking."""

    def build(
        self, journal: Path, run_name: str, resume: bool, parent: Path | None = None
    ) -> "Tracker":
        """Build what tracks nothing."""
        from pruneplug.tracking import NullTracker

        return NullTracker()


@dataclass
class JournalSettings(TrackingSettings):
    """A journal in the run folder."""

    def build(
        self, journal: Path, run_name: str, resume: bool, parent: Path | None = None
    ) -> "Tracker":
        """Build the journal."""
        return self._journal(journal, resume, parent)

    def _journal(self, path: Path, resume: bool, parent: Path | None) -> "Journal":
        from pruneplug.tracking import Journal

        return Journal(path, resume=resume, parent=parent)


@dataclass
class MlflowSettings(JournalSettings):
    """An MLflow store, fed from the run's journal."""

    uri: str | None
    """Store or server; None: MLFLOW_TRACKING_URI, else `mlflow.db` in the working directory."""
    experiment: str | None
    """Its name for comparable runs; None: MLFLOW_EXPERIMENT_NAME, else `pruneplug`."""
    log_model: bool
    """Whether the stripped model is logged in MLflow's format too, ready to be served."""
    system_metrics: bool
    """Whether CPU and memory use are recorded at the end of each epoch."""

    def __post_init__(self) -> None:
        refuse_password("tracking.uri", self.uri or "")

    def build(
        self, journal: Path, run_name: str, resume: bool, parent: Path | None = None
    ) -> "Tracker":
        """Build the tracker on its journal."""
        from pruneplug.tracking.mlflow import MlflowTracker

        kept = self._journal(journal, resume, parent)
        return MlflowTracker(kept, self.uri, self.experiment, run_name)


TRACKING = {"mlflow": MlflowSettings, "journal": JournalSettings, "none": UntrackedSettings}
