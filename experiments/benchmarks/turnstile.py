"""Long trainings that take turns: one window of each is one epoch of its own `fit`.

A training that is stopped and started for every window would pay for its start each time. Here
each runs in a thread of its own, and a callback holds it at every epoch's begin.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any


def epochs_for(rounds: int) -> int:
    """Return the epochs of a training that is measured in `rounds` windows.

    One more comes before them, to warm up, and one after, so that the last window too ends where
    an epoch begins, and not with all that a `fit` does at its end.
    """
    return rounds + 2


class Turnstile:
    """Lets a training through one epoch at a time.

    Args:
        base: The class that the peer's callbacks derive from (Keras 3 and tf_keras differ).
        fit: Trains with the callbacks it is given for so many epochs.
        rounds: Windows that are measured, after one to warm up.
    """

    def __init__(
        self, base: type, fit: Callable[[Sequence[Any], int], object], rounds: int
    ) -> None:
        self._turn, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._begun = 0.0
        self._seconds = 0.0
        self._error: BaseException | None = None
        turn: type[Any] = type("_Turn", (base,), {"on_epoch_begin": self._pass})
        callback = turn()
        self._train: Callable[[], object] = lambda: fit([callback], epochs_for(rounds))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def window(self) -> float:
        """Run one epoch, with all that follows before the next begins; return its seconds."""
        if self._thread.ident is None:
            self._thread.start()
            self._done.acquire()  # at the begin of the first epoch: all is built
        self._check()
        self._turn.release()
        self._done.acquire()
        self._check()
        return self._seconds

    def _run(self) -> None:
        try:
            self._train()
        except BaseException as error:
            self._error = error
        self._end_window()

    def _pass(self, *_: Any) -> None:
        self._end_window()
        self._turn.acquire()
        self._begun = time.perf_counter()

    def _end_window(self) -> None:
        self._seconds = time.perf_counter() - self._begun
        self._done.release()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
