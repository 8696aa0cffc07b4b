"""Warnings of a sparsity that is not, or will not be, what was asked for: each once."""

from __future__ import annotations

import warnings

from pruneplug.pruning.cohort import Cohort
from pruneplug.pruning.schedules.reach import (
    at_target,
    computes_steps,
    last_due,
    never_fires,
    stays_short,
)
from pruneplug.pruning.sparsity import total_sparsity


def warn_when_short(cohort: Cohort, model: str, step: int) -> None:
    """Warn if the masks stand below the schedule's target.

    Args:
        cohort: The weights that follow the schedule.
        model: The model's name.
        step: Steps that it was trained for.
    """
    if cohort.at_target():
        return
    target, reached = cohort.schedule.target, total_sparsity(cohort.standing())
    if target is None and any(weight.update_step for weight in cohort.trained):
        return  # where a schedule leads that does not say so, nobody can tell
    asked = "some" if target is None else f"{target:.4f}"
    _warn_once(
        cohort,
        cohort.asked(),
        f"A pruning schedule has not reached its target: the masks of model '{model}' stand at a "
        f"sparsity of {reached:.4f} instead of {asked} after {step} steps of "
        f"{cohort.schedule!r}. Train on with UpdatePruningStep, or let it end earlier.",
    )


def warn_of_plan(cohort: Cohort, begin: int, steps: int, until: int) -> None:
    """Warn if the schedule cannot reach its target within a planned training.

    Args:
        cohort: The weights that follow the schedule.
        begin: Steps taken before.
        steps: Steps planned.
        until: The last step whose update is made in it.
    """
    schedule = cohort.schedule
    if not cohort.trained or not computes_steps(schedule):
        return  # to ask another schedule about every step may take long
    due = last_due(schedule, 0, until)
    if due is not None and at_target(schedule, due):
        return
    message = never_fires(schedule, begin, steps) or stays_short(schedule, begin, steps)
    if message is not None:
        _warn_once(cohort, 0.0 if due is None else schedule.sparsity(due), message)


def _warn_once(cohort: Cohort, asked: float, message: str) -> None:
    # A second warning says nothing new unless less was asked of the masks by then.
    target = cohort.schedule.target
    counters = [layer.step_counter for layer in cohort.layers]
    said = [counter.warned_of for counter in counters if counter.warned_of is not None]
    if not any(of == target and asked >= before for of, before in said):
        for counter in counters:
            counter.warned_of = (target, asked)
        warnings.warn(message, stacklevel=5)
