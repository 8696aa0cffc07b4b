"""The manifest of a checkpoint: what is in the folder, and proof that it is all there."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pruneplug.training.records import hash_file

FORMAT = 1
MANIFEST = "manifest.json"
_SEAL = "manifest.json.sha256"


class DamagedCheckpointError(OSError):
    """A checkpoint that is incomplete or does not match its checksums."""


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest and the checksum that seals it."""
    data = json.dumps(manifest, indent=1).encode()
    (folder / MANIFEST).write_bytes(data)
    (folder / _SEAL).write_bytes(_seal(data))


def read_manifest(folder: Path, files: bool = True) -> dict[str, Any]:
    """Return a checkpoint's manifest after checking its seal and every file it lists.

    Args:
        folder: The checkpoint.
        files: Whether to check the files too.

    Raises:
        DamagedCheckpointError: If anything is missing or differs by a single bit.
        ValueError: If the checkpoint was written by a newer version in another format.
    """
    try:
        data = (folder / MANIFEST).read_bytes()
        sealed = (folder / _SEAL).read_bytes() == _seal(data)
    except OSError as error:
        raise DamagedCheckpointError(f"{folder}: {error.strerror}: {error.filename}") from error
    if not sealed:
        raise DamagedCheckpointError(f"{folder}: {MANIFEST} does not match its checksum")
    manifest = json.loads(data)
    if manifest["format"] != FORMAT:
        raise ValueError(
            f"A checkpoint's format must be {FORMAT}; got format={manifest['format']} in {folder}. "
            "Use the version of pruneplug that wrote it."
        )
    for name, entry in manifest["files"].items() if files else ():
        _check_file(folder, name, entry)
    return dict(manifest)


def _check_file(folder: Path, name: str, entry: Mapping[str, Any]) -> None:
    # A manifest is data from outside: its names must not lead out of the folder.
    path = folder / name
    if Path(name).name != name or name in (".", "..") or path.is_symlink():
        raise DamagedCheckpointError(f"{folder}: {name!r} is not a file of this folder")
    try:
        size, digest = hash_file(path)
    except OSError as error:
        raise DamagedCheckpointError(f"{folder}: {name}: {error.strerror}") from error
    if size != entry["size"]:
        raise DamagedCheckpointError(
            f"{folder}: {name} has {size} bytes instead of {entry['size']}"
        )
    if digest != entry["sha256"]:
        raise DamagedCheckpointError(f"{folder}: {name} does not match its checksum")


def _seal(data: bytes) -> bytes:
    return f"{hashlib.sha256(data).hexdigest()}  {MANIFEST}\n".encode()
