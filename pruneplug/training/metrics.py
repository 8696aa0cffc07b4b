"""Metrics on their way to the tracker: nothing that happens there may stop training."""

import warnings
from collections.abc import Mapping

from pruneplug.tracking.base import Tracker


class MetricLog:
    """Hands the metrics of one run to a tracker and turns its first failure into a warning.

    Args:
        tracker: Started and finished by its owner.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._failed = False
        self._last: dict[str, int] = {}

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Log metrics measured after `step` optimizer steps, the first value at a step only."""
        # A resumed run logs nothing twice, so a run that was never touched must not either.
        new = {name: value for name, value in metrics.items() if step > self._last.get(name, -1)}
        self._last.update(dict.fromkeys(new, step))
        if not new:
            return
        try:
            self._tracker.log_metrics(new, step)
        except Exception as error:
            if not self._failed:
                self._failed = True
                warnings.warn(
                    f"The tracker failed at step {step}, training goes on: {error!r}.",
                    stacklevel=2,
                )

    def flush(self) -> None:
        """Let what was logged outlive a power cut: a checkpoint presupposes it."""
        flush = getattr(self._tracker, "flush", None)
        if flush is None:
            return  # a tracker of one's own may keep nothing on a disk
        try:
            flush()
        except Exception as error:
            if not self._failed:
                self._failed = True
                warnings.warn(f"The tracker failed, training goes on: {error!r}.", stacklevel=2)
