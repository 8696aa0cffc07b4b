"""Schedules that lead from one sparsity to another along a curve."""

from __future__ import annotations

import math
import struct
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from pruneplug.pruning.schedules.base import (
    FieldSchedule,
    check_sparsity,
    check_steps,
    grid,
    store_whole,
)


def _float32(value: float) -> float:
    # Every operation is rounded as in the reference, so that as many weights are kept.
    return float(struct.unpack("f", struct.pack("f", value))[0])


class _Ramp(FieldSchedule):
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
        store_whole(self, "begin_step", "end_step", "frequency")
        check_steps(self.begin_step, self.end_step, self.frequency, may_be_open=False)
        check_sparsity("initial_sparsity", self.initial_sparsity)
        check_sparsity("final_sparsity", self.final_sparsity)

    def sparsity(self, step: int) -> float:
        """Return the curve's value, held at both ends outside [begin_step, end_step]."""
        if step >= self.end_step:
            return self.final_sparsity
        # A ramp may begin where it ends: all steps before are at its beginning then.
        span = _float32(max(self.end_step - self.begin_step, 1))
        return self._curve(max(0.0, _float32(_float32(step - self.begin_step) / span)))

    def due_steps(self, after: int, until: int) -> Iterator[int]:
        """Yield begin, begin + frequency, ... and always `end_step` itself."""
        yield from grid(self.begin_step, self.end_step, self.frequency, after, until)
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
        power: Exponent of the curve, greater than 0; 1 is a straight line.
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.power > 0:
            raise ValueError(f"power must be greater than 0; got power={self.power!r}.")

    def _curve(self, progress: float) -> float:
        left = _float32(_float32(1.0 - progress) ** _float32(self.power))
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
