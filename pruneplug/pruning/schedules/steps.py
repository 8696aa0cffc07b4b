"""Schedules that hold a sparsity between the steps at which it changes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pruneplug.pruning.schedules.base import (
    FieldSchedule,
    check_sparsity,
    check_steps,
    grid,
    store_whole,
    whole,
)


@dataclass(frozen=True)
class ConstantSparsity(FieldSchedule):
    """Prune to one sparsity, again and again: sparsity(step) = target_sparsity.

    Args:
        target_sparsity: Fraction of zeros, in [0, 1).
        begin_step: First step at which masks are updated.
        end_step: Last step at which they may be, inclusive; -1 never ends.
        frequency: Steps between two updates.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> schedule = ConstantSparsity(0.5, begin_step=10, frequency=5)
        >>> list(schedule.due_steps(0, 22)), schedule.sparsity(10)
        ([10, 15, 20], 0.5)
    """

    target_sparsity: float
    begin_step: int
    end_step: int = -1
    frequency: int = 100

    def __post_init__(self) -> None:
        store_whole(self, "begin_step", "end_step", "frequency")
        check_steps(self.begin_step, self.end_step, self.frequency, may_be_open=True)
        check_sparsity("target_sparsity", self.target_sparsity)

    def sparsity(self, step: int) -> float:
        """Return `target_sparsity`, whatever the step."""
        return self.target_sparsity

    def due_steps(self, after: int, until: int) -> Iterator[int]:
        """Yield begin, begin + frequency, ... up to `end_step`."""
        return iter(grid(self.begin_step, self.end_step, self.frequency, after, until))


@dataclass(frozen=True)
class MultiStepSparsity(FieldSchedule):
    """Prune at chosen steps to chosen sparsities: sparsity(step) = sparsities[i] from steps[i] on.

    Args:
        sparsities: Fraction of zeros after each update, each in [0, 1).
        steps: The steps of the updates, ascending, each at least 1.

    Raises:
        ValueError: The two differ in length, are empty or out of their range.

    Example:
        >>> schedule = MultiStepSparsity(sparsities=(0.5, 0.75), steps=(10, 20))
        >>> list(schedule.due_steps(0, 100)), [schedule.sparsity(s) for s in (9, 10, 19, 20)]
        ([10, 20], [0.0, 0.5, 0.5, 0.75])

    Reference:
        Han et al., Learning both Weights and Connections (2015),
        https://arxiv.org/abs/1506.02626 (prune, retrain, prune again)
    """

    sparsities: Sequence[float]
    steps: Sequence[int]

    def __post_init__(self) -> None:
        # Lists come from files; equal schedules must be equal whichever they were given as.
        object.__setattr__(self, "sparsities", tuple(self.sparsities))
        object.__setattr__(self, "steps", tuple(whole("steps", step) for step in self.steps))
        ascending = all(a < b for a, b in pairwise((0, *self.steps)))
        if not self.steps or len(self.steps) != len(self.sparsities) or not ascending:
            raise ValueError(
                "steps must ascend from at least 1, one for each of sparsities; "
                f"got steps={self.steps}, sparsities={self.sparsities}."
            )
        for sparsity in self.sparsities:
            check_sparsity("sparsities", sparsity)

    def sparsity(self, step: int) -> float:
        """Return the sparsity of the latest update up to `step`, 0 before the first."""
        return (0.0, *self.sparsities)[bisect_right(self.steps, step)]

    def due_steps(self, after: int, until: int) -> Iterator[int]:
        """Yield those of `steps` that lie in (after, until]."""
        return (step for step in self.steps if after < step <= until)


@dataclass(frozen=True)
class OneShotSparsity(FieldSchedule):
    """Prune once: sparsity(step) = target_sparsity from `step` on.

    Args:
        target_sparsity: Fraction of zeros, in [0, 1).
        step: The step of the only update, at least 1.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> schedule = OneShotSparsity(0.5, step=10)
        >>> list(schedule.due_steps(0, 100)), schedule.sparsity(9), schedule.sparsity(10)
        ([10], 0.0, 0.5)

    Reference:
        Han et al., Learning both Weights and Connections (2015), https://arxiv.org/abs/1506.02626
    """

    target_sparsity: float
    step: int

    def __post_init__(self) -> None:
        check_sparsity("target_sparsity", self.target_sparsity)
        store_whole(self, "step")
        if self.step < 1:
            raise ValueError(f"step must be at least 1; got step={self.step}.")

    def sparsity(self, step: int) -> float:
        """Return `target_sparsity` from the update on, 0 before it."""
        return self.target_sparsity if step >= self.step else 0.0

    def due_steps(self, after: int, until: int) -> Iterator[int]:
        """Yield `step` if it lies in (after, until]."""
        return iter((self.step,) if after < self.step <= until else ())
