"""How many steps fit between two looks at the outside world."""

import time
from collections.abc import Callable


class Pace:
    """Bounds the number of steps in one compiled call, so that it comes back in time.

    Args:
        seconds: How long a call should take at most.
        clock: Returns the time in seconds.
        agree: Returns the number for all that train together, given one's own.
    """

    def __init__(
        self,
        seconds: float = 0.5,
        clock: Callable[[], float] = time.perf_counter,
        agree: Callable[[int], int] = int,
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._agree = agree
        self._last = clock()
        self.limit = 1

    def begin(self) -> None:
        """Note when a call begins."""
        self._last = self._clock()

    def end(self, steps: int) -> None:
        """Learn from a call that took `steps` steps; the limit grows by doubling at most."""
        elapsed = max(self._clock() - self._last, 1e-9)
        fitting = int(self._seconds * steps / elapsed)
        self.limit = self._agree(max(1, min(fitting, 2 * max(self.limit, steps))))
