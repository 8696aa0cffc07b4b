"""Brings a journal to a store batch by batch, and knows how far it got."""

import fcntl
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pruneplug.tracking.journal import values
from pruneplug.tracking.journal_lines import Entry, entries
from pruneplug.tracking.locations import public, redact_all
from pruneplug.tracking.sent import Sent, tail
from pruneplug.tracking.store import Gone, Point, Refused, Store

POINTS_PER_BATCH = 1000
# MLflow's name for it: the run is shown below the other.
PARENT_TAG = "mlflow.parentRunId"
_Named = TypeVar("_Named", bound=tuple[Any, ...])
_logger = logging.getLogger(__name__)


class Delivery:
    """Sends the entries of a journal to a store, in order, each at least once.

    The journal is the queue: nothing waits in memory, and what one delivery leaves, the next
    one finds. A batch whose outcome is unknown is sent again; the store drops repetitions.
    Several deliveries of one journal, in any processes, take turns: the jobs of a sweep all see
    to it that the sweep's own run is there.

    Args:
        journal: the journal's path. The position is kept beside it, in `<name>.sent`.
        address: of the store; only its form without secrets is stored or shown.
        connect: makes the store, when the first batch is sent.
    """

    def __init__(self, journal: Path, address: str, connect: Callable[[], Store]) -> None:
        self.journal = journal
        self.address = public(address)
        self._state = journal.with_name(journal.name + ".sent")
        self.sent = self._load()
        self._connect = connect
        self._store: Store | None = None
        self._begun_anew = False

    @property
    def connected(self) -> bool:
        """Whether the store was made."""
        return self._store is not None

    @property
    def refusals(self) -> dict[str, str]:
        """Why the store would not take something, by its name."""
        return dict(self.sent.refused)

    def send_all(self) -> None:
        """Send what there is; raises what the store raises."""
        while self.send_next():
            pass

    def send_next(self) -> bool:
        """Send one batch; False when nothing is left to send."""
        if not next_batch(self.journal, self.sent.offset)[0]:
            return False
        store = self._connected()
        with self._turn():
            batch, end = next_batch(self.journal, self.sent.offset)
            if batch:
                self._send(store, batch, end)
        return True

    def recheck(self) -> None:
        """Let all be sent again if something was refused or the store has lost the run.

        The store drops what it has already.
        """
        run_id = self.sent.run_id
        known = run_id is not None and self._connected().has_run(run_id)
        if self.sent.refused or not known:
            self._note(Sent(self.address, run_id=run_id if known else None))

    def missing(self) -> str:
        """Count what was not sent yet, "" for nothing."""
        try:
            left = [entry for _, entry in entries(self.journal, self.sent.offset)]
        except OSError as problem:
            return f"what the journal holds, which cannot be read ({problem.strerror})"
        counts = [len(entry["metrics"]) for entry in left if entry["type"] == "metrics"]
        points, measured = sum(counts), len(counts)
        return f"{points} points and {len(left) - measured} other entries" if left else ""

    def _load(self) -> Sent:
        try:
            sent = Sent.load(self._state, self.address, self.journal.stat().st_size)
            return sent if sent.fits(self.journal) else Sent(self.address, run_id=sent.run_id)
        except OSError:
            return Sent(self.address)

    def _connected(self) -> Store:
        self._store = self._store or self._connect()
        return self._store

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for other deliveries of the journal, and go on from where they got."""
        # Network file systems lock only what is open for writing; others may be read-only.
        mode = "r+b" if os.access(self.journal, os.W_OK) else "rb"
        with open(self.journal, mode) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            there = self._load()
            if there.offset > self.sent.offset:
                self.sent = there
            # What a store knows must outlive a power cut here too, else a resumed run doubles it.
            with suppress(OSError):
                os.fsync(file.fileno())
            yield

    def _send(self, store: Store, batch: Sequence[Entry], end: int) -> None:
        try:
            self._deliver(store, batch)
        except Refused as problem:
            self._refuse(batch[0]["type"], problem)
        except Gone:
            if self._begun_anew:
                raise
            # The journal has it all, so the store gets it all once more.
            self._begun_anew = True
            self._note(Sent(self.address))
            return
        self._note(replace(self.sent, offset=end, tail=tail(self.journal, end)))

    def _note(self, sent: Sent) -> None:
        self.sent = sent
        try:
            sent.save(self._state)
        except OSError as problem:
            # It is sent again then, and dropped by the store.
            _logger.debug("%s cannot be written (%s).", self._state, problem)

    def _deliver(self, store: Store, batch: Sequence[Entry]) -> None:
        first = batch[0]
        kind, run_id = first["type"], self.sent.run_id
        if kind == "start":
            self._open_run(store, first)
        elif run_id is None:
            raise Refused("no run was started")
        elif kind == "metrics":
            points = _points(batch)
            for begin in range(0, len(points), POINTS_PER_BATCH):
                part = points[begin : begin + POINTS_PER_BATCH]
                self._send_each(lambda part: store.send_points(run_id, part), part)
        elif kind == "params":
            self._send_each(lambda part: store.send_params(run_id, dict(part)), _texts(first[kind]))
        elif kind == "tags":
            self._send_each(lambda part: store.send_tags(run_id, dict(part)), _texts(first[kind]))
        elif kind == "artifact":
            self._send_artifact(store, run_id, first)
        elif kind == "finish":
            store.close_run(run_id, first["status"], first["time"])

    def _open_run(self, store: Store, start: Entry) -> None:
        known = self.sent.run_id if start["resume"] else None
        run_id = store.open_run(start, known)
        if known is not None and run_id != known:
            raise Gone(known)
        self.sent = replace(self.sent, run_id=run_id)
        if "parent" in start:
            self._nest(store, run_id, self.journal.parent / start["parent"])

    def _nest(self, store: Store, run_id: str, parent: Path) -> None:
        """Put the run below the one of another journal, which is delivered if it was not yet."""
        if not parent.exists():
            return
        delivery = Delivery(parent, self.address, lambda: store)
        try:
            delivery.send_all()
        except Exception:
            # What the parent lacks else is its own affair.
            if delivery.sent.run_id is None:
                raise
        if delivery.sent.run_id is not None:
            store.send_tags(run_id, {PARENT_TAG: delivery.sent.run_id})

    def _send_artifact(self, store: Store, run_id: str, entry: Entry) -> None:
        path = self.journal.parent / entry["path"]
        try:
            store.send_artifact(run_id, path, entry["folder"])
        except Refused as problem:
            self._refuse(path.name, problem)

    def _send_each(self, send: Callable[[Sequence[_Named]], None], named: Sequence[_Named]) -> None:
        """Send things together, but keep a bad one from taking the others with it.

        Args:
            send: Sends some.
            named: Tuples that begin with a name.
        """
        try:
            if named:
                send(named)
        except Refused as problem:
            if len(named) == 1:
                self._refuse(named[0][0], problem)
                return
            middle = len(named) // 2
            self._send_each(send, named[:middle])
            self._send_each(send, named[middle:])

    def _refuse(self, name: str, problem: Refused) -> None:
        reasons = {**self.sent.refused, name: redact_all(str(problem))[:300]}
        self.sent = replace(self.sent, refused=reasons)


def next_batch(journal: Path, offset: int) -> tuple[list[Entry], int]:
    """Read the entries that can be sent together.

    Returns:
        Consecutive metrics entries of at most 1000 points (or one that has more), or one entry
        of another type; and the offset behind them.
    """
    batch: list[Entry] = []
    points = 0
    for end, entry in entries(journal, offset):
        measured = len(entry["metrics"]) if entry["type"] == "metrics" else 0
        if batch and (not measured or points + measured > POINTS_PER_BATCH):
            break
        batch.append(entry)
        points, offset = points + measured, end
        if not measured:
            break
    return batch, offset


def _points(batch: Sequence[Entry]) -> list[Point]:
    return [
        Point(key, value, entry["time"], entry["step"])
        for entry in batch
        for key, value in values(entry).items()
    ]


def _texts(content: dict[str, object]) -> list[tuple[str, str]]:
    return [(key, str(value)) for key, value in content.items()]
