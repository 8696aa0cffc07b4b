"""The checkpoints of a run: written aside, renamed, then pointed to; old ones removed.

A name that is taken already gets a second version, `step-00000003.1`, which counts from the moment
it is there and takes the plain name when the one before it is gone: so nothing that a run could go
on from is moved or removed before there is something newer.
"""

import math
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

from pruneplug.process.files import to_disk, write_text
from pruneplug.training.checkpoints.checkpoint import (
    FINAL,
    Checkpoint,
    folder_name,
    is_version,
    read_checkpoint,
    write_checkpoint,
)
from pruneplug.training.checkpoints.manifest import DamagedCheckpointError, read_manifest

CHECKPOINTS = "checkpoints"  # in the folder of a run
_LATEST = "latest"


class CheckpointStore:
    """The checkpoints of one run.

    Args:
        folder: Created when the first one is saved.
        keep: Number of newest ones to keep, at least 1.
        keep_seconds: Keep one in so many seconds for good; None keeps none.
        clock: Returns a time in seconds that never goes back.
        writes: False for all workers of a cluster but one, which read what that one writes.
    """

    def __init__(
        self,
        folder: Path,
        keep: int = 2,
        keep_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        writes: bool = True,
    ) -> None:
        self.folder = folder
        self._keep = keep
        self._keep_seconds = keep_seconds
        self._clock = clock
        self._opened = clock()
        self._opened_at: float | None = None
        self.writes = writes
        self._removal: Thread | None = None

    def save(
        self,
        checkpoint: Checkpoint,
        extra: Callable[[Path], None] = lambda folder: None,
        final: bool = False,
    ) -> Path:
        """Write a checkpoint; until it is there, all others are untouched.

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
        self._sweep(".*.draft", ".*.tmp", ".*.old")
        draft = self.folder / f".{name}.{os.getpid()}.draft"
        draft.mkdir()
        try:
            write_checkpoint(draft, checkpoint, extra, self._now())
            target = self._publish(draft, name)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        self._rotate(checkpoint.step)
        return target

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, oldest first; damaged ones count."""
        found = self.folder.glob("step-" + "[0-9]" * 8 + "*")
        return sorted({int(path.name[5:13]) for path in found if is_version(path.name)})

    def exists(self) -> bool:
        """Tell whether there is any checkpoint, damaged ones included."""
        return bool(self.steps() or self._versions(FINAL))

    def candidates(self) -> Iterator[Checkpoint]:
        """Yield the valid checkpoints, the end of the run first, then the newest first.

        Damaged ones are skipped with a warning that says what is wrong.
        """
        names = [FINAL, *map(folder_name, reversed(self.steps()))]
        for path in (path for name in names for path in self._versions(name)):
            try:
                yield read_checkpoint(path)
            except DamagedCheckpointError as error:
                message = f"A damaged checkpoint was skipped: {error}. The one before it is used."
                warnings.warn(message, stacklevel=2)

    def at(self, step: int) -> Checkpoint:
        """Return the checkpoint of one step.

        Raises:
            DamagedCheckpointError: If it is missing or damaged.
        """
        *newer, oldest = self._versions(folder_name(step)) or [self.folder / folder_name(step)]
        for path in newer:
            with suppress(DamagedCheckpointError):
                return read_checkpoint(path)
        return read_checkpoint(oldest)

    def _versions(self, name: str) -> list[Path]:
        """Return the folders of one checkpoint, newest first."""
        found = (path for path in self.folder.glob(f"{name}*") if is_version(path.name))
        return sorted(found, key=lambda path: int(path.suffix[1:] or 0), reverse=True)

    def _publish(self, draft: Path, name: str) -> Path:
        before = self._versions(name)
        number = int(before[0].suffix[1:] or 0) + 1 if before else 0
        target = draft.rename(self.folder / (f"{name}.{number}" if number else name))
        to_disk(self.folder)
        # What is left over of this costs a name, and no checkpoint.
        with suppress(OSError):
            for path in before:
                self._retire(path)
            target = target.rename(self.folder / name)
            to_disk(self.folder)
        self._point_to(target)
        return target

    def _retire(self, path: Path) -> None:
        """Take a checkpoint out of sight; it is removed later."""
        path.rename(self.folder / f".{path.name}.{os.getpid()}.old")

    def _point_to(self, target: Path) -> None:
        try:
            write_text(self.folder / _LATEST, f"{target.name}\n")
        except OSError as error:
            warnings.warn(
                f"{self.folder / _LATEST}, which names the newest checkpoint, cannot be written "
                f"({error}). The checkpoint is there, and a run that resumes finds it.",
                stacklevel=2,
            )

    def _now(self) -> float:
        """Return seconds since 1970 as the run counts them.

        It goes on from its newest checkpoint, so a clock that was set back or forward in between
        changes nothing.
        """
        if self._opened_at is None:
            written = [self._manifest(step).get("time", 0.0) for step in self.steps()]
            self._opened_at = max(written, default=time.time())
        return self._opened_at + self._clock() - self._opened

    def _rotate(self, saved: int) -> None:
        steps = self.steps()
        # Damaged ones may lie ahead of what was just saved.
        kept = {saved, *steps[-self._keep :], *self._milestones(steps)}
        for step in sorted(kept):
            kept.update(self._manifest(step).get("needs", ()))
        for step in set(steps) - kept:
            # One too many does no harm, and the new one is there.
            with suppress(OSError):
                for path in self._versions(folder_name(step)):
                    self._retire(path)
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
        for path in self._versions(folder_name(step)):
            with suppress(OSError, ValueError):
                return read_manifest(path, files=False)
        return {}

    def _sweep(self, *patterns: str) -> None:
        for pattern in patterns:
            for path in self.folder.glob(pattern):
                with suppress(OSError):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _read_along(checkpoint: Checkpoint) -> None:
    """Read what the writing worker reads: sums over the workers need all of them to take part."""
    for section in checkpoint.sections.values():
        for _ in section:
            pass
