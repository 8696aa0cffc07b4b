"""Arrays on disk: consecutive `.npy` records in one file, hashed while they are written."""

import hashlib
import math
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import ml_dtypes
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

# NumPy has no name for these in its file format: they travel as unsigned integers.
_EXTENDED = {
    name: np.dtype(getattr(ml_dtypes, name))
    for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4")
}

# How many bytes may wait for their hash: arrays that came from a device are held in host memory
# until then.
_UNHASHED = 2**28


class HashingWriter:
    """Passes bytes on to a file, and beside it keeps their SHA-256 and number.

    What is written must not change before `hexdigest` is called.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        # One thread, so in order; both hashing and writing let go of Python's lock.
        self._pool = ThreadPoolExecutor(1)
        self._pending: deque[tuple[int, Future[None]]] = deque()
        self._waiting = 0
        self.size = 0

    def write(self, data: Any) -> int:
        """Write `data`, a bytes-like object, and return its length in bytes."""
        self._pending.append((len(data), self._pool.submit(self._hash.update, data)))
        self._waiting += len(data)
        self._file.write(data)
        self.size += len(data)
        self._wait(_UNHASHED)
        return len(data)

    def hexdigest(self) -> str:
        """Return the SHA-256 of all bytes so far."""
        self._wait(0)
        return self._hash.hexdigest()

    def _wait(self, most: int) -> None:
        """Wait until at most so many bytes have no hash yet."""
        while self._waiting > most:
            size, hashed = self._pending.popleft()
            hashed.result()  # raises what went wrong in it
            self._waiting -= size


def write_arrays(writer: HashingWriter, arrays: Iterable[Array]) -> None:
    """Append each array as one `.npy` record, without a copy of contiguous ones.

    Raises:
        TypeError: If an array holds Python objects.
    """
    for array in arrays:
        plain = _plain(np.asarray(array))
        header = np.lib.format.header_data_from_array_1_0(plain)
        np.lib.format.write_array_header_1_0(writer, header)
        writer.write(plain.reshape(-1).view(np.uint8).data)


def read_arrays(path: Path, dtypes: Iterable[str]) -> Iterator[Array]:
    """Yield the arrays of a file, given the names of their dtypes in order.

    Raises:
        ValueError: If the file holds something else than arrays, or fewer of them.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        for dtype in dtypes:
            _check_header(file, size)
            array = np.lib.format.read_array(file, allow_pickle=False)
            yield array.view(_EXTENDED[dtype]) if dtype in _EXTENDED else array


def _check_header(file: IO[bytes], size: int) -> None:
    """Refuse an array that is larger than what is left of its file: room is made for it first."""
    begin = file.tell()
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"An array must be written in version 1.0; got version={version}.")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    needed, left = math.prod(shape) * dtype.itemsize, size - file.tell()
    if min(shape, default=0) < 0 or (needed > left and not dtype.hasobject):
        raise ValueError(f"An array of shape {shape} needs {needed} bytes; got {left}.")
    file.seek(begin)


def hash_file(path: Path) -> tuple[int, str]:
    """Return a file's size in bytes and its SHA-256."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def _plain(array: Array) -> Array:
    if array.dtype.hasobject:
        raise TypeError(f"An array must hold numbers; got dtype={array.dtype}.")
    if not array.flags.c_contiguous:
        array = array.copy(order="C")
    if array.dtype.name in _EXTENDED:
        return array.view(np.dtype(f"u{array.dtype.itemsize}"))
    return array
