"""What lies below a folder while runs are at work in it."""

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
