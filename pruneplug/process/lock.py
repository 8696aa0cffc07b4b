"""One run at a time in a folder."""

import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path


class FolderInUseError(OSError):
    """Another process works in the folder."""


@contextmanager
def sole_use(path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Iterator[None]:
    """Hold a lock file while the block runs.

    The operating system frees the lock when its process ends, however that happens: one that a
    dead process has left is taken over.

    Args:
        path: The lock file; its folder is made.
        now: Returns the time, which is written into the file beside host and process id.

    Raises:
        FolderInUseError: If another process holds it; names host, process and start time.
        OSError: If the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _acquire(path)
    try:
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "since": now().isoformat()}
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(owner).encode())
        yield
    finally:
        # What the block has done or raised stands, whatever becomes of a file that locks nothing.
        with suppress(OSError):
            _remove(descriptor, path)
        with suppress(OSError):
            os.close(descriptor)


def _acquire(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = _describe(os.read(descriptor, 1000))
            os.close(descriptor)
            raise FolderInUseError(
                f"A folder must be used by one run at a time; got {str(path.parent)!r}, where "
                f"{owner} is at work. Wait for it or stop it, or choose another folder."
            ) from error
        if _is_at(descriptor, path):
            return descriptor
        os.close(descriptor)  # its owner has just removed it


def _remove(descriptor: int, path: Path) -> None:
    # Before it is let go, and only if it is still this one: no other run's file may be hit.
    if _is_at(descriptor, path):
        path.unlink()


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _describe(content: bytes) -> str:
    try:
        owner = json.loads(content)
        return f"process {owner['pid']} on {owner['host']}, started at {owner['since']},"
    except (ValueError, KeyError, TypeError):
        return "another process, which is just starting,"
