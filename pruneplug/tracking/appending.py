"""A file that is only added to, and that outlives its own removal."""

import logging
import os
import weakref
from pathlib import Path

from pruneplug.process.files import to_disk, write_bytes

_logger = logging.getLogger(__name__)


class AppendedFile:
    """Adds to a file that it keeps open.

    What the file holds is there as long as it is open, even if somebody removes it together with
    its folder: both are made again then, with all that they held. A file that was moved is
    written to where it lies.

    Args:
        path: Made if it does not exist; its folder must.

    Raises:
        OSError: If it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._said_moved = False
        self._folder_synced = False
        self._open()

    def append(self, data: bytearray) -> None:
        """Write `data` at the end, and take from it what was written.

        Raises:
            OSError: If not all of it could be written.
        """
        if not self._is_in_place():
            self._find()
        while data:
            del data[: os.write(self._descriptor, data)]

    def flush(self) -> None:
        """Wait until all of it is on the disk.

        Raises:
            OSError: If the disk fails.
        """
        os.fsync(self._descriptor)
        if not self._folder_synced:
            to_disk(self._path.parent)
            self._folder_synced = True

    def _open(self) -> None:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._close = weakref.finalize(self, os.close, self._descriptor)

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._path.stat())
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _find(self) -> None:
        """Make a removed file anew; leave a moved one where it is."""
        if os.fstat(self._descriptor).st_nlink:
            if not self._said_moved:
                self._said_moved = True
                _logger.warning("%s was moved; it is written to where it lies.", self._path)
            return
        if not self._path.exists():
            held = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)
            write_bytes(self._path, held)
            _logger.warning("%s was removed; it is written anew, with all it held.", self._path)
        self._close()
        self._folder_synced = False
        self._open()
