"""The local record of a run: one JSON line for each thing that happened, in order.

A line is an object with `type`, `time` (milliseconds since 1970), its checksum `crc` and, by type:

    start     id, resume, where the run is tracked (uri, experiment, run_name), and, for
              a job of a sweep, parent: the sweep's journal, relative to this one's folder
    params    params: value by name
    tags      tags: value by name
    metrics   step, metrics: value by name; NaN and infinities as "NaN", "Infinity", "-Infinity"
    artifact  path (relative to the journal's folder if inside it), folder
    finish    status
"""

import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pruneplug.tracking.appending import AppendedFile
from pruneplug.tracking.base import Param, RunStatus
from pruneplug.tracking.journal_lines import (
    Entry,
    damage,
    encode,
    encode_value,
    entries,
    whole_size,
)
from pruneplug.tracking.locations import redact

_PENDING_LIMIT = 64 * 2**20
_logger = logging.getLogger(__name__)


class Journal:
    """Appends the entries of a run to a file, one write a line.

    What was logged is in the file when the call returns, so killing the process loses
    nothing. While the disk is full, lines wait in memory (64 MiB at most) for the next call.

    Args:
        path: the file; its folder is made.
        resume: continue the run that the file holds, if it holds one. Points at steps which that
            run has measured already are then not recorded again, metric by metric: a resumed
            training repeats the steps after its checkpoint.
        clock: seconds since 1970.
        parent: the journal of the run that this one is a part of, e.g. of its sweep.

    Raises:
        OSError: if the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        resume: bool = False,
        clock: Callable[[], float] = time.time,
        parent: Path | None = None,
    ) -> None:
        self.path = Path(path).absolute()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        # Relative, so that a sweep's folder can be moved as a whole.
        own = self.path.parent
        self._nesting = {} if parent is None else {"parent": os.path.relpath(parent, own)}
        self._pending = bytearray()
        self._id, self._measured = _last_run(self.path) if resume else (None, {})
        self._stuck = False
        _cut_half_line(self.path)
        self._file = AppendedFile(self.path)

    def start(
        self,
        params: Mapping[str, Param],
        tags: Mapping[str, str],
        origin: Mapping[str, str | None] | None = None,
    ) -> None:
        """Begin a run, or continue the one in the file; `origin` says where it is tracked."""
        resume, self._id = self._id is not None, self._id or uuid.uuid4().hex
        about = {**self._nesting, **(origin or {})}
        # Twice, because all others hang on this line: no damage to it may take them with it.
        self._append("start", copies=2, id=self._id, resume=resume, **about)
        self._append("params", params={key: _clean(value) for key, value in params.items()})
        self._append("tags", tags={key: _clean(value) for key, value in tags.items()})
        # Nobody may hear of a run that a power cut makes forgotten here.
        self.flush()

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Record measured values."""
        new = {
            key: encode_value(float(value))
            for key, value in metrics.items()
            if step > self._measured.get(key, -1)
        }
        if new:
            self._append("metrics", step=int(step), metrics=new)

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Record that a file or folder belongs to the run."""
        path = Path(path).absolute()
        inside = path.is_relative_to(self.path.parent)
        name = path.relative_to(self.path.parent) if inside else path
        self._append("artifact", path=name.as_posix(), folder=folder)

    def flush(self) -> None:
        """Wait until what was recorded is on the disk, where no power cut reaches it."""
        self._write_pending()
        try:
            self._file.flush()
        except OSError as problem:
            _logger.warning("%s may not survive a power cut (%s).", self.path, problem)

    def finish(self, status: RunStatus) -> None:
        """Record how the run ended, and say what of it is lost, if anything is."""
        self._append("finish", status=status)
        self._id, self._measured = None, {}
        self.flush()
        self._say_what_is_lost()

    def describe(self) -> dict[str, str]:
        """Return {}: a journal has no address."""
        return {}

    @staticmethod
    def read(path: Path) -> Iterator[Entry]:
        """Read the entries of a file in order; damaged lines are passed over."""
        return (entry for _, entry in entries(path))

    def _append(self, kind: str, *, copies: int = 1, **fields: Any) -> None:
        entry = {"type": kind, "time": round(self._clock() * 1000), **fields}
        line = copies * encode(entry)
        if len(self._pending) + len(line) > _PENDING_LIMIT:
            _logger.warning("Lost: %s of step %s; no room for it.", kind, fields.get("step"))
            return
        self._pending += line
        self._write_pending()

    def _write_pending(self) -> None:
        try:
            self._file.append(self._pending)
        except OSError as problem:
            if not self._stuck:
                _logger.warning("%s cannot be written (%s); trying again.", self.path, problem)
        self._stuck = bool(self._pending)

    def _say_what_is_lost(self) -> None:
        if self._pending:
            count = self._pending.count(b"\n")
            _logger.warning("Lost: the last %d lines of %s, not written.", count, self.path)
        with suppress(OSError):
            damaged = damage(self.path)
            if damaged:
                _logger.warning("%s: %s.", self.path, damaged)


def last_run(path: Path) -> list[Entry]:
    """Give the entries of the last run in a journal, its resumed parts included."""
    run: list[Entry] = []
    for entry in Journal.read(path):
        if entry["type"] == "start" and not entry["resume"]:
            run = []
        run.append(entry)
    return run


def run_begin(path: Path) -> int:
    """Give the offset behind the start entry of the last run in a journal, 0 for none."""
    starts = [
        end for end, entry in entries(path) if entry["type"] == "start" and not entry["resume"]
    ]
    return starts[-1] if starts else 0


def values(entry: Entry) -> dict[str, float]:
    """Decode the metrics of a `metrics` entry."""
    return {key: float(value) for key, value in entry["metrics"].items()}


def _last_run(path: Path) -> tuple[str | None, dict[str, int]]:
    """Find the id of the last run in a file and the last step of each of its metrics."""
    run = last_run(path) if path.exists() else []
    measured: dict[str, int] = {}
    for entry in run:
        if entry["type"] == "metrics":
            for key in entry["metrics"]:
                measured[key] = max(entry["step"], measured.get(key, -1))
    return next((entry["id"] for entry in run if entry["type"] == "start"), None), measured


def _cut_half_line(path: Path) -> None:
    """Take away a line that a killed process left half-written; a whole one only lacks its end."""
    if not path.exists():
        return
    size = whole_size(path)
    with open(path, "r+b") as file:
        file.truncate(size)
        if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
            file.seek(size)
            file.write(b"\n")


def _clean(value: object) -> Param:
    if isinstance(value, float):
        return encode_value(value)
    return value if isinstance(value, int) else redact(str(value))
