"""One checkpoint: a folder with arrays, a manifest and proof that both are whole."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pruneplug.process.files import to_disk
from pruneplug.training.checkpoints.arrays import (
    Array,
    HashingWriter,
    hash_file,
    read_arrays,
    write_arrays,
)
from pruneplug.training.checkpoints.manifest import (
    FORMAT,
    DamagedCheckpointError,
    read_manifest,
    sound,
    write_manifest,
)

FINAL = "final"
_ARRAYS = "arrays.npy"
FINAL_METRICS = "outcome"  # as version 0.1.0 has written it
_VERSION = re.compile(rf"({FINAL}|step-\d{{8}})(\.\d{{1,9}})?", re.ASCII)

Section = Sequence[tuple[str, Array]]
"""Arrays with the paths of the variables they come from, in order."""


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint.

    Args:
        step: Optimizer steps taken.
        facts: Whatever JSON can hold.
        sections: Arrays by section name. May be lazy when written; lists when read.
        needs: Steps of other checkpoints that this one refers to, kept as long as it is.
        path: The folder it was read from.
        extra: The folder with the further files that were written into it; None for none.
    """

    step: int
    facts: Mapping[str, Any]
    sections: Mapping[str, Section]
    needs: Sequence[int] = ()
    path: Path = Path()
    extra: Path | None = None

    @property
    def final_metrics(self) -> dict[str, float]:
        """The metrics of the run that has finished with it; {} without a validation or before."""
        return dict(self.facts[FINAL_METRICS] or {})

    @property
    def is_finished(self) -> bool:
        """Whether the run has finished with it."""
        return self.facts[FINAL_METRICS] is not None


def read_checkpoint(folder: Path) -> Checkpoint:
    """Return the content of a checkpoint's folder after verifying all of it.

    Raises:
        DamagedCheckpointError: If anything is missing or differs by a single bit.
        ValueError: If it was written in another format.
    """
    manifest = read_manifest(folder)
    with sound(folder):
        step, facts, needs = manifest["step"], manifest["facts"], manifest["needs"]
        if not is_version(folder.name) or folder.stem not in (FINAL, folder_name(step)):
            raise DamagedCheckpointError(f"{folder}: holds step {step}")
        sections: dict[str, list[tuple[str, Array]]] = {name: [] for name in manifest["sections"]}
        entries = manifest["arrays"]
        arrays = read_arrays(folder / _ARRAYS, [entry["dtype"] for entry in entries])
        for entry, array in zip(entries, arrays, strict=True):
            sections[entry["section"]].append((entry["path"], array))
        extra = folder if manifest["files"].keys() - {_ARRAYS} else None
    return Checkpoint(step, facts, sections, needs, folder, extra)


def write_checkpoint(
    folder: Path, checkpoint: Checkpoint, extra: Callable[[Path], None], time: float
) -> None:
    """Write a checkpoint into an empty folder and wait until it is on the disk.

    Args:
        folder: Its own folder.
        checkpoint: The content.
        extra: Writes further files into the folder it is given.
        time: Now, in seconds since 1970.
    """
    entries: list[dict[str, Any]] = []
    with (folder / _ARRAYS).open("wb") as file:
        writer = HashingWriter(file)
        for section, arrays in checkpoint.sections.items():
            for path, array in arrays:
                write_arrays(writer, [array])
                entries.append({"section": section, "path": path, "dtype": array.dtype.name})
        # The disk is waited for while the last arrays are hashed.
        file.flush()
        os.fsync(file.fileno())
    extra(folder)
    files = {path.name: hash_file(path) for path in folder.iterdir() if path.name != _ARRAYS}
    files[_ARRAYS] = (writer.size, writer.hexdigest())
    manifest = {
        "format": FORMAT,
        "step": checkpoint.step,
        "time": time,
        "files": {name: {"size": size, "sha256": sha} for name, (size, sha) in files.items()},
        "sections": list(checkpoint.sections),
        "arrays": entries,
        "needs": list(checkpoint.needs),
        "facts": checkpoint.facts,
    }
    write_manifest(folder, manifest)
    for file_path in folder.iterdir():
        to_disk(file_path)
    to_disk(folder)


def is_version(name: str) -> bool:
    """Tell whether a folder may hold a checkpoint: `final`, `step-00000003`, `step-00000003.1`."""
    return _VERSION.fullmatch(name) is not None


def folder_name(step: int) -> str:
    """Return the name of the folder that holds the checkpoint of a step."""
    return f"step-{step:08d}"
