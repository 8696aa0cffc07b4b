"""When masks are updated, and along which curve the sparsity rises.

A point of the training is an int (steps) or a float in [0, 1] (a fraction of the planned steps).
"""

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass

from pruneplug.command.settings.checks import (
    require,
    require_fraction,
    require_point,
    require_positive,
)
from pruneplug.pruning.schedules import (
    ConstantSparsity,
    CosineSparsity,
    ExponentialSparsity,
    FieldSchedule,
    LinearSparsity,
    MultiStepSparsity,
    OneShotSparsity,
    PolynomialDecay,
)

# With no frequency given, so many updates lie between begin and end, ...
AUTOMATIC_UPDATES = 50
# ... but never more steps than this between two of them.
LONGEST_PAUSE = 100


@dataclass
class ScheduleSettings(ABC):
    """Which schedule is used; one subclass for each file of `conf/schedule`."""

    name: str

    def build(self, final: float, planned: int) -> FieldSchedule:
        """Build the schedule, fractions turned into steps.

        Args:
            final: The sparsity it ends at, in [0, 1).
            planned: Optimizer steps of the whole training.

        Raises:
            ValueError: If it would end before it begins, or change nothing in the planned steps.
        """
        schedule = self._build(final, planned)
        if next(schedule.due_steps(0, planned), None) is None:
            steps = ", ".join(f"schedule.{k}={v}" for k, v in _in_steps(schedule).items())
            raise ValueError(
                f"The schedule must update the masks at least once in the {planned} planned steps; "
                f"got {steps} in steps. Begin earlier, or train for more epochs."
            )
        return schedule

    @abstractmethod
    def _build(self, final: float, planned: int) -> FieldSchedule:
        """Build the schedule, whether or not it has an update in the planned steps."""


