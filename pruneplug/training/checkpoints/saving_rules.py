"""When checkpoints are written and which of them stay."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

from pruneplug.training.checkpoints.store import CHECKPOINTS, CheckpointStore


@dataclass(frozen=True)
class Saving:
    """The rules for a run's checkpoints; the end of a run is saved whatever they say.

    Args:
        checkpoint_every: Steps between two checkpoints; None saves at epoch ends.
        checkpoint_minutes: Minutes after which one is due whatever the steps; None for never.
        keep_checkpoints: Number of newest ones to keep, besides the best.
        keep_minutes: Keep one in so many minutes for good; None keeps none.
        clock: Returns a time in seconds that never goes back.

    Raises:
        ValueError: If one of them is out of its range.
    """

    checkpoint_every: int | None = None
    checkpoint_minutes: float | None = None
    keep_checkpoints: int = 2
    keep_minutes: float | None = None
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        check_count("keep_checkpoints", self.keep_checkpoints)
        if self.checkpoint_every is not None:
            check_count("checkpoint_every", self.checkpoint_every)
        for name in ("checkpoint_minutes", "keep_minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0; got {name}={value!r}.")

    def check_folder(self, folder: Path | str | None, resume: str) -> None:
        """Refuse rules that make no sense without a folder.

        Raises:
            ValueError: If there is none.
        """
        asked = (self.checkpoint_every, self.checkpoint_minutes) != (None, None)
        if folder is None and (resume == "auto" or asked):
            raise ValueError(
                "folder must be given to write or resume checkpoints; got folder=None with "
                f"resume={resume!r}, checkpoint_every={self.checkpoint_every}, "
                f"checkpoint_minutes={self.checkpoint_minutes}."
            )

    def store(self, folder: Path, writes: bool = True) -> CheckpointStore:
        """Return the store of a run's folder.

        Args:
            folder: The run's.
            writes: Whether this process writes checkpoints, or only reads them.
        """
        seconds = None if self.keep_minutes is None else 60 * self.keep_minutes
        return CheckpointStore(
            folder / CHECKPOINTS, self.keep_checkpoints, seconds, self.clock, writes
        )

    def alarm(self, agree: Callable[[int], int] = int) -> "Alarm":
        """Return what goes off when a checkpoint is due by time; see `Alarm`."""
        return Alarm(self.checkpoint_minutes, self.clock, agree)


class Alarm:
    """Goes off some minutes after it was last set.

    Args:
        minutes: How many; None never goes off.
        clock: Returns the time in seconds.
        agree: Returns the answer for all that train together, given one's own.
    """

    def __init__(
        self, minutes: float | None, clock: Callable[[], float], agree: Callable[[int], int]
    ) -> None:
        self._minutes = minutes
        self._clock = clock
        self._agree = agree
        self._since = clock()

    def set(self) -> None:
        """Start to wait anew."""
        self._since = self._clock()

    def due(self) -> bool:
        """Tell whether the time is over."""
        if self._minutes is None:
            return False
        return bool(self._agree(self._clock() - self._since >= 60 * self._minutes))


def check_count(name: str, value: object) -> None:
    """Refuse a value that is no whole number of at least 1.

    Raises:
        ValueError: With name and value.
    """
    if not _is_whole(value) or value < 1:  # type: ignore[operator]  # it is a number then
        raise ValueError(f"{name} must be a whole number, at least 1; got {name}={value!r}.")


def check_seed(seed: object) -> None:
    """Refuse a seed that not all generators take.

    Raises:
        ValueError: With its value.
    """
    if not _is_whole(seed) or not 0 <= seed < 2**32:  # type: ignore[operator]  # as above
        raise ValueError(f"seed must be a whole number in [0, 2**32); got seed={seed!r}.")


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
