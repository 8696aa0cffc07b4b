"""Does a schedule fit the planned training? Asked before the first step."""

import warnings
from collections.abc import Sequence

from pruneplug.schedules import PruningSchedule


def check_schedules(schedules: Sequence[PruningSchedule], steps: int) -> None:
    """Refuse a schedule that can never fire, and warn of one that is only partly used.

    Args:
        schedules: Those of the model's layers.
        steps: Optimizer steps planned.

    Raises:
        ValueError: If a schedule has no update in [1, steps].
    """
    seen: list[PruningSchedule] = []
    for schedule in schedules:
        if schedule not in seen:
            seen.append(schedule)
            _check(schedule, steps)


def _check(schedule: PruningSchedule, steps: int) -> None:
    due = list(schedule.due_steps(0, steps))
    if not due:
        raise ValueError(
            f"A schedule must prune within the planned training; got {schedule!r} and "
            f"{steps} planned steps, in which no update is due. Train longer, or choose "
            f"begin_step and frequency so that an update falls into [1, {steps}]."
        )
    reached = schedule.sparsity(due[-1])
    if reached != schedule.target:
        warnings.warn(
            f"{schedule!r} will not be finished: the last of {len(due)} updates within "
            f"{steps} planned steps is at step {due[-1]} and reaches a sparsity of "
            f"{reached:.4f} instead of {schedule.target:.4f}. Train longer or end it earlier.",
            stacklevel=4,
        )
