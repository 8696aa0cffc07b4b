"""How many steps a model was trained for, by the counts of its layers, read as seldom as may be."""

from __future__ import annotations

from collections.abc import Sequence

from pruneplug.pruning import variables
from pruneplug.pruning.constraint import StepCounter

# Calls in a row without a look at the count, which would be a tenth of a small model's step and
# stalls an accelerator. What sets the count is noticed at once; this is for a loop whose steps
# begin to count as more or fewer than they did.
_PATIENCE = 10


class StepClock:
    """Tells how many optimizer steps were taken since it was asked last.

    Attributes:
        step: Steps taken, as of the last call.
        rate: Optimizer steps to a step of the loop: several where it applies several gradients.
    """

    def __init__(self) -> None:
        self.step = 0
        self.rate = 1
        self._last_rate: int | None = None
        self._counters: Sequence[StepCounter] = ()
        self._foremost: StepCounter | None = None
        self._is_fresh = True
        self._patience = 0

    def watch(self, counters: Sequence[StepCounter]) -> None:
        """Take these counters from now on."""
        for counter in counters:
            counter.step.was_set = False
        self._counters = counters
        self._foremost = next(iter(counters), None)
        self._is_fresh, self._patience = True, 0

    def begin(self) -> None:
        """Start where the counters stand, with a loop that nothing is known of."""
        self.rate, self._last_rate = 1, None
        self.step = max(self.counted(), 0)

    def counted(self) -> int:
        """Return the steps that the model has counted; -1 before the first training."""
        # A layer that was frozen for a while has missed some.
        return max((counter.read() for counter in self._counters), default=-1)

    def was_set(self) -> bool:
        """Return whether a count was set since the last look."""
        return any(counter.step.was_set for counter in self._counters)

    def may_wait(self) -> bool:
        """Return whether the counts need not be read at this call."""
        self._patience -= 1
        return self._patience >= 0

    def go_on(self, steps: int) -> int:
        """Take it that so many steps were taken, and return how many there are."""
        self.step += steps
        return self.step

    def taken(self, count: int | None) -> int:
        """Return how many steps were taken since the last call.

        Args:
            count: Those that the loop says it has taken; None when only the model knows.
        """
        if self._foremost is None:
            return count or 0
        taken = 0 if self._is_fresh else self._foremost.read() - self.step
        if taken == 0:  # only a step shows which layer counts the most of them
            self._foremost = max(self._counters, key=StepCounter.read)
            taken = self._foremost.read() - self.step
        self._is_fresh = taken <= 0
        if taken > 0 or self.was_set():
            return taken
        # Nothing counted them: the weights do not train, the loop writes them by itself, or its
        # optimizer skips steps whose gradients are not finite.
        for counter in self._counters:
            variables.write(counter.step, self.step + (count or 0))
        return count or 0

    def confirm(self) -> None:
        """Take it that the loop goes on like this."""
        self._last_rate = self.rate
        self._patience = 0 if self._is_fresh else _PATIENCE

    def learn(self, taken: int, said: int) -> None:
        """Learn how many steps are counted for one of the loop, from a call unlike the last."""
        rate, rest = divmod(taken, said)
        if taken > 0 and not rest:
            # The call may have been cut short, or a state loaded in it: what is new shows twice.
            if self._last_rate in (None, rate):
                self.rate = rate
            self._last_rate = rate
