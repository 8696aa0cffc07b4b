"""One run at a time in a folder, one process at a time at a file."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".run.lock"
# Long enough for a second look at a file that its last owner is just removing.
_PATIENCE = 0.1

# Folders that whoever called has for its own, and for what it calls.
_lent: ContextVar[frozenset[Path]] = ContextVar("lent", default=frozenset())


class FolderInUseError(OSError):
    """Another process works in the folder."""


@contextmanager
def sole_use(
    folder: Path, lend: bool = False, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Iterator[None]:
    """Hold a folder's lock file while the block runs.

    The operating system frees the lock when its process ends, however that happens: one that a
    dead process has left is taken over.

    Args:
        folder: It is made.
        lend: Whether what the block calls may use the folder too, as the command's Trainer.
        now: Returns the time, which is written into the file beside host and process id.

    Raises:
        FolderInUseError: If another process holds it; names host, process and start time.
        OSError: If the file cannot be written.
    """
    path = folder.absolute() / LOCK
    if path in _lent.get():
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, _PATIENCE, poll_interval=_PATIENCE / 2)
    try:
        lock.acquire()
    except Timeout as error:
        raise FolderInUseError(
            f"A folder must be used by one run at a time; got {str(folder)!r}, where "
            f"{_owner(path)} is at work. Wait for it or stop it, or choose another folder."
        ) from error
    mine = path.stat()
    before = _lent.set(_lent.get() | {path} if lend else _lent.get())
    try:
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "since": now().isoformat()}
        path.write_text(json.dumps(owner))
        yield
    finally:
        _lent.reset(before)
        # What the block has done or raised stands, whatever becomes of a file that locks nothing.
        with suppress(OSError):
            # Before it is let go, and only if it is still this one: no other run's may be hit.
            if os.path.samestat(path.stat(), mine):
                path.unlink()
        with suppress(OSError):
            lock.release()


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """Wait until no other process is at a file, and keep them waiting while the block runs.

    Args:
        path: The file; `.lock` is added to its name, and its folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        yield


def _owner(path: Path) -> str:
    try:
        owner = json.loads(path.read_bytes())
        return f"process {owner['pid']} on {owner['host']}, started at {owner['since']},"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process, which is just starting,"
