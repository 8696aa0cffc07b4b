"""What every schedule answers, and the checks and steps they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from operator import index
from typing import Any, Self

# What answers for a step whether an update is due and its sparsity; also a plain function.
Schedule = Callable[[int], Any]

# A step that no training reaches: a schedule asked there answers with the sparsity it ends at.
_FAR = 2**31 - 1


class PruningSchedule(ABC):
    """Decides at which steps masks are updated and to which sparsity.

    Subclass it and define `__call__` and `get_config` for a schedule of your own, as for TFMOT. The
    engine then asks at each step, in ascending order, and at most two steps ahead of the training;
    define `due_steps` too when the steps can be computed, and it need not. Define `target`, as a
    class attribute or a property, to be told of a training that ends below it.

    Attributes:
        target: The sparsity this schedule ends at, in [0, 1); None when only time can tell.
    """

    # No property: a schedule written for TFMOT may hold something else under this name.
    target: float | None = None

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

    # The following three are named as in TFMOT, because schedules written for it call them. Their
    # arguments may be tensors, for which these operators stand for TensorFlow's.

    def _should_prune_in_step(
        self, step: Any, begin_step: Any, end_step: Any, frequency: Any
    ) -> Any:
        is_in_range = (step >= begin_step) & ((step <= end_step) | (end_step < 0))
        return is_in_range & ((step - begin_step) % frequency == 0)

    def _validate_step(
        self, begin_step: Any, end_step: Any, frequency: Any, allow_negative_1: bool
    ) -> None:
        check_steps(begin_step, end_step, frequency, may_be_open=allow_negative_1)

    def _validate_sparsity(self, sparsity: Any, variable_name: str) -> None:
        check_sparsity(variable_name, sparsity)


class FieldSchedule(PruningSchedule):
    """A schedule whose arguments are its dataclass fields."""

    def __call__(self, step: int) -> tuple[bool, float]:
        """Return whether an update is due at `step`, and its sparsity."""
        step = int(step)
        due = any(True for _ in self.due_steps(step - 1, step))  # step 0, due, is a false value
        return due, self.sparsity(step)

    @abstractmethod
    def sparsity(self, step: int) -> float:
        """Return the sparsity an update at `step` prunes to, in [0, 1)."""

    @abstractmethod
    def due_steps(self, after: int, until: int) -> Iterator[int]:
        """Yield, in ascending order, the steps in (after, until] at which an update is due."""

    @property
    def target(self) -> float:  # type: ignore[override]  # computed, where others may set it
        """The sparsity this schedule ends at, in [0, 1)."""
        return self.sparsity(_FAR)

    def get_config(self) -> dict[str, Any]:
        """Return the fields."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]  # only dataclasses derive from this


def grid(begin_step: int, end_step: int, frequency: int, after: int, until: int) -> range:
    """Return begin, begin + frequency, ... within (after, until] and up to end (-1: no end)."""
    first = begin_step + max(0, (after - begin_step) // frequency + 1) * frequency
    last = until if end_step < 0 else min(until, end_step)
    return range(first, last + 1, frequency)


def check_sparsity(name: str, value: Any) -> None:
    """Raise ValueError unless a sparsity is in [0, 1)."""
    if not 0.0 <= value < 1.0:
        raise ValueError(
            f"{name} must be in [0, 1); got {name}={value!r}. "
            "Sparsity is the fraction of zeros: write 0.8 for 80 %."
        )


def whole(name: str, value: Any) -> int:
    """Return a number of steps as an int: 12.0, which `np.ceil` gives, and tensors stand for one.

    Raises:
        ValueError: It is not a whole number.
    """
    if not isinstance(value, bool | str | bytes):
        try:
            return index(value)
        except TypeError:
            with suppress(TypeError, ValueError):
                if float(value).is_integer():
                    return int(value)
    raise ValueError(
        f"{name} must be a whole number of steps; got {name}={value!r}. Convert it with int()."
    )


def store_whole(schedule: PruningSchedule, *names: str) -> None:
    """Store the steps that a frozen schedule holds in attributes of these names as ints."""
    for name in names:
        object.__setattr__(schedule, name, whole(name, getattr(schedule, name)))


def check_steps(begin_step: Any, end_step: Any, frequency: Any, *, may_be_open: bool) -> None:
    """Raise ValueError unless steps are whole numbers in order; an open end is -1."""
    begin_step, end_step = whole("begin_step", begin_step), whole("end_step", end_step)
    if begin_step < 0:
        raise ValueError(f"begin_step must be at least 0; got begin_step={begin_step}.")
    if whole("frequency", frequency) <= 0:
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
