"""The lines of a journal: each with a checksum, so that damage is seen and costs its line alone."""

import json
import math
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

Entry: TypeAlias = dict[str, Any]

_CHECKED = re.compile(rb'(\{.*), "crc": (\d+)\}', re.DOTALL)
# Where a line's end is damaged, two stand in one.
_WITHIN = re.compile(rb'\{"type": .*?, "crc": \d+\}', re.DOTALL)
_FIELDS: dict[str, dict[str, type]] = {
    "start": {"id": str, "resume": bool},
    "params": {"params": dict},
    "tags": {"tags": dict},
    "metrics": {"step": int, "metrics": dict},
    "artifact": {"path": str, "folder": str},
    "finish": {"status": str},
}
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")


def encode(entry: Entry) -> bytes:
    """Write an entry as a line that ends with its checksum."""
    body = json.dumps(entry, allow_nan=False)[:-1]
    return f'{body}, "crc": {zlib.crc32(body.encode())}}}\n'.encode()


def encode_value(value: float) -> float | str:
    """Write a number as JSON can hold it: NaN and infinities as text."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def entries(path: Path, offset: int = 0) -> Iterator[tuple[int, Entry]]:
    """Read a journal from a byte offset on.

    Yields:
        The offset behind an entry, and the entry. Damaged lines are passed over, copies of the
        line before too; a last line that is not whole is not read: it may still be being written.
    """
    for end, found in _lines(path, offset):
        for entry in found:
            yield end, entry


def damage(path: Path) -> str:
    """Say which lines of a journal are damaged, "" for none."""
    ends = [end for end, found in _lines(path, 0) if not found]
    if not ends:
        return ""
    lines = "1 line is" if len(ends) == 1 else f"{len(ends)} lines are"
    return f"{lines} damaged, the first before byte {ends[0]}: what stood there is lost"


def whole_size(path: Path) -> int:
    """Return the size of a journal without a last line that was not written to its end."""
    data = path.read_bytes()
    begin = data.rfind(b"\n") + 1
    return len(data) if _within(data[begin:]) else begin


def _lines(path: Path, offset: int) -> Iterator[tuple[int, list[Entry]]]:
    """Yield of each line the offset behind it, and behind its copies, and its entries.

    A damaged line has none.
    """
    before = b""
    found: list[Entry] = []
    with open(path, "rb") as file:
        file.seek(offset)
        for line in file:
            if line != before:
                if before.strip():
                    yield offset, found
                before, found = line, _within(line)
            offset += len(line)
    # What has neither an end nor an entry may still be being written.
    if found or (before.strip() and before.endswith(b"\n")):
        yield offset, found


def _within(line: bytes) -> list[Entry]:
    """Give the entries in a line: one, unless it is damaged."""
    whole = _parse(line.strip())
    parts = [whole] if whole else [_parse(part) for part in _WITHIN.findall(line)]
    return [part for part in parts if part is not None]


def _parse(line: bytes) -> Entry | None:
    checked = _CHECKED.fullmatch(line)
    if checked is not None and zlib.crc32(checked[1]) != int(checked[2]):
        return None
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or not _is_entry(entry):
        return None
    entry.pop("crc", None)
    return entry


def _is_entry(entry: Entry) -> bool:
    """Tell whether an entry has what its type asks for: old lines have no checksum."""
    fields = _FIELDS.get(str(entry.get("type")))
    if fields is None:
        return False
    if any(type(entry.get(name)) is not kind for name, kind in (*fields.items(), ("time", int))):
        return False
    measured = entry["metrics"].values() if "metrics" in fields else ()
    return all(type(value) in (int, float) or value in _NOT_FINITE for value in measured)
