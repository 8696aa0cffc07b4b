"""What is known of a schedule by its call alone, and how little it is asked."""

import warnings
from collections import Counter
from typing import Any

import keras
import numpy as np
import pytest

from pruneplug import (
    ConstantSparsity,
    PolynomialDecay,
    Pruner,
    PruningSchedule,
    Trainer,
    UniformAllocation,
    UpdatePruningStep,
    prune_low_magnitude,
)
from pruneplug.pruning.schedules import AskedSchedule, are_alike, as_schedule
from pruneplug.pruning.schedules.reach import last_due

X = np.ones((24, 4), "float32")
BATCH = 4
STEPS = len(X) // BATCH


class Recorder(PruningSchedule):
    """Due every third step; notes when it is asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, step: int) -> tuple[bool, float]:
        self.asked.append(step)
        return step % 3 == 0, 0.5

    def get_config(self) -> dict[str, Any]:
        return {}


class Computed(Recorder):
    def due_steps(self, after: int, until: int) -> Any:
        return (step for step in range(after + 1, until + 1) if step % 3 == 0)


class Overridden(PolynomialDecay):
    """Of a built-in schedule, only the call is another."""

    def __call__(self, step: int) -> tuple[bool, float]:
        due, sparsity = super().__call__(step)
        return due and step != 4, sparsity / 2


class Bent(ConstantSparsity):
    """Of a built-in schedule, only the curve is another."""

    def sparsity(self, step: int) -> float:
        return self.target_sparsity * min(step, 10) / 10


def _model(schedule: Any) -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), keras.layers.Dense(4)])
    model = prune_low_magnitude(model, schedule)
    model.compile("sgd", "mse", jit_compile=False)
    return model


def _fit(model: keras.Model, **kwargs: Any) -> None:
    callbacks = [UpdatePruningStep()]
    model.fit(X, X, batch_size=BATCH, verbose=0, callbacks=callbacks, **kwargs)


def test_a_schedule_that_computes_its_steps_stands_for_itself() -> None:
    for schedule in (ConstantSparsity(0.5, 0), Bent(0.5, 0), Computed()):
        assert as_schedule(schedule) is schedule
    for asked in (Recorder(), Overridden(0.0, 0.8, 0, 8, 3, 2), lambda step: (True, 0.5)):
        schedule = as_schedule(asked)
        assert isinstance(schedule, AskedSchedule)
        assert schedule.schedule is asked
        assert repr(schedule) == repr(asked)
        assert AskedSchedule(**schedule.get_config()).schedule is asked


def test_an_overridden_call_is_what_counts() -> None:
    schedule = as_schedule(Overridden(0.0, 0.8, 0, 8, 3, 2))
    assert list(schedule.due_steps(0, 20)) == [2, 6, 8]
    assert schedule.sparsity(8) == 0.4
    assert as_schedule(Bent(0.5, 0)).sparsity(5) == 0.25


def test_a_target_is_known_where_it_is_stated() -> None:
    assert as_schedule(Recorder()).target is None
    assert as_schedule(lambda step: (True, 0.5)).target is None
    # What was stated of the formula is not said of another call.
    assert as_schedule(Overridden(0.0, 0.8, 0, 8)).target is None
    stating = type("Stating", (Overridden,), {"target": 0.4})
    assert as_schedule(stating(0.0, 0.8, 0, 8)).target == 0.4


def test_each_step_is_asked_once_and_as_late_as_can_be() -> None:
    recorder = Recorder()
    schedule = as_schedule(recorder)
    steps = schedule.due_steps(0, 10**9)
    assert recorder.asked == []
    assert next(steps) == 3
    assert recorder.asked == [1, 2, 3]
    assert list(schedule.due_steps(1, 7)) == [3, 6]
    assert recorder.asked == list(range(1, 8))
    assert last_due(schedule, 2, 10**9) == 10**9 - 10**9 % 3
    assert len(recorder.asked) < 11


@pytest.mark.parametrize("per_call", [1, 2])
def test_a_training_asks_for_no_more_than_its_steps(per_call: int) -> None:
    recorder = Recorder()
    model = _model(recorder)
    assert recorder.asked == []
    model.compile("sgd", "mse", steps_per_execution=per_call, jit_compile=False)
    _fit(model)
    # The step after the last, whose update is made at its end, and what a call more would take.
    assert set(range(1, STEPS + 1)) <= set(recorder.asked) <= set(range(1, STEPS + 2 + per_call))
    # Again it is asked only for the sparsity of updates, and not at each step after them.
    again = Counter(step for step in recorder.asked if step % 3)
    assert set(again.values()) == {1}
    assert Counter(recorder.asked)[3] < 8


def test_the_trainer_asks_for_no_more_than_its_steps(tmp_path: Any) -> None:
    recorder = Recorder()
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    arguments = {"optimizer": "sgd", "loss": "mse", "metrics": (), "folder": tmp_path}
    Trainer(model, recorder, epochs=2, batch_size=BATCH, **arguments).fit((X, X))
    assert max(recorder.asked) <= 2 * STEPS + 2


def test_a_second_training_looks_back_no_further_than_the_last_update() -> None:
    recorder = Recorder()
    model = _model(recorder)
    _fit(model, epochs=3)
    recorder.asked.clear()
    _fit(model)
    assert min(recorder.asked) >= 3 * STEPS - 3


@pytest.mark.parametrize("length", [STEPS + 1, STEPS + 2, STEPS + 3])
def test_a_table_may_end_with_the_planned_steps(length: int) -> None:
    table = [0.5] * length
    model = _model(lambda step: (True, table[step]))
    _fit(model)
    Pruner(model).weights()
    with pytest.raises(IndexError) as error:
        _fit(model)
    assert any("was asked at step" in note for note in error.value.__notes__)


def test_an_error_at_the_first_step_is_raised_after_it() -> None:
    model = _model(lambda step: (True, 1 / 0))
    with pytest.raises(ZeroDivisionError):
        _fit(model)


@pytest.mark.parametrize("wrong", [lambda step: 0.5, lambda step: (True, "x"), lambda step: None])
def test_an_answer_of_another_form_is_an_error_at_once(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"must answer with two values.*at step"):
        list(as_schedule(wrong).due_steps(0, 1))


@pytest.mark.parametrize("wrong", [80, 1.0, -0.1, float("nan")])
def test_a_sparsity_out_of_range_is_an_error(wrong: float) -> None:
    model = _model(lambda step: (True, wrong))
    with pytest.raises(ValueError, match=r"sparsity must be in \[0, 1\)"):
        _fit(model)


def test_schedules_are_alike_that_hold_the_same() -> None:
    def function(step: int) -> tuple[bool, float]:
        return True, 0.5

    class Factor(ConstantSparsity):
        def __init__(self, factor: Any):
            super().__init__(0.5, 0)
            self.factor = factor

    assert are_alike(ConstantSparsity(0.5, 0), ConstantSparsity(0.5, 0))
    assert not are_alike(ConstantSparsity(0.5, 0), ConstantSparsity(0.5, 1))
    # Further attributes are nothing to the equality of dataclasses.
    assert are_alike(Factor(1), Factor(1))
    assert not are_alike(Factor(1), Factor(2))
    assert not are_alike(Factor(1), ConstantSparsity(0.5, 0))
    array = np.ones(2)
    assert not are_alike(Factor(np.ones(2)), Factor(np.zeros(2)))
    # Files bring arrays and tuples back as lists, of which each layer gets its own.
    assert are_alike(Factor(np.ones(2)), Factor(np.ones(2)))
    assert are_alike(Factor({"steps": (1, np.int64(2))}), Factor({"steps": [1, 2]}))
    assert are_alike(Factor(array), Factor(array))
    assert are_alike(function, function)
    assert not are_alike(function, lambda step: (True, 0.5))
    assert are_alike(as_schedule(Recorder()), as_schedule(Recorder()))
    assert not are_alike(as_schedule(function), as_schedule(Recorder()))


def test_layers_with_alike_schedules_share_one() -> None:
    model = keras.Sequential(
        [
            keras.Input((4,)),
            *(prune_low_magnitude(keras.layers.Dense(4), Recorder()) for _ in range(2)),
            *(prune_low_magnitude(keras.layers.Dense(4), lambda step: (True, 0.5)) for _ in "ab"),
        ]
    )
    assert len(Pruner(model).schedules) == 3


def test_overrides_need_a_target_to_follow() -> None:
    allocation = UniformAllocation({"dense": 0.75})
    with pytest.raises(
        ValueError, match=r"Overrides must follow a schedule that states its target"
    ):
        prune_low_magnitude(keras.layers.Dense(4), Recorder(), allocation=allocation)
    stating = type("Stating", (Recorder,), {"target": 0.5})()
    prune_low_magnitude(keras.layers.Dense(4), stating, allocation=allocation)


def test_a_schedule_that_never_fires_is_said_and_an_unknown_target_is_not() -> None:
    def late(step: int) -> tuple[bool, float]:
        return step == 100, 0.5

    with pytest.warns(UserWarning, match=r"stand at a sparsity of 0\.0000 instead of some after 6"):
        _fit(_model(late))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _fit(_model(Recorder()))
    stating = type("Stating", (Recorder,), {"target": 0.8})()
    with pytest.warns(UserWarning, match=r"stand at a sparsity of 0\.5000 instead of 0\.8000"):
        _fit(_model(stating))
