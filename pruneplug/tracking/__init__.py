"""Where a run's numbers go: a local journal first, MLflow from there."""

from pruneplug.tracking.base import NullTracker, RunStatus, Tracker
from pruneplug.tracking.journal import Journal

__all__ = ["Journal", "NullTracker", "RunStatus", "Tracker"]
