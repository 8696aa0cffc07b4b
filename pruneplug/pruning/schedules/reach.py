"""What is asked of a schedule beside a single step: where it stands, and what becomes of it."""

from __future__ import annotations

from pruneplug.pruning.schedules.base import PruningSchedule
from pruneplug.pruning.schedules.custom import AskedSchedule


def computes_steps(schedule: PruningSchedule) -> bool:
    """Return whether a schedule computes its due steps, and need not be asked step by step."""
    return not isinstance(schedule, AskedSchedule)


def last_due(schedule: PruningSchedule, after: int, until: int) -> int | None:
    """Return the last step in (after, until] at which an update is due, None if there is none.

    It is looked for from the end, in windows twice as long each, so that a schedule that must be
    asked step by step is asked no more than it takes.
    """
    width = 1
    while until > after:
        begin = max(after, until - width)
        found = max(schedule.due_steps(begin, until), default=None)
        if found is not None:
            return found
        until, width = begin, 2 * width
    return None


def sparsity_at(schedule: PruningSchedule, update: int) -> float:
    """Return the sparsity of a mask that was last updated at a step; 0 stands for no update."""
    return schedule.sparsity(update) if update > 0 else 0.0


def at_target(schedule: PruningSchedule, update: int) -> bool:
    """Return whether a mask that was last updated at a step (0: never) has the final sparsity.

    None has when the schedule does not know it.
    """
    return sparsity_at(schedule, update) == schedule.target


def never_fires(schedule: PruningSchedule, begin: int, steps: int) -> str | None:
    """Return what to say of a schedule without an update in the planned training, or None.

    Args:
        schedule: One that computes its steps.
        begin: Steps taken before.
        steps: Steps planned.
    """
    if next(schedule.due_steps(0, begin + steps), None) is not None:
        return None
    target = "its target" if schedule.target is None else f"{schedule.target:.4f}"
    return (
        f"A pruning schedule must prune within the planned training; got {schedule!r} and "
        f"{steps} planned steps, in which no update is due: sparsity stays at 0.0000 instead of "
        f"{target}. Train longer, or choose "
        f"begin_step and frequency so that an update falls into [{begin + 1}, {begin + steps}]."
    )


def stays_short(schedule: PruningSchedule, begin: int, steps: int) -> str | None:
    """Return what to say of a schedule that does not reach its target; as in `never_fires`."""
    due = last_due(schedule, 0, begin + steps)
    if due is None or schedule.target is None or at_target(schedule, due):
        return None
    return (
        f"A pruning schedule will not be finished: {schedule!r} has its last update within "
        f"{steps} planned steps at step {due}, and reaches a sparsity of "
        f"{schedule.sparsity(due):.4f} instead of {schedule.target:.4f}. Train longer or end "
        "it earlier."
    )
