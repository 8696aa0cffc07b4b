"""Signals that ask for an end: noted when they come, honoured between two steps."""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, NoReturn

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


class StopRequested(BaseException):
    """A signal has asked for an end. No error, so that no `except Exception` takes it."""


class StopSignals:
    """Notes the first signal to stop while it is entered; a second one ends the process at once.

    Handlers can be set on the main thread only; on any other nothing is noted.

    Args:
        end_process: Ends the process with an exit code, without clearing up.
    """

    def __init__(self, end_process: Callable[[int], object] = os._exit) -> None:
        self.received: signal.Signals | None = None
        self._end_process = end_process
        self._previous: dict[signal.Signals, Any] = {}
        self._entered = False

    def __enter__(self) -> "StopSignals":
        """Set the handlers."""
        self._entered = True
        if threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS:
                # A handler that C code has set cannot be put back, so it stays.
                if signal.getsignal(number) is not None:
                    self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Put the handlers back that were there before, once: they may set others themselves."""
        if self._entered:
            self._entered = False
            for number, handler in self._previous.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Raise if a signal has come; called where everything is at rest.

        Raises:
            StopRequested: With the signal's name.
        """
        if self.received is not None:
            raise StopRequested(self.received.name)

    def pass_on(self) -> NoReturn:
        """Leave, and call the handler that was there before, such as a launcher's; then end.

        Raises:
            SystemExit: With 128 plus the signal's number, unless that handler raises first.
        """
        number = self.received
        if number is None:
            raise RuntimeError("A signal must have been received before it is passed on.")
        self.__exit__()
        previous = self._previous.get(number)
        if callable(previous):
            previous(number, None)
        raise SystemExit(exit_code(number))

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            self._end_process(exit_code(number))
        self.received = signal.Signals(number)


def exit_code(number: int) -> int:
    """Return the exit code that stands for a signal, as shells have it.

    Example:
        >>> exit_code(signal.SIGTERM), exit_code(signal.SIGINT)
        (143, 130)
    """
    return 128 + number
