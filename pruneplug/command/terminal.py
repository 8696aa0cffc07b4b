"""What the command says on standard error, and how its process is set up for it."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

from pruneplug.process.signals import STOP_SIGNALS, exit_code
from pruneplug.tracking.locations import redact

PROGRAM = "pruneplug-train"
# Exit codes of all commands; 0 is success, and 128 + its number stands for a signal.
FAILED, USAGE, TARGET_MISSED = 1, 2, 3
_FULL_ERRORS = "HYDRA_FULL_ERROR"


def complain(message: str, code: int) -> int:
    """Print a message on standard error and return the exit code that goes with it."""
    print(f"{PROGRAM}: {redact(message)}", file=sys.stderr)
    return code


@contextmanager
def process_set_up() -> Iterator[None]:
    """Let errors and signals come to the command, and warnings be one line each."""
    full_errors = os.environ.get(_FULL_ERRORS)
    handlers = {number: signal.signal(number, _stop) for number in STOP_SIGNALS}
    # Hydra prints errors itself unless it is asked for the full ones, which it raises.
    os.environ[_FULL_ERRORS] = "1"
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            os.environ.pop(_FULL_ERRORS)
            if full_errors is not None:
                os.environ[_FULL_ERRORS] = full_errors


def _stop(number: int, frame: FrameType | None) -> None:
    """End the program in good order; the next signal ends it at once."""
    for other in STOP_SIGNALS:
        signal.signal(other, lambda number, frame: os._exit(exit_code(number)))
    raise SystemExit(complain(f"Ended by {signal.Signals(number).name}.", exit_code(number)))


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    complain(f"{category.__name__}: {message}", 0)
