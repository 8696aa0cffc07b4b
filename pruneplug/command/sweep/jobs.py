"""What is known of each job of a sweep: a small file in its folder, and its summary."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pruneplug.command.folder import JOB, SUMMARY
from pruneplug.command.summary import read_summary
from pruneplug.command.terminal import TARGET_MISSED
from pruneplug.process.files import find_files, read_json, write_json

_ENDED = {0: "done", TARGET_MISSED: "target missed"}


@dataclass(frozen=True)
class JobRecord:
    """A job of a sweep.

    Args:
        folder: Its folder.
        number: Counted from 0 within the sweep.
        overrides: What sets it apart, as written on the command line.
        config_hash: Of its settings; None if they could not be read.
        code: The exit code that it would have ended with alone; None while it runs, and for ever
            if its process was killed.
    """

    folder: Path
    number: int
    overrides: str
    config_hash: str | None
    code: int | None = None

    @property
    def finished(self) -> bool:
        """Whether it has trained to its end and left a summary."""
        return bool(self.summary())

    @property
    def status(self) -> str:
        """How it stands, in a word or two."""
        if self.code in _ENDED:
            return _ENDED[self.code] if self.finished else "not finished"
        return "not finished" if self.code is None else f"failed ({self.code})"

    def write(self) -> None:
        """Write the record in one step, so that no crash leaves half of it."""
        content = {k: v for k, v in asdict(self).items() if k != "folder"}
        write_json(self.folder / JOB, content)

    def summary(self) -> Mapping[str, Any]:
        """Return what it came to; empty unless it has finished and that can be read."""
        if self.code not in _ENDED or not (self.folder / SUMMARY).exists():
            return {}
        try:
            return read_summary(self.folder)
        except (OSError, ValueError) as error:
            warnings.warn(f"Job {self.number} counts as not finished: {error}", stacklevel=2)
            return {}

    def objectives(self, count: int) -> float | tuple[float, float] | None:
        """Return what a sweeper maximises: the validation accuracy, and as second the sparsity.

        Args:
            count: How many numbers it wants, 1 or 2.

        Returns:
            None if the job has failed, which the Optuna sweeper understands.
        """
        summary = self.summary()
        if not summary:
            return None
        accuracy, sparsity = summary["metrics"]["val_accuracy"], summary["sparsity"]["total"]
        return (accuracy, sparsity) if count == 2 else float(accuracy)


def read_records(sweep: Path) -> list[JobRecord]:
    """Read the records of all jobs in a sweep's folder, in the order of their numbers."""
    found = [_read(path) for path in find_files(sweep, JOB)]
    records = [record for record in found if record is not None]
    return sorted(records, key=lambda record: (record.number, str(record.folder)))


def finished_record(sweep: Path, config_hash: str) -> JobRecord | None:
    """Return a job of the sweep that has finished with these settings, in whichever folder."""
    return next(
        (r for r in read_records(sweep) if r.config_hash == config_hash and r.finished), None
    )


def _read(path: Path) -> JobRecord | None:
    try:
        record = JobRecord(path.parent, **read_json(path))
    except (OSError, ValueError, TypeError):
        return None
    # Not one of ours, or damaged: the job counts as not begun.
    sound = isinstance(record.number, int) and isinstance(record.overrides, str)
    return record if sound and isinstance(record.code, int | None) else None
