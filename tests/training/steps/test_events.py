import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruneplug.training.steps.events import Plan


@pytest.mark.parametrize("name", ["epochs", "steps_per_epoch", "checkpoint_every"])
def test_plan_refuses_counts_below_one(name: str) -> None:
    arguments = {"epochs": 1, "steps_per_epoch": 1, "checkpoint_every": 1, name: 0}
    with pytest.raises(ValueError, match=f"{name} must be at least 1; got {name}=0"):
        Plan(**arguments)


def test_next_stop_is_the_first_event() -> None:
    plan = Plan(epochs=2, steps_per_epoch=10, checkpoint_every=4)
    assert plan.next_stop(0, None, 100) == 4
    assert plan.next_stop(0, 3, 100) == 3
    assert plan.next_stop(0, 3, 2) == 2
    assert plan.next_stop(8, None, 100) == 10
    assert plan.next_stop(10, 99, 100) == 12


def test_checkpoints_default_to_epoch_ends() -> None:
    plan = Plan(epochs=3, steps_per_epoch=5)
    assert [step for step in range(16) if plan.checkpoint_due(step)] == [5, 10, 15]


@given(
    st.integers(1, 5),
    st.integers(1, 40),
    st.none() | st.integers(1, 50),
    st.integers(1, 30),
    st.sets(st.integers(1, 200)),
)
def test_a_walk_meets_every_event(
    epochs: int, steps: int, every: int | None, limit: int, updates: set[int]
) -> None:
    plan = Plan(epochs, steps, every)
    step, met = 0, [0]
    while step < plan.total_steps:
        update = min((u for u in updates if u > step), default=None)
        stop = plan.next_stop(step, update, limit)
        assert step < stop <= step + limit
        step = stop
        met.append(step)
    assert step == plan.total_steps
    due = {s for s in range(1, step + 1) if plan.checkpoint_due(s) or s in updates}
    assert due | {steps * (epoch + 1) for epoch in range(epochs)} <= set(met)
