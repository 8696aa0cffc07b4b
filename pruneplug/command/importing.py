"""Imports of TensorFlow, without its messages and without the second that garbage would cost."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Import quickly, and keep what C++ code writes meanwhile inside unless it ends in an error.

    TensorFlow writes its first messages before any of its log levels counts. A user who sets
    TF_CPP_MIN_LOG_LEVEL=0 sees them.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "0":
        with _uncollected():
            yield
    else:
        with _held_back(), _uncollected():
            yield


@contextmanager
def _uncollected() -> Iterator[None]:
    """Let no garbage be looked for among imported objects, neither now nor ever after.

    A fifth of the time of `import tensorflow` goes there, and 0.2 s of each later full collection.
    """
    if "tensorflow" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


@contextmanager
def _held_back() -> Iterator[None]:
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(shown, held.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)