# Apart from its base class because OmegaConf 2.3 cannot merge into a field whose declared type has
# Union fields; into one of a base type it can.
@dataclass
class TimedSettings(ScheduleSettings):
    """When masks are updated; the sparsity itself is the top-level knob."""

    begin: int | float
    end: int | float | None
    """None: the end of the training."""
    frequency: int | float | None
    """Steps between two updates; None: a fiftieth of the way from begin to end, at most 100."""

    def __post_init__(self) -> None:
        for field, least in (("begin", 0), ("end", 0), ("frequency", 1)):
            require_point(f"schedule.{field}", getattr(self, field), least)
        # 1 and 1.0 are worlds apart, and hardly anybody means the one that these two stand for.
        rule = "be 1.0 for the end of the training, or whole steps from 2 on"
        require(not (self.end == 1 and isinstance(self.end, int)), "schedule.end", rule, self.end)
        rule = "be 1 for an update in every step, or a fraction below 1"
        whole = isinstance(self.frequency, float) and self.frequency == 1
        require(not whole, "schedule.frequency", rule, self.frequency)

    def timing(self, planned: int) -> tuple[int, int, int]:
        """Return begin, end and frequency in steps."""
        begin = _as_step(self.begin, planned)
        end = planned if self.end is None else _as_step(self.end, planned)
        if begin > end:
            raise ValueError(
                "schedule.begin must not come after schedule.end; got "
                f"schedule.begin={self.begin} (step {begin}), schedule.end={self.end} (step {end})."
            )
        if self.frequency is not None:
            return begin, end, max(1, _as_step(self.frequency, planned))
        return begin, end, max(1, min((end - begin) // AUTOMATIC_UPDATES, LONGEST_PAUSE))


@dataclass
class ConstantSettings(TimedSettings):
    """The full sparsity from the first update on."""

    def _build(self, final: float, planned: int) -> FieldSchedule:
        return ConstantSparsity(final, *self.timing(planned))


@dataclass
class RampSettings(TimedSettings):
    """A sparsity that rises along a curve."""

    initial: float
    """Sparsity of the first update, in [0, 1)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_fraction("schedule.initial", self.initial)

    def from_initial(self, final: float) -> float:
        """Return the sparsity of the first update; the dense baseline of a sweep has none."""
        if final and self.initial > final:
            raise ValueError(
                "schedule.initial must not be above the sparsity at the end; "
                f"got schedule.initial={self.initial}, sparsity={final}."
            )
        return min(self.initial, final)


@dataclass
class PolynomialSettings(RampSettings):
    """A sparsity that rises along a polynomial curve."""

    power: float
    """Exponent of the curve; 3 rises fast first."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive("schedule.power", self.power)

    def _build(self, final: float, planned: int) -> FieldSchedule:
        begin, end, frequency = self.timing(planned)
        return PolynomialDecay(self.from_initial(final), final, begin, end, self.power, frequency)


@dataclass
class LinearSettings(RampSettings):
    """A sparsity that rises along a straight line."""

    def _build(self, final: float, planned: int) -> FieldSchedule:
        return LinearSparsity(self.from_initial(final), final, *self.timing(planned))


@dataclass
class ExponentialSettings(RampSettings):
    """A sparsity that rises as the weights that are left decay."""

    def _build(self, final: float, planned: int) -> FieldSchedule:
        return ExponentialSparsity(self.from_initial(final), final, *self.timing(planned))


@dataclass
class CosineSettings(RampSettings):
    """A sparsity that rises slowly at both ends."""

    def _build(self, final: float, planned: int) -> FieldSchedule:
        return CosineSparsity(self.from_initial(final), final, *self.timing(planned))


@dataclass
class OneShotSettings(ScheduleSettings):
    """The full sparsity in a single update."""

    step: int | float
    """The update: steps, or a fraction of the planned ones."""

    def __post_init__(self) -> None:
        require_point("schedule.step", self.step, least=1)

    def _build(self, final: float, planned: int) -> FieldSchedule:
        _tell_first_step("step", self.step)
        return OneShotSparsity(final, _as_step(self.step, planned))


@dataclass
class MultiStepSettings(ScheduleSettings):
    """A sparsity that rises in chosen updates."""

    steps: list[int | float]
    """The updates, ascending: steps, or fractions of the planned ones."""
    shares: list[float]
    """The sparsity after each, as a share of the final one in [0, 1]; the last is 1."""

    def __post_init__(self) -> None:
        for step in self.steps:
            require_point("schedule.steps", step, least=1)
        require(bool(self.steps), "schedule.steps", "name at least one update", self.steps)
        pairs = len(self.shares) == len(self.steps)
        require(pairs, "schedule.shares", f"be as many as steps {self.steps}", self.shares)
        fits = self.shares[-1] == 1 and all(0 <= share <= 1 for share in self.shares)
        require(fits, "schedule.shares", "lie in [0, 1] and end with 1", self.shares)

    def _build(self, final: float, planned: int) -> FieldSchedule:
        _tell_first_step("steps", self.steps[-1])
        steps = [_as_step(step, planned) for step in self.steps]
        return MultiStepSparsity([final * share for share in self.shares], steps)


SCHEDULES = {
    "constant": ConstantSettings,
    "polynomial": PolynomialSettings,
    "linear": LinearSettings,
    "exponential": ExponentialSettings,
    "cosine": CosineSettings,
    "one_shot": OneShotSettings,
    "multi_step": MultiStepSettings,
}


def _tell_first_step(name: str, last: int | float) -> None:
    """Warn where the only update is in step 1, which may have been meant for the end."""
    if isinstance(last, int) and last == 1:
        warnings.warn(
            f"schedule.{name} ends with 1, the first step of the training; its end is 1.0.",
            stacklevel=2,
        )


def _in_steps(schedule: FieldSchedule) -> dict[str, object]:
    """Return the points of a schedule by their names in the settings."""
    names = {"begin_step": "begin", "end_step": "end", "frequency": "frequency"}
    config = schedule.get_config()
    return {names.get(k, k): v for k, v in config.items() if k in {*names, "step", "steps"}}


def _as_step(point: int | float, planned: int) -> int:
    return point if isinstance(point, int) else round(point * planned)
