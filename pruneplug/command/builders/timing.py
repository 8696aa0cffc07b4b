"""Schedules from their settings: points of the training become steps."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from pruneplug.command.settings import Settings
from pruneplug.command.settings.pruning import (
    MultiStepSettings,
    OneShotSettings,
    PolynomialSettings,
    RampSettings,
    ScheduleSettings,
    TimedSettings,
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

RAMPS: dict[str, Callable[..., FieldSchedule]] = {
    "linear": LinearSparsity,
    "exponential": ExponentialSparsity,
    "cosine": CosineSparsity,
}

# With no frequency given, so many updates lie between begin and end, ...
AUTOMATIC_UPDATES = 50
# ... but never more steps than this between two of them.
LONGEST_PAUSE = 100


def build_schedule(settings: Settings, planned: int) -> FieldSchedule:
    """Build the schedule, fractions turned into steps.

    Args:
        settings: All settings; `sparsity` is what the schedule ends at.
        planned: Optimizer steps of the whole training.

    Raises:
        ValueError: If it would end before it begins, or change nothing in the planned steps.
    """
    return make_schedule(settings.schedule, final_sparsity(settings), planned)


def make_schedule(timing: ScheduleSettings, final: float, planned: int) -> FieldSchedule:
    """Build a schedule from its own settings, e.g. those of another app.

    Args:
        timing: When masks are updated.
        final: The sparsity it ends at, in [0, 1).
        planned: Optimizer steps of the whole training.

    Raises:
        ValueError: If it would end before it begins, or change nothing in the planned steps.
    """
    schedule = _schedule(timing, final, planned)
    if next(schedule.due_steps(0, planned), None) is None:
        steps = ", ".join(f"schedule.{k}={v}" for k, v in _in_steps(schedule).items())
        raise ValueError(
            f"The schedule must update the masks at least once in the {planned} planned steps; got "
            f"{steps} in steps. Begin earlier, or train for more epochs."
        )
    return schedule


def final_sparsity(settings: Settings) -> float:
    """Return the sparsity that the schedule ends at; m-by-n patterns have one of their own."""
    if settings.block.m_by_n is None:
        return settings.sparsity
    zeros, group = settings.block.m_by_n
    if settings.sparsity > zeros / group:
        warnings.warn(
            f"block.m_by_n=[{zeros},{group}] prunes to {zeros / group:g}, less than the "
            f"sparsity={settings.sparsity:g} that is asked for.",
            stacklevel=2,
        )
    return min(settings.sparsity, zeros / group)


def _schedule(timing: ScheduleSettings, final: float, planned: int) -> FieldSchedule:
    if isinstance(timing, OneShotSettings):
        _tell_first_step("step", timing.step)
        return OneShotSparsity(final, _as_step(timing.step, planned))
    if isinstance(timing, MultiStepSettings):
        _tell_first_step("steps", timing.steps[-1])
        steps = [_as_step(step, planned) for step in timing.steps]
        return MultiStepSparsity([final * share for share in timing.shares], steps)
    if not isinstance(timing, TimedSettings):
        raise TypeError(f"schedule must say when to update; got {type(timing).__name__}.")
    begin, end = _span(timing, planned)
    frequency = _frequency(timing, end - begin, planned)
    if not isinstance(timing, RampSettings):
        return ConstantSparsity(final, begin, end, frequency)
    initial = _initial(timing, final)
    if isinstance(timing, PolynomialSettings):
        return PolynomialDecay(initial, final, begin, end, timing.power, frequency)
    return RAMPS[timing.name](initial, final, begin, end, frequency)


def _tell_first_step(name: str, last: int | float) -> None:
    """Warn where the only update is in step 1, which may have been meant for the end."""
    if isinstance(last, int) and last == 1:
        warnings.warn(
            f"schedule.{name} ends with 1, the first step of the training; its end is 1.0.",
            stacklevel=2,
        )


def _initial(timing: RampSettings, final: float) -> float:
    """Return the sparsity of the first update; the dense baseline of a sweep has none."""
    if final and timing.initial > final:
        raise ValueError(
            "schedule.initial must not be above the sparsity at the end; "
            f"got schedule.initial={timing.initial}, sparsity={final}."
        )
    return min(timing.initial, final)


def _span(timing: TimedSettings, planned: int) -> tuple[int, int]:
    begin = _as_step(timing.begin, planned)
    end = planned if timing.end is None else _as_step(timing.end, planned)
    if begin > end:
        raise ValueError(
            f"schedule.begin must not come after schedule.end; got schedule.begin={timing.begin} "
            f"(step {begin}), schedule.end={timing.end} (step {end})."
        )
    return begin, end


def _in_steps(schedule: FieldSchedule) -> dict[str, object]:
    """Return the points of a schedule by their names in the settings."""
    names = {"begin_step": "begin", "end_step": "end", "frequency": "frequency"}
    config = schedule.get_config()
    return {names.get(k, k): v for k, v in config.items() if k in {*names, "step", "steps"}}


def _as_step(point: int | float, planned: int) -> int:
    return point if isinstance(point, int) else round(point * planned)


def _frequency(timing: TimedSettings, span: int, planned: int) -> int:
    if timing.frequency is not None:
        return max(1, _as_step(timing.frequency, planned))
    return max(1, min(span // AUTOMATIC_UPDATES, LONGEST_PAUSE))
