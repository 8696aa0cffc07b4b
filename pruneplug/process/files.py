"""Files that others read while runs are at work: found, and written aside and replaced."""

import csv
import fnmatch
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import Any

# A spreadsheet computes what begins with one of these, and runs what it finds there.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def find_files(folder: Path, pattern: str) -> Iterator[Path]:
    """Yield the files below a folder whose names match.

    A folder that vanishes meanwhile, such as an old checkpoint of a run at work, is passed over;
    `Path.rglob` raises then.

    Args:
        folder: Searched to any depth.
        pattern: Of the name, e.g. `*.jsonl`.
    """
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in fnmatch.filter(names, pattern))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a file to write beside `path`, with its suffix, and put it there when all is written.

    At any moment `path` is what it was or what it is to be, never a part of it: neither a crash
    nor a power cut nor a full disk leaves half a file. A block that raises leaves `path` alone.

    Args:
        path: The file; its folder is made, as another program may have removed it meanwhile.

    Raises:
        OSError: If it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield aside
        to_disk(aside)
        os.replace(aside, path)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise
    to_disk(path.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file in one step."""
    with replacing(path) as aside:
        aside.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: object) -> None:
    """Write a JSON file in one step."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table in one step, with all digits of its numbers.

    A text that a spreadsheet would take for a formula gets a quote before it, which spreadsheets
    understand.

    Args:
        path: The file.
        columns: Its header.
        rows: Value by column; what is missing stays empty.
    """
    text = StringIO(newline="")
    table = csv.DictWriter(text, columns)
    table.writerow({name: _cell(name) for name in columns})
    table.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    write_text(path, text.getvalue())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that maps names to values.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is damaged.
    """
    try:
        content = json.loads(path.read_bytes())
    # A file with brackets nested without end is no less damaged than one with half a line.
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be readable; got {error}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must map names to values; got {str(content)[:80]!r}.")
    return content


def to_disk(path: Path) -> None:
    """Wait until a file, or the list of files in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
