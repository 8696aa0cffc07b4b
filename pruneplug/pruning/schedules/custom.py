"""Schedules that only a call answers, as they are written for TFMOT: asked as late as can be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pruneplug.pruning.schedules.base import PruningSchedule, Schedule, check_sparsity

# What says that a schedule is written wrongly, at whatever step it is asked.
_MISTAKES = (TypeError, AttributeError, NameError)

# More than any window that is looked at together.
_REMEMBERED = 2**16


class AskedSchedule(PruningSchedule):
    """Stands for a schedule of which nothing but its call is known.

    Its steps are asked one by one and each once, and its sparsities at the updates. An error at a
    step that training has not taken yet is held back: a table of the planned training's steps may
    end with it, though updates are looked for up to two steps ahead.

    Args:
        schedule: Answers for a step whether an update is due, and its sparsity.
        as_step: Makes the step that it is given of an int.
    """

    def __init__(self, schedule: Schedule, as_step: Callable[[int], Any] = int):
        self.schedule = schedule
        self.as_step = as_step
        self.target = _stated_target(schedule)
        self._failed: tuple[int, Exception] | None = None
        self._answers: dict[int, bool] = {}

    def __call__(self, step: int) -> tuple[bool, float]:
        """Ask the schedule."""
        answer = self.schedule(self.as_step(step))
        try:
            due, sparsity = answer
            return bool(due), float(sparsity)
        except (TypeError, ValueError):
            raise TypeError(
                "A pruning schedule must answer with two values, whether an update is due and its "
                f"sparsity; got {answer!r} of {self!r} at step {step}."
            ) from None

    def sparsity(self, step: int) -> float:
        """Return the sparsity an update at `step` prunes to, in [0, 1)."""
        sparsity = self(step)[1]
        check_sparsity("sparsity", sparsity)
        return sparsity

    def due_steps(self, after: int, until: int) -> Iterator[int]:
        """Yield, in ascending order, the steps in (after, until] at which an update is due.

        Raises:
            Exception: What the schedule raised at a step before `after`, which has been taken now.
        """
        if self._failed is not None and after > self._failed[0]:
            raise self._failed[1]
        return filter(self._is_due, range(after + 1, until + 1))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"schedule": self.schedule, "as_step": self.as_step}

    def __repr__(self) -> str:
        return repr(self.schedule)

    def _is_due(self, step: int) -> bool:
        if step not in self._answers:
            if len(self._answers) >= _REMEMBERED:
                self._answers.clear()
            self._answers[step] = self._ask(step)
        return self._answers[step]

    def _ask(self, step: int) -> bool:
        try:
            return self(step)[0]
        except _MISTAKES:
            raise
        except Exception as error:
            error.add_note(f"A pruning schedule, {self!r}, was asked at step {step}.")
            if self._failed is None or step < self._failed[0]:
                self._failed = step, error
            return False


def as_schedule(schedule: Schedule, as_step: Callable[[int], Any] = int) -> PruningSchedule:
    """Return a schedule that the engine can ask: itself, or an `AskedSchedule` around it."""
    if isinstance(schedule, PruningSchedule) and not _is_answered_by_its_call(type(schedule)):
        return schedule
    return AskedSchedule(schedule, as_step)


def are_alike(one: Any, other: Any) -> bool:
    """Return whether two schedules say the same: those of one class that hold equal values do."""
    one, other = (s.schedule if isinstance(s, AskedSchedule) else s for s in (one, other))
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if not isinstance(one, PruningSchedule):
        return bool(one == other)
    try:
        return bool(_plain(vars(one)) == _plain(vars(other)))
    except (TypeError, ValueError):  # what cannot be compared is not alike
        return False


def _plain(value: Any) -> Any:
    """Return a value as it comes back from a file: arrays and tuples as lists, also inside."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _is_answered_by_its_call(kind: type) -> bool:
    """Return whether a class has overridden the call, and left the rest to others."""
    order = kind.__mro__.index
    return order(_home(kind, "__call__")) < order(_home(kind, "due_steps"))


def _stated_target(schedule: Any) -> float | None:
    """Return the target that a schedule states, unless its call was overridden later."""
    kind = type(schedule)
    if not isinstance(schedule, PruningSchedule):
        return None
    order = kind.__mro__.index
    is_stated = order(_home(kind, "target")) <= order(_home(kind, "__call__"))
    return schedule.target if is_stated else None


def _home(kind: type, name: str) -> type:
    """Return the class that an attribute of a class comes from."""
    return next(parent for parent in kind.__mro__ if name in vars(parent))
