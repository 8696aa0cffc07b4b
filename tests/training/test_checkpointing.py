import time
from pathlib import Path
from typing import Any

import pytest

from pruneplug.training.checkpoints.checkpoint import Checkpoint
from pruneplug.training.checkpoints.saving_rules import Saving


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_alarm_goes_off_after_some_minutes() -> None:
    clock = Clock()
    alarm = Saving(checkpoint_minutes=2, clock=clock).alarm()
    for _ in range(2):
        clock.now += 119
        assert not alarm.due()
        clock.now += 1
        assert alarm.due()
        alarm.set()


def test_without_minutes_it_never_does() -> None:
    clock = Clock()
    alarm = Saving(clock=clock).alarm()
    clock.now += 1e9
    assert not alarm.due()


def test_a_clock_that_is_set_back_puts_no_checkpoint_off() -> None:
    assert Saving().clock is time.monotonic


def test_one_checkpoint_in_so_many_minutes_stays(tmp_path: Path) -> None:
    clock = Clock()
    store = Saving(keep_checkpoints=1, keep_minutes=10, clock=clock).store(tmp_path)
    for step in range(1, 9):
        store.save(Checkpoint(step, {}, {}))
        clock.now += 240
    assert store.steps() == [1, 4, 7, 8]
    store = Saving(keep_checkpoints=1, clock=clock).store(tmp_path)
    store.save(Checkpoint(9, {}, {}))
    assert store.steps() == [9]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoint_minutes": 0}, "checkpoint_minutes must be above 0; got checkpoint_minutes=0"),
        ({"keep_minutes": -1.0}, "keep_minutes must be above 0"),
        ({"keep_minutes": float("nan")}, "keep_minutes must be above 0"),
        ({"checkpoint_every": True}, "checkpoint_every must be a whole number"),
        ({"keep_checkpoints": None}, "keep_checkpoints must be a whole number"),
    ],
)
def test_refuses_bad_rules(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Saving(**changes)


def test_needs_a_folder_for_checkpoints_by_time() -> None:
    Saving().check_folder(None, "never")
    with pytest.raises(ValueError, match=r"given .* checkpoint_minutes=3"):
        Saving(checkpoint_minutes=3).check_folder(None, "never")
