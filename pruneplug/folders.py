"""Files in folders that other processes read while runs are at work in them."""

import fnmatch
import os
from collections.abc import Iterator
from pathlib import Path


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


def write_text(path: Path, text: str) -> None:
    """Write a file in one step: whoever reads it, now or after a crash, finds all or the old one.

    Args:
        path: The file; its folder exists.
        text: Its content.

    Raises:
        OSError: If it cannot be written.
    """
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            # Else a power cut may leave the new name without its content.
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
