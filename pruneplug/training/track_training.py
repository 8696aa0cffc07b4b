"""Tracks training loops other than the Trainer's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from pruneplug.pruning.callbacks import standing
from pruneplug.tracking.base import Param, Tracker


class TrackTraining(keras.callbacks.Callback):
    """Gives a tracker what `fit` measures, and how sparse each weight is, once an epoch.

    Keras does not tell callbacks that `fit` raises: then the run is ended by
    `tracker.finish("FAILED")`.

    Args:
        tracker: E.g. `pruneplug.tracking.mlflow.MlflowTracker(Journal(Path("journal.jsonl")))`.
        params: The settings of the run by name.
        tags: Free labels of the run.

    Example:
        >>> callbacks = [UpdatePruningStep(), TrackTraining(tracker)]  # doctest: +SKIP
    """

    def __init__(
        self,
        tracker: Tracker,
        params: Mapping[str, Param] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.tracker = tracker
        self.params_of_run = params or {}
        self.tags = tags or {}

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin the run."""
        self.tracker.start(self.params_of_run, self.tags)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Record the epoch, under the number of steps that the model was trained for."""
        event = standing(self.model)
        self.tracker.log_metrics({**(logs or {}), **event.metrics()}, event.step)

    def on_train_end(self, logs: Any = None) -> None:
        """End the run."""
        self.tracker.finish("FINISHED")
