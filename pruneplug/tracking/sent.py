"""How much of a journal a store has, remembered beside the journal."""

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pruneplug.process.files import write_json

_TAIL = 256


@dataclass(frozen=True)
class Sent:
    """A store has the first `offset` bytes of a journal.

    Args:
        store: Its address.
        offset: In bytes.
        run_id: The store's id of the run that the entries behind belong to.
        tail: Checksum of what stands just before `offset`: a journal in which that differs is
            another one, or was damaged or cut since.
        refused: Why the store would not take something, by its name.
    """

    store: str
    offset: int = 0
    run_id: str | None = None
    tail: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path, store: str, size: int) -> "Sent":
        """Read a state file.

        One that is missing, broken, of another store, or of a journal longer than `size` bytes
        means that nothing was sent.
        """
        try:
            sent = cls(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError, RecursionError):
            return cls(store)
        known = sent._is_sound() and sent.store == store and sent.offset <= size
        return sent if known else cls(store)

    def save(self, path: Path) -> None:
        """Write a state file in one step."""
        write_json(path, asdict(self))

    def fits(self, journal: Path) -> bool:
        """Tell whether the journal still holds what was sent of it."""
        return self.tail == tail(journal, self.offset)

    def _is_sound(self) -> bool:
        kinds: dict[str, Any] = {"store": str, "offset": int, "tail": int, "refused": dict}
        sound = all(type(getattr(self, name)) is kind for name, kind in kinds.items())
        if not sound or self.offset < 0 or not isinstance(self.run_id, str | None):
            return False
        return all(isinstance(reason, str) for reason in self.refused.values())


def tail(journal: Path, offset: int) -> int:
    """Return a checksum of what stands just before an offset of a journal."""
    with open(journal, "rb") as file:
        begin = max(offset - _TAIL, 0)
        return zlib.crc32(os.pread(file.fileno(), offset - begin, begin))
