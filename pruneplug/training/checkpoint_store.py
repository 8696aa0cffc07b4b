"""The checkpoints of a run: written aside, renamed, then pointed to; old ones removed."""

import math
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

from pruneplug.files import sync
from pruneplug.training.checkpoint import (
    FINAL,
    Checkpoint,
    folder_name,
    read_checkpoint,
    write_checkpoint,
)
from pruneplug.training.manifest import DamagedCheckpointError, read_manifest

_LATEST = "latest"


class CheckpointStore:
    """The checkpoints of one run.

    Args:
        folder: Created when the first one is saved.
        keep: Number of newest ones to keep, at least 1.
        keep_seconds: Keep one in so many seconds for good; None keeps none.
        clock: Returns the time in seconds since 1970.
        writes: False for all workers of a cluster but one, which read what that one writes.
    """

    def __init__(
        self,
        folder: Path,
        keep: int = 2,
        keep_seconds: float | None = None,
        clock: Callable[[], float] = time.time,
        writes: bool = True,
    ) -> None:
        self.folder = folder
        self._keep = keep
        self._keep_seconds = keep_seconds
        self._clock = clock
        self.writes = writes
        self._removal: Thread | None = None

    def save(
        self,
        checkpoint: Checkpoint,
        extra: Callable[[Path], None] = lambda folder: None,
        final: bool = False,
    ) -> Path:
        """Write a checkpoint; until the last rename the previous one is untouched.

        Args:
            checkpoint: The content.
            extra: Writes further files into the folder it is given.
            final: Marks the end of the run: never removed, and found first.

        Returns:
            The checkpoint's folder.
        """
        name = FINAL if final else folder_name(checkpoint.step)
        if not self.writes:
            _read_along(checkpoint)
            return self.folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._removal is not None:
            self._removal.join()
        self._sweep(".*.draft", ".*.old")
        draft = self.folder / f".{name}.{os.getpid()}.draft"
        draft.mkdir()
        try:
            write_checkpoint(draft, checkpoint, extra, self._clock())
            target = self._publish(draft, name)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        self._rotate()
        return target

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, oldest first; damaged ones count."""
        return sorted(int(path.name[5:]) for path in self.folder.glob("step-" + "[0-9]" * 8))

    def exists(self) -> bool:
        """Tell whether there is any checkpoint, damaged ones included."""
        return bool(self.steps()) or (self.folder / FINAL).exists()

    def candidates(self) -> Iterator[Checkpoint]:
        """Yield the valid checkpoints, the end of the run first, then the newest first.

        Damaged ones are skipped with a warning that says what is wrong.
        """
        final = [FINAL] if (self.folder / FINAL).exists() else []
        for name in [*final, *map(folder_name, reversed(self.steps()))]:
            try:
                yield read_checkpoint(self.folder / name)
            except DamagedCheckpointError as error:
                message = f"A damaged checkpoint was skipped: {error}. The one before it is used."
                warnings.warn(message, stacklevel=2)

    def at(self, step: int) -> Checkpoint:
        """Return the checkpoint of one step.

        Raises:
            DamagedCheckpointError: If it is missing or damaged.
        """
        return read_checkpoint(self.folder / folder_name(step))

    def _publish(self, draft: Path, name: str) -> Path:
        target = self.folder / name
        if target.exists():
            # Only a damaged one, or one of a replayed step, can be there: never the last good one.
            target.rename(self.folder / f".{name}.{os.getpid()}.old")
        draft.rename(target)
        sync(self.folder)
        pointer = self.folder / f".{_LATEST}.{os.getpid()}.draft"
        pointer.write_text(f"{name}\n")
        sync(pointer)
        pointer.replace(self.folder / _LATEST)
        sync(self.folder)
        return target

    def _rotate(self) -> None:
        steps = self.steps()
        kept = {*steps[-self._keep :], *self._milestones(steps)}
        for step in sorted(kept):
            kept.update(self._manifest(step).get("needs", ()))
        for step in set(steps) - kept:
            old = self.folder / f".{folder_name(step)}.{os.getpid()}.old"
            (self.folder / folder_name(step)).rename(old)
        # To remove a large file takes half as long as to write it: the training goes on meanwhile.
        self._removal = Thread(target=self._sweep, args=[".*.old"])
        self._removal.start()

    def _milestones(self, steps: Iterable[int]) -> Iterator[int]:
        """Yield the first of `steps`, and each one that is old enough after the one before."""
        last = -math.inf
        for step in steps if self._keep_seconds is not None else ():
            written = self._manifest(step).get("time", last)
            if self._keep_seconds is not None and written - last >= self._keep_seconds:
                last = written
                yield step

    def _manifest(self, step: int) -> dict[str, Any]:
        try:
            return read_manifest(self.folder / folder_name(step), files=False)
        except (OSError, ValueError):
            return {}

    def _sweep(self, *patterns: str) -> None:
        for pattern in patterns:
            for path in self.folder.glob(pattern):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


def _read_along(checkpoint: Checkpoint) -> None:
    """Read what the writing worker reads: sums over the workers need all of them to take part."""
    for section in checkpoint.sections.values():
        for _ in section:
            pass
