"""When a mask update is due, and how sparse it must be.

A schedule is a pure function of the training step: nothing of it is traced, and nothing but the
standard library is needed to ask it. Arithmetic is rounded to float32 after every operation, as
in the reference, so that the number of weights kept is the same to the last one.
"""

from __future__ import annotations

import math
import struct
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, Self

# A step that no training reaches: a schedule asked there answers with the sparsity it ends at.
_FAR = 2**31 - 1


def _float32(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


def _check_sparsity(name: str, value: float) -> None:
    if not 0.0 <= value < 1.0:
        raise ValueError(
            f"{name} must be in [0, 1); got {name}={value!r}. "
            "Sparsity is the fraction of zeros: write 0.8 for 80 %."
        )


def _check_steps(begin_step: int, end_step: int, frequency: int, *, may_be_open: bool) -> None:
    for name, value in [
        ("begin_step", begin_step),
        ("end_step", end_step),
        ("frequency", frequency),
    ]:
        if isinstance(value, bool) or int(value) != value:
            raise ValueError(f"{name} must be a whole number of steps; got {name}={value!r}.")
    if begin_step < 0:
        raise ValueError(f"begin_step must be at least 0; got begin_step={begin_step}.")
    if frequency <= 0:
        raise ValueError(f"frequency must be at least 1 step; got frequency={frequency}.")
    if end_step == -1 and may_be_open:
        return
    if end_step < 0:
        allowed = "-1 (never ends) or at least 0" if may_be_open else "at least 0"
        raise ValueError(f"end_step must be {allowed}; got end_step={end_step}.")
    if end_step < begin_step:
        raise ValueError(
            f"end_step must not come before begin_step; "
            f"got begin_step={begin_step}, end_step={end_step}."
        )


class PruningSchedule(ABC):
    """Decides at which steps masks are updated and to which sparsity.

    Subclass it and define `__call__` and `get_config` for a schedule of your own; define
    `due_steps` too when the steps can be computed, and the engine need not ask at every one.
    """

    @abstractmethod
    def __call__(self, step: int) -> tuple[bool, float]:
        """Answer for one step.

        Args:
            step: The training step, counted from 1.

        Returns:
            Whether an update is due at this step, and the sparsity it prunes to, in [0, 1).
        """

    @abstractmethod
    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Rebuild a schedule from `get_config`'s answer."""
        # Schedules written for TFMOT nest their arguments one level deeper.
        if set(config) == {"class_name", "config"}:
            config = config["config"]
        return cls(**config)

    def sparsity(self, step: int) -> float:
        """Return the sparsity an update at `step` prunes to, in [0, 1)."""
        return float(self(step)[1])

    def due_steps(self, after: int, until: int) -> Iterator[int]:
        """Yield, in ascending order, the steps in (after, until] at which an update is due."""
        return (step for step in range(after + 1, until + 1) if bool(self(step)[0]))

    @property
    def target(self) -> float:
        """The sparsity this schedule ends at, in [0, 1)."""
        return self.sparsity(_FAR)

    def _should_prune_in_step(
        self, step: int, begin_step: int, end_step: int, frequency: int
    ) -> bool:
        # Named as in TFMOT, because schedules written for it call this in their `__call__`.
        return int(step) in _grid(begin_step, end_step, frequency, int(step) - 1, int(step))


def _grid(begin_step: int, end_step: int, frequency: int, after: int, until: int) -> range:
    """Return begin, begin + frequency, ... within (after, until] and up to end (-1: no end)."""
    first = begin_step + max(0, (after - begin_step) // frequency + 1) * frequency
    last = until if end_step < 0 else min(until, end_step)
    return range(first, last + 1, frequency)


class _FieldSchedule(PruningSchedule):
    """A schedule whose arguments are its dataclass fields."""

    def __call__(self, step: int) -> tuple[bool, float]:
        step = int(step)
        return any(self.due_steps(step - 1, step)), self.sparsity(step)

    @abstractmethod
    def sparsity(self, step: int) -> float: ...

    @abstractmethod
    def due_steps(self, after: int, until: int) -> Iterator[int]: ...

    def get_config(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]  # only dataclasses derive from this


@dataclass(frozen=True)
class ConstantSparsity(_FieldSchedule):
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
        _check_steps(self.begin_step, self.end_step, self.frequency, may_be_open=True)
        _check_sparsity("target_sparsity", self.target_sparsity)

    def sparsity(self, step: int) -> float:
        """Return `target_sparsity`, whatever the step."""
        return self.target_sparsity

    def due_steps(self, after: int, until: int) -> Iterator[int]:
        """Yield begin, begin + frequency, ... up to `end_step`."""
        return iter(_grid(self.begin_step, self.end_step, self.frequency, after, until))


class _Ramp(_FieldSchedule):
    """From `initial_sparsity` at `begin_step` to exactly `final_sparsity` at `end_step`."""

    initial_sparsity: float
    final_sparsity: float
    begin_step: int
    end_step: int
    frequency: int

    @abstractmethod
    def _curve(self, progress: float) -> float:
        """Return the sparsity at `progress` in [0, 1), the part of the way that lies behind."""

    def __post_init__(self) -> None:
        _check_steps(self.begin_step, self.end_step, self.frequency, may_be_open=False)
        _check_sparsity("initial_sparsity", self.initial_sparsity)
        _check_sparsity("final_sparsity", self.final_sparsity)

    def sparsity(self, step: int) -> float:
        """Return the curve's value, held at both ends outside [begin_step, end_step]."""
        if step >= self.end_step:
            return self.final_sparsity
        span = _float32(self.end_step - self.begin_step)
        return self._curve(max(0.0, _float32(_float32(step - self.begin_step) / span)))

    def due_steps(self, after: int, until: int) -> Iterator[int]:
        """Yield begin, begin + frequency, ... and always `end_step` itself."""
        grid = _grid(self.begin_step, self.end_step, self.frequency, after, until)
        yield from grid
        end_is_on_grid = (self.end_step - self.begin_step) % self.frequency == 0
        if after < self.end_step <= until and not end_is_on_grid:
            yield self.end_step


@dataclass(frozen=True)
class PolynomialDecay(_Ramp):
    """Prune quickly at first and slowly at the end (the "cubic" schedule with power 3).

    sparsity(step) = final + (initial - final) * (1 - (step - begin) / (end - begin)) ** power

    Args:
        initial_sparsity: Fraction of zeros at `begin_step`, in [0, 1).
        final_sparsity: Fraction of zeros from `end_step` on, in [0, 1).
        begin_step: First step at which masks are updated.
        end_step: Last step at which masks are updated, always to exactly `final_sparsity`.
        power: Exponent of the curve; 1 is a straight line.
        frequency: Steps between two updates.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> schedule = PolynomialDecay(0.0, 0.8, begin_step=0, end_step=100, frequency=50)
        >>> [(step, round(schedule.sparsity(step), 2)) for step in (0, 50, 100, 150)]
        [(0, 0.0), (50, 0.7), (100, 0.8), (150, 0.8)]

    Reference:
        Zhu and Gupta, To prune, or not to prune (2017), https://arxiv.org/abs/1710.01878
    """

    initial_sparsity: float
    final_sparsity: float
    begin_step: int
    end_step: int
    power: float = 3
    frequency: int = 100

    def _curve(self, progress: float) -> float:
        left = _float32(_float32(1.0 - progress) ** self.power)
        way = _float32(self.initial_sparsity - self.final_sparsity)
        return _float32(_float32(way * left) + _float32(self.final_sparsity))


@dataclass(frozen=True)
class LinearSparsity(_Ramp):
    """Prune at an even pace: the polynomial with power 1.

    sparsity(step) = initial + (final - initial) * (step - begin) / (end - begin)

    Args:
        initial_sparsity: Fraction of zeros at `begin_step`, in [0, 1).
        final_sparsity: Fraction of zeros from `end_step` on, in [0, 1).
        begin_step: First step at which masks are updated.
        end_step: Last step at which masks are updated, always to exactly `final_sparsity`.
        frequency: Steps between two updates.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> schedule = LinearSparsity(0.0, 0.8, begin_step=0, end_step=100)
        >>> [round(schedule.sparsity(step), 3) for step in (0, 50, 100, 150)]
        [0.0, 0.4, 0.8, 0.8]

    Reference:
        Gale et al., The State of Sparsity (2019), https://arxiv.org/abs/1902.09574
    """

    initial_sparsity: float
    final_sparsity: float
    begin_step: int
    end_step: int
    frequency: int = 100

    def _curve(self, progress: float) -> float:
        return self.initial_sparsity + (self.final_sparsity - self.initial_sparsity) * progress


@dataclass(frozen=True)
class ExponentialSparsity(_Ramp):
    """Prune the same fraction of the survivors at every update: the density falls geometrically.

    1 - sparsity(step) = (1 - initial) * ((1 - final) / (1 - initial)) ** progress,
    progress = (step - begin) / (end - begin)

    Args:
        initial_sparsity: Fraction of zeros at `begin_step`, in [0, 1).
        final_sparsity: Fraction of zeros from `end_step` on, in [0, 1).
        begin_step: First step at which masks are updated.
        end_step: Last step at which masks are updated, always to exactly `final_sparsity`.
        frequency: Steps between two updates.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> schedule = ExponentialSparsity(0.0, 0.75, begin_step=0, end_step=100)
        >>> [round(schedule.sparsity(step), 3) for step in (0, 50, 100, 150)]
        [0.0, 0.5, 0.75, 0.75]

    Reference:
        Frankle and Carbin, The Lottery Ticket Hypothesis (2019), https://arxiv.org/abs/1803.03635
        (iterative magnitude pruning: a constant fraction each round)
    """

    initial_sparsity: float
    final_sparsity: float
    begin_step: int
    end_step: int
    frequency: int = 100

    def _curve(self, progress: float) -> float:
        initial, final = 1.0 - self.initial_sparsity, 1.0 - self.final_sparsity
        return 1.0 - float(initial * (final / initial) ** progress)


@dataclass(frozen=True)
class CosineSparsity(_Ramp):
    """Prune slowly at both ends and quickly between them.

    sparsity(step) = final + (initial - final) * (1 + cos(pi * progress)) / 2,
    progress = (step - begin) / (end - begin)

    Args:
        initial_sparsity: Fraction of zeros at `begin_step`, in [0, 1).
        final_sparsity: Fraction of zeros from `end_step` on, in [0, 1).
        begin_step: First step at which masks are updated.
        end_step: Last step at which masks are updated, always to exactly `final_sparsity`.
        frequency: Steps between two updates.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> schedule = CosineSparsity(0.0, 0.8, begin_step=0, end_step=100)
        >>> [round(schedule.sparsity(step), 3) for step in (0, 25, 50, 100, 150)]
        [0.0, 0.117, 0.4, 0.8, 0.8]

    Reference:
        Loshchilov and Hutter, SGDR (2017), https://arxiv.org/abs/1608.03983 (the curve), used for
        sparse training by Dettmers and Zettlemoyer (2019), https://arxiv.org/abs/1907.04840
    """

    initial_sparsity: float
    final_sparsity: float
    begin_step: int
    end_step: int
    frequency: int = 100

    def _curve(self, progress: float) -> float:
        left = (1.0 + math.cos(math.pi * progress)) / 2.0
        return self.final_sparsity + (self.initial_sparsity - self.final_sparsity) * left


@dataclass(frozen=True)
class MultiStepSparsity(_FieldSchedule):
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
        object.__setattr__(self, "steps", tuple(self.steps))
        ascending = all(a < b for a, b in pairwise((0, *self.steps)))
        if not self.steps or len(self.steps) != len(self.sparsities) or not ascending:
            raise ValueError(
                "steps must ascend from at least 1, one for each of sparsities; "
                f"got steps={self.steps}, sparsities={self.sparsities}."
            )
        for sparsity in self.sparsities:
            _check_sparsity("sparsities", sparsity)

    def sparsity(self, step: int) -> float:
        """Return the sparsity of the latest update up to `step`, 0 before the first."""
        return (0.0, *self.sparsities)[bisect_right(self.steps, step)]

    def due_steps(self, after: int, until: int) -> Iterator[int]:
        """Yield those of `steps` that lie in (after, until]."""
        return (step for step in self.steps if after < step <= until)


@dataclass(frozen=True)
class OneShotSparsity(_FieldSchedule):
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
        _check_sparsity("target_sparsity", self.target_sparsity)
        if self.step < 1:
            raise ValueError(f"step must be at least 1; got step={self.step}.")

    def sparsity(self, step: int) -> float:
        """Return `target_sparsity` from the update on, 0 before it."""
        return self.target_sparsity if step >= self.step else 0.0

    def due_steps(self, after: int, until: int) -> Iterator[int]:
        """Yield `step` if it lies in (after, until]."""
        return iter((self.step,) if after < self.step <= until else ())


BUILT_IN = (
    ConstantSparsity,
    PolynomialDecay,
    LinearSparsity,
    ExponentialSparsity,
    CosineSparsity,
    MultiStepSparsity,
    OneShotSparsity,
)
