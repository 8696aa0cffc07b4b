"""What becomes of a schedule when training ends at a known step."""

from __future__ import annotations

from pruneplug.schedules.base import PruningSchedule


def never_fires(schedule: PruningSchedule, steps: int) -> str | None:
    """Return what to say of a schedule with no update in [1, steps], None if it has one."""
    if next(schedule.due_steps(0, steps), None) is not None:
        return None
    return (
        f"A pruning schedule must prune within the planned training; got {schedule!r} and "
        f"{steps} planned steps, in which no update is due. Train longer, or choose "
        f"begin_step and frequency so that an update falls into [1, {steps}]."
    )


def stays_short(schedule: PruningSchedule, steps: int) -> str | None:
    """Return what to say of a schedule that does not reach its target in [1, steps], or None."""
    due = list(schedule.due_steps(0, steps))
    if not due or schedule.sparsity(due[-1]) == schedule.target:
        return None
    return (
        f"A pruning schedule will not be finished: {schedule!r} has the last of {len(due)} updates "
        f"within {steps} planned steps at step {due[-1]}, and reaches a sparsity of "
        f"{schedule.sparsity(due[-1]):.4f} instead of {schedule.target:.4f}. Train longer or end "
        "it earlier."
    )
