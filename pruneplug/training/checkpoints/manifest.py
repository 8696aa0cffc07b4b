"""The manifest of a checkpoint: what is in the folder, and proof that it is all there."""

import hashlib
import json
import stat
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pruneplug.training.checkpoints.arrays import hash_file

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

    Files that it does not list are warned of: nobody may read them.

    Args:
        folder: The checkpoint.
        files: Whether to check the files too.

    Raises:
        DamagedCheckpointError: If anything is missing or differs by a single bit.
        ValueError: If the checkpoint was written by a newer version in another format.
    """
    with sound(folder):
        data = _regular(folder, MANIFEST).read_bytes()
        if _regular(folder, _SEAL).read_bytes() != _seal(data):
            raise DamagedCheckpointError(f"{folder}: {MANIFEST} does not match its checksum")
        manifest = dict(json.loads(data))
        found = manifest["format"]
    if found != FORMAT:
        raise ValueError(
            f"A checkpoint's format must be {FORMAT}; got format={found} in {folder}. "
            "Use the version of pruneplug that wrote it."
        )
    if files:
        with sound(folder):
            for name, entry in manifest["files"].items():
                _check_file(folder, name, entry)
        _name_strangers(folder, manifest["files"])
    return manifest


@contextmanager
def sound(folder: Path) -> Iterator[None]:
    """Tell of whatever goes wrong in reading a checkpoint that it is damaged.

    Raises:
        DamagedCheckpointError: Instead of what was raised.
    """
    try:
        yield
    except DamagedCheckpointError:
        raise
    except OSError as error:
        name = Path(str(error.filename)).name
        raise DamagedCheckpointError(f"{folder}: {name}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedCheckpointError(f"{folder}: cannot be understood ({error!r})") from error


def _check_file(folder: Path, name: str, entry: Mapping[str, Any]) -> None:
    # A manifest is data from outside: its names must not lead out of the folder.
    if Path(name).name != name or name in (".", ".."):
        raise DamagedCheckpointError(f"{folder}: {name!r} is not a file of this folder")
    path = _regular(folder, name)
    size = path.stat().st_size
    if size != entry["size"]:
        raise DamagedCheckpointError(
            f"{folder}: {name} has {size} bytes instead of {entry['size']}"
        )
    if hash_file(path)[1] != entry["sha256"]:
        raise DamagedCheckpointError(f"{folder}: {name} does not match its checksum")


def _regular(folder: Path, name: str) -> Path:
    """Refuse what is no plain file: a link leads elsewhere, and a pipe keeps its reader waiting."""
    path = folder / name
    if not stat.S_ISREG(path.lstat().st_mode):
        raise DamagedCheckpointError(f"{folder}: {name!r} is not a file of this folder")
    return path


def _name_strangers(folder: Path, files: Mapping[str, Any]) -> None:
    # Network file systems keep removed files under names that begin with a dot.
    there = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    strangers = sorted(there - {MANIFEST, _SEAL, *files})
    if strangers:
        warnings.warn(
            f"{folder} holds {', '.join(strangers)}, which its manifest does not list: not read.",
            stacklevel=2,
        )


def _seal(data: bytes) -> bytes:
    return f"{hashlib.sha256(data).hexdigest()}  {MANIFEST}\n".encode()
