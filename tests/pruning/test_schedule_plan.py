"""What is said of a schedule that training ends too early for."""

from typing import Any

import numpy as np
import pytest

from pruneplug import (
    ConstantSparsity,
    LinearSparsity,
    MultiStepSparsity,
    OneShotSparsity,
    PolynomialDecay,
    PruningSchedule,
)
from pruneplug.pruning.schedules.reach import never_fires, stays_short


class Computed(PruningSchedule):
    """Asked step by step; no two of its answers are the same object."""

    def __call__(self, step: int) -> tuple[bool, Any]:
        return step % 5 == 0, np.float32(0.5) * min(step, 10) / 10

    def get_config(self) -> dict[str, Any]:
        return {}

    def __repr__(self) -> str:
        return "Computed()"


@pytest.mark.parametrize(
    ("schedule", "first"),
    [
        (ConstantSparsity(0.5, 0, frequency=100), 100),
        (OneShotSparsity(0.5, step=1), 1),
        (LinearSparsity(0.0, 0.5, 20, 30), 20),
        (Computed(), 5),
    ],
    ids=str,
)
def test_a_schedule_fires_from_its_first_update_on(schedule: PruningSchedule, first: int) -> None:
    assert never_fires(schedule, 0, first) is None
    assert never_fires(schedule, 0, first + 50) is None
    message = str(never_fires(schedule, 0, first - 1))
    assert f"got {schedule!r} and {first - 1} planned steps" in message
    assert f"falls into [1, {first - 1}]" in message


def test_an_update_before_the_first_step_counts_for_nothing() -> None:
    assert never_fires(ConstantSparsity(0.5, 0, end_step=0), 0, 50) is not None


@pytest.mark.parametrize(
    ("schedule", "end"),
    [
        (ConstantSparsity(0.5, 10, frequency=10), 10),
        (OneShotSparsity(0.5, step=7), 7),
        (MultiStepSparsity([0.2, 0.5, 0.9], [5, 10, 20]), 20),
        (PolynomialDecay(0.2, 0.8, 1, 31, frequency=10), 31),
        (LinearSparsity(0.8, 0.2, 0, 35, frequency=10), 35),
        (Computed(), 10),
    ],
    ids=str,
)
def test_a_schedule_is_finished_from_its_last_change_on(
    schedule: PruningSchedule, end: int
) -> None:
    assert stays_short(schedule, 0, end) is None
    assert stays_short(schedule, 0, end + 50) is None


@pytest.mark.parametrize(
    ("schedule", "steps", "message"),
    [
        (
            LinearSparsity(0.0, 0.8, 0, 100, frequency=25),
            60,
            "has its last update within 60 planned steps at step 50, and reaches a sparsity "
            "of 0.4000 instead of 0.8000.",
        ),
        (
            LinearSparsity(0.8, 0.0, 1, 101, frequency=25),
            76,
            "has its last update within 76 planned steps at step 76, and reaches a sparsity "
            "of 0.2000 instead of 0.0000.",
        ),
        (
            MultiStepSparsity([0.2, 0.5, 0.9], [5, 10, 20]),
            19,
            "has its last update within 19 planned steps at step 10, and reaches a sparsity "
            "of 0.5000 instead of 0.9000.",
        ),
    ],
    ids=["rising", "falling", "in steps"],
)
def test_a_schedule_cut_short_names_where_it_is_left(
    schedule: PruningSchedule, steps: int, message: str
) -> None:
    assert message in str(stays_short(schedule, 0, steps))


def test_a_schedule_without_an_update_is_not_called_short() -> None:
    assert stays_short(OneShotSparsity(0.5, step=7), 0, 6) is None
