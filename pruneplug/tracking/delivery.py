"""Brings a journal to a store batch by batch, and knows how far it got."""

import fcntl
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pruneplug.files import write_json
from pruneplug.tracking.journal import Entry, entries, values
from pruneplug.tracking.locations import redact
from pruneplug.tracking.store import Point, Refused, Store

POINTS_PER_BATCH = 1000
# MLflow's name for it: the run is shown below the other.
PARENT_TAG = "mlflow.parentRunId"


@dataclass(frozen=True)
class Sent:
    """How much of a journal a store has: its first `offset` bytes.

    The entries behind them belong to the run `run_id`, which got its points at or below
    `floors` (last step by metric) from another journal.
    """

    store: str
    offset: int = 0
    run_id: str | None = None
    floors: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path, store: str, size: int) -> "Sent":
        """Read a state file.

        One that is missing, broken, of another store, or of a journal longer than `size` bytes
        means that nothing was sent.
        """
        try:
            sent = cls(**json.loads(path.read_bytes()))
            return sent if sent.store == store and 0 <= sent.offset <= size else cls(store)
        except (OSError, ValueError, TypeError):
            return cls(store)

    def save(self, path: Path) -> None:
        """Write a state file in one step, so that no crash leaves half of it."""
        write_json(path, asdict(self))


class Delivery:
    """Sends the entries of a journal to a store, in order, each at least once.

    The journal is the queue: nothing waits in memory, and what one delivery leaves, the next
    one finds. A batch whose outcome is unknown is sent again; the store drops repetitions.
    Several deliveries of one journal, in any processes, take turns: the jobs of a sweep all see
    to it that the sweep's own run is there.

    Args:
        journal: the journal's path. The position is kept beside it, in `<name>.sent`.
        address: of the store; only its redacted form is stored or shown.
        connect: makes the store, when the first batch is sent.
    """

    def __init__(self, journal: Path, address: str, connect: Callable[[], Store]) -> None:
        self.journal = journal
        self.address = redact(address)
        self.refusals: dict[str, str] = {}
        self._state = journal.with_name(journal.name + ".sent")
        self.sent = Sent.load(self._state, self.address, journal.stat().st_size)
        self._connect = connect
        self._store: Store | None = None

    @property
    def connected(self) -> bool:
        """Whether the store was made."""
        return self._store is not None

    def send_all(self) -> None:
        """Send what there is; raises what the store raises."""
        while self.send_next():
            pass

    def send_next(self) -> bool:
        """Send one batch; False when nothing is left to send."""
        if not next_batch(self.journal, self.sent.offset)[0]:
            return False
        self._store = self._store or self._connect()
        with self._turn():
            batch, end = next_batch(self.journal, self.sent.offset)
            if batch:
                self._send(self._store, batch, end)
        return True

    def missing(self) -> str:
        """Count what was not sent yet, "" for nothing."""
        left = [entry for _, entry in entries(self.journal, self.sent.offset)]
        counts = [len(entry["metrics"]) for entry in left if entry["type"] == "metrics"]
        points, measured = sum(counts), len(counts)
        return f"{points} points and {len(left) - measured} other entries" if left else ""

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for other deliveries of the journal, and go on from where they got."""
        with open(self.journal, "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            there = Sent.load(self._state, self.address, file.tell())
            if there.offset > self.sent.offset:
                self.sent = there
            yield

    def _send(self, store: Store, batch: Sequence[Entry], end: int) -> None:
        try:
            self._deliver(store, batch)
        except Refused as problem:
            self._note_refusal(batch[0]["type"], problem)
        self.sent = replace(self.sent, offset=end)
        self.sent.save(self._state)

    def _deliver(self, store: Store, batch: Sequence[Entry]) -> None:
        first = batch[0]
        kind, run_id = first["type"], self.sent.run_id
        if kind == "start":
            self._open_run(store, first)
        elif run_id is None:
            raise Refused("no run was started")
        elif kind == "metrics":
            self._send_points(store, run_id, self._points(batch))
        elif kind == "params":
            store.send_params(run_id, {key: str(value) for key, value in first["params"].items()})
        elif kind == "tags":
            store.send_tags(run_id, {key: str(value) for key, value in first["tags"].items()})
        elif kind == "artifact":
            store.send_artifact(run_id, self.journal.parent / first["path"], first["folder"])
        elif kind == "finish":
            store.close_run(run_id, first["status"], first["time"])

    def _open_run(self, store: Store, start: Entry) -> None:
        given = start.get("run_id")
        known = given or (self.sent.run_id if start["resume"] else None)
        run_id = store.open_run(start, known)
        if run_id != self.sent.run_id:
            floors = store.last_steps(run_id) if run_id == given else {}
            self.sent = replace(self.sent, run_id=run_id, floors=floors)
        if "parent" in start:
            self._nest(store, run_id, self.journal.parent / start["parent"])

    def _nest(self, store: Store, run_id: str, parent: Path) -> None:
        """Put the run below the one of another journal, which is delivered if it was not yet."""
        if not parent.exists():
            return
        delivery = Delivery(parent, self.address, lambda: store)
        delivery.send_all()
        if delivery.sent.run_id is not None:
            store.send_tags(run_id, {PARENT_TAG: delivery.sent.run_id})

    def _points(self, batch: Sequence[Entry]) -> list[Point]:
        return [
            Point(key, value, entry["time"], entry["step"])
            for entry in batch
            for key, value in values(entry).items()
            if entry["step"] > self.sent.floors.get(key, -1)
        ]

    def _send_points(self, store: Store, run_id: str, points: Sequence[Point]) -> None:
        for begin in range(0, len(points), POINTS_PER_BATCH):
            part = points[begin : begin + POINTS_PER_BATCH]
            try:
                store.send_points(run_id, part)
            except Refused as problem:
                self._send_halves(store, run_id, part, problem)

    def _send_halves(
        self, store: Store, run_id: str, points: Sequence[Point], problem: Refused
    ) -> None:
        """Keep one bad point from taking the others of its batch with it."""
        if len(points) == 1:
            self._note_refusal(points[0].key, problem)
            return
        middle = len(points) // 2
        self._send_points(store, run_id, points[:middle])
        self._send_points(store, run_id, points[middle:])

    def _note_refusal(self, name: str, problem: Refused) -> None:
        self.refusals[name] = redact(str(problem))[:300]


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
