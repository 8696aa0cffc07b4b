"""Metrics on their way to the tracker: nothing that happens there may stop training."""

import threading
import warnings
from collections.abc import Mapping
from contextlib import suppress

from pruneplug.tracking.base import Tracker

# Seconds that a checkpoint waits for the tracker's answer.
_PATIENCE = 0.05


class MetricLog:
    """Hands metrics to a tracker and turns its first failure into a warning.

    Args:
        tracker: Started and finished by its owner.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._failed = False
        self._last: dict[str, int] = {}
        self._asking: threading.Thread | None = None
        self._found: dict[str, str] = {}

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

    def sync(self) -> None:
        """Let what was logged outlive a power cut: a checkpoint presupposes it."""
        sync = getattr(self._tracker, "sync", None)
        if sync is None:
            return  # a tracker of one's own may keep nothing on a disk
        try:
            sync()
        except Exception as error:
            if not self._failed:
                self._failed = True
                warnings.warn(f"The tracker failed, training goes on: {error!r}.", stacklevel=2)

    def describe(self) -> dict[str, str]:
        """Return where the run is tracked, {} while the tracker does not say: it may take time."""
        done = self._asking is None or not self._asking.is_alive()
        if self._asking is None or (done and "run_id" not in self._found):
            self._asking = threading.Thread(target=self._ask, daemon=True)
            self._asking.start()
        self._asking.join(_PATIENCE)
        return dict(self._found)

    def _ask(self) -> None:
        with suppress(Exception):
            self._found = self._tracker.describe()
