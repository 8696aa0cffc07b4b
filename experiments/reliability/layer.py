"""A layer between a process and its files: it names each change of them, and fails at one.

The changes are the calls that this process's Python code makes: writes, syncs, renames, deletes,
new files and folders. What SQLite or HDF5 do below Python is theirs.
"""

import builtins
import errno
import io
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import RLock
from typing import Any

KINDS = ("kill", "cut", "ENOSPC", "EIO", "EROFS")
_WRITING = os.O_CREAT | os.O_WRONLY | os.O_RDWR | os.O_TRUNC


class Layer:
    """Counts the changes below a folder, and lets one of them fail.

    A point is named `<change> <path> <how many of those before> <before or after>`, with process
    ids left out, so that it is the same in every process that does the same.

    Args:
        root: The folder.
        seen: A file that gets the name of each point; None for none.
        point: Where it fails; None for nowhere.
        kind: How: "kill" ends the process; "cut" does too, and takes from the files what was not
            synced, as a power cut does; "ENOSPC" and "EIO" fail this call; "EROFS" fails this and
            every later one.
    """

    def __init__(
        self, root: Path, seen: Path | None = None, point: str | None = None, kind: str = "kill"
    ) -> None:
        self._root = root.resolve()
        self._seen = None if seen is None else os.open(seen, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._point, self._kind = point, kind
        self._counts: Counter[str] = Counter()
        self._read_only = False
        self._synced: dict[Path, bytes] = {}
        self._lock = RLock()
        self._write, self._open = os.write, io.open

    def install(self) -> None:
        """Take the place of the functions of `os` and of `open`, for good."""
        for name in (
            "unlink",
            "remove",
            "rmdir",
            "mkdir",
            "truncate",
            "ftruncate",
            "fsync",
            "write",
        ):
            self._wrap(name)
        for name in ("rename", "replace"):
            self._wrap(name, self._moved)
        self._wrap("open", applies=lambda flags, *_: bool(flags & _WRITING))
        io.open = builtins.open = self._open_file  # type: ignore[assignment]

    def change(
        self,
        kind: str,
        path: Path | None,
        call: Callable[[], Any],
        done: Callable[[], None] = lambda: None,
    ) -> Any:
        """Make a change, unless it is the one that fails; `done` is told when it is made."""
        if path is None:
            return call()
        with self._lock:
            name = f"{kind} {self._name(path)}"
            count = self._counts[name]
            self._counts[name] += 1
            self._at(f"{name} {count} before")
        result = call()
        with self._lock:
            if kind == "fsync":
                self._note(path)
            done()
            self._at(f"{name} {count} after")
        return result

    def path(self, place: Any, folder: int | None = None) -> Path | None:
        """Give the path of what a function of `os` was given; None if it lies elsewhere."""
        if isinstance(place, int):
            place = os.readlink(f"/proc/self/fd/{place}")
        elif folder is not None:
            place = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), os.fsdecode(place))
        path = Path(os.path.abspath(os.fsdecode(place)))
        return path if path.is_relative_to(self._root) else None

    def _wrap(
        self,
        name: str,
        moved: Callable[[Path, Any], None] | None = None,
        applies: Callable[..., bool] = lambda *_: True,
    ) -> None:
        real = getattr(os, name)

        def wrapped(place: Any, *args: Any, **options: Any) -> Any:
            call = lambda: real(place, *args, **options)  # noqa: E731
            if not applies(*args):
                return call()
            path = self.path(place, options.get("dir_fd"))
            if moved is None or path is None:
                return self.change(name, path, call)
            return self.change(name, path, call, lambda: moved(path, args[0]))

        setattr(os, name, wrapped)

    def _open_file(
        self, file: Any, mode: str = "r", buffering: int = -1, *args: Any, **options: Any
    ) -> Any:
        path = None if isinstance(file, int) or not set(mode) & set("wax+") else self.path(file)
        if path is None:
            return self._open(file, mode, buffering, *args, **options)
        plain = mode.replace("b", "").replace("t", "")
        raw = self.change("open", path, lambda: _RawFile(self, path, plain))
        if buffering == 0:
            return raw
        buffer = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return buffer
        return io.TextIOWrapper(buffer, *args, **options)

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._root)).replace(str(os.getpid()), "PID")

    def _at(self, point: str) -> None:
        if self._seen is not None:
            self._write(self._seen, f"{point}\n".encode())
        if self._read_only and point.endswith("before") and not point.startswith("fsync"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        if point != self._point:
            return
        if self._kind == "cut":
            self._forget()
        if self._kind in ("kill", "cut"):
            os.kill(os.getpid(), signal.SIGKILL)
        self._read_only = self._kind == "EROFS"
        number = getattr(errno, self._kind)
        raise OSError(number, os.strerror(number))

    def _note(self, path: Path) -> None:
        if path.is_file():
            with self._open(path, "rb") as file:
                self._synced[path] = file.read()

    def _moved(self, source: Path, target: Any) -> None:
        """Let what was synced under one name be synced under the other; a folder with its files."""
        destination = Path(os.path.abspath(target))
        for path in [path for path in self._synced if path.is_relative_to(source)]:
            self._synced[destination / path.relative_to(source)] = self._synced.pop(path)

    def _forget(self) -> None:
        """Take from each file what was not synced: names are on a disk before contents are."""
        for parent, _, names in os.walk(self._root):
            for name in names:
                path = Path(parent, name)
                with self._open(path, "wb") as file:
                    file.write(self._synced.get(path, b""))


class _RawFile(io.FileIO):
    """A file whose writes are changes of a layer."""

    def __init__(self, layer: Layer, path: Path, mode: str) -> None:
        super().__init__(path, mode)
        self._layer, self._path = layer, path

    def write(self, data: Any) -> int:
        return self._layer.change("write", self._path, lambda: super(_RawFile, self).write(data))

    def truncate(self, size: int | None = None) -> int:
        return self._layer.change(
            "truncate", self._path, lambda: super(_RawFile, self).truncate(size)
        )
