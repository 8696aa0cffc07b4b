"""Tracks runs in MLflow, which reads the journal; all that imports mlflow."""

from pruneplug.tracking.mlflow.tracker import MlflowTracker, pending, sync

__all__ = ["MlflowTracker", "pending", "sync"]
