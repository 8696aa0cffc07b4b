"""Every schedule obeys the same laws; a new one needs a row in BATTERY."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pruneplug import (
    ConstantSparsity,
    CosineSparsity,
    ExponentialSparsity,
    LinearSparsity,
    MultiStepSparsity,
    OneShotSparsity,
    PolynomialDecay,
    PruningSchedule,
    UpdatePruningStep,
    prune_low_magnitude,
)
from pruneplug.pruning import schedules
from pruneplug.pruning.schedules.base import FieldSchedule
from pruneplug.pruning.schedules.ramps import _Ramp

law = settings(deadline=None, max_examples=60)

SPARSITY = st.floats(0, 0.999)
FREQUENCY = st.integers(1, 20)
STEP = st.integers(0, 150)
RANGE = st.tuples(st.integers(0, 50), st.integers(0, 60)).map(lambda r: (r[0], r[0] + r[1]))


def _ramps(schedule: Callable[..., PruningSchedule]) -> st.SearchStrategy[PruningSchedule]:
    return st.builds(
        lambda first, last, steps, frequency: schedule(first, last, *steps, frequency=frequency),
        SPARSITY,
        SPARSITY,
        RANGE,
        FREQUENCY,
    )


def _constant(sparsity: float, steps: tuple[int, int], is_open: bool, every: int) -> Any:
    return ConstantSparsity(sparsity, steps[0], -1 if is_open else steps[1], every)


def _polynomial(power: float) -> Callable[..., PruningSchedule]:
    return lambda *args, **kwargs: PolynomialDecay(*args, **kwargs, power=power)


def _multi_step(updates: dict[int, float]) -> MultiStepSparsity:
    return MultiStepSparsity([updates[step] for step in sorted(updates)], sorted(updates))


BATTERY: dict[type[PruningSchedule], st.SearchStrategy[PruningSchedule]] = {
    ConstantSparsity: st.builds(_constant, SPARSITY, RANGE, st.booleans(), FREQUENCY),
    PolynomialDecay: st.sampled_from([0.5, 1, 2, 3, 4.5]).flatmap(
        lambda power: _ramps(_polynomial(power))
    ),
    LinearSparsity: _ramps(LinearSparsity),
    ExponentialSparsity: _ramps(ExponentialSparsity),
    CosineSparsity: _ramps(CosineSparsity),
    MultiStepSparsity: st.builds(
        _multi_step, st.dictionaries(st.integers(1, 90), SPARSITY, min_size=1, max_size=5)
    ),
    OneShotSparsity: st.builds(OneShotSparsity, SPARSITY, st.integers(1, 90)),
}
RAMPS = (PolynomialDecay, LinearSparsity, ExponentialSparsity, CosineSparsity)

# Far beyond the last step of any of them.
END = 200

every_schedule = pytest.mark.parametrize("kind", BATTERY, ids=lambda kind: kind.__name__)
every_ramp = pytest.mark.parametrize("ramp", RAMPS, ids=lambda ramp: ramp.__name__)


def test_every_schedule_is_in_the_battery() -> None:
    assert set(BATTERY) == set(schedules.BUILT_IN)


@every_schedule
@law
@given(data=st.data())
def test_due_steps_ascend_and_agree_with_the_call(kind: type, data: st.DataObject) -> None:
    schedule, after, until = data.draw(BATTERY[kind]), *sorted(data.draw(st.tuples(STEP, STEP)))
    due = list(schedule.due_steps(after, until))
    assert all(a < b for a, b in pairwise(due))
    assert due == [step for step in range(after + 1, until + 1) if schedule(step)[0]]
    for step in range(after, until + 1, 7):
        assert schedule(step)[1] == schedule.sparsity(step)


@every_schedule
@law
@given(data=st.data())
def test_due_steps_of_two_parts_are_those_of_the_whole(kind: type, data: st.DataObject) -> None:
    schedule = data.draw(BATTERY[kind])
    a, b, c = sorted(data.draw(st.tuples(STEP, STEP, STEP)))
    parts = [*schedule.due_steps(a, b), *schedule.due_steps(b, c)]
    assert parts == list(schedule.due_steps(a, c))


@every_schedule
@law
@given(data=st.data())
def test_sparsity_is_a_fraction_and_ends_at_the_target(kind: type, data: st.DataObject) -> None:
    schedule = data.draw(BATTERY[kind])
    assert all(0.0 <= schedule.sparsity(step) < 1.0 for step in range(END))
    assert schedule.sparsity(END) == schedule.target
    *_, last = schedule.due_steps(-1, END)
    assert schedule.sparsity(last) == schedule.target


@every_schedule
@law
@given(data=st.data())
def test_a_schedule_survives_its_file_and_equals_itself(kind: type, data: st.DataObject) -> None:
    schedule = data.draw(BATTERY[kind])
    loaded = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert type(loaded) is kind
    assert loaded == schedule
    assert hash(loaded) == hash(schedule)
    assert kind.from_config(schedule.get_config()) == schedule
    # As TFMOT nests it.
    nested = {"class_name": kind.__name__, "config": schedule.get_config()}
    assert kind.from_config(nested) == schedule


@every_schedule
@law
@given(data=st.data())
def test_schedules_with_other_arguments_are_not_equal(kind: type, data: st.DataObject) -> None:
    one, other = data.draw(BATTERY[kind]), data.draw(BATTERY[kind])
    assert (one == other) == (one.get_config() == other.get_config())


@every_ramp
@law
@given(data=st.data())
def test_ramps_never_turn_back(ramp: type, data: st.DataObject) -> None:
    schedule = data.draw(BATTERY[ramp])
    values = np.array([schedule.sparsity(step) for step in range(END)])
    rising = schedule.final_sparsity >= schedule.initial_sparsity
    rounding = 1e-6
    assert (np.diff(values) * (1 if rising else -1) >= -rounding).all()
    if schedule.begin_step < schedule.end_step:
        assert schedule.sparsity(schedule.begin_step) == pytest.approx(
            schedule.initial_sparsity, abs=rounding
        )


@law
@given(
    begin=STEP, length=st.none() | STEP, frequency=FREQUENCY, ends=st.tuples(STEP, STEP).map(sorted)
)
def test_constant_sparsity_is_due_on_its_grid(
    begin: int, length: int | None, frequency: int, ends: list[int]
) -> None:
    end = -1 if length is None else begin + length
    schedule = ConstantSparsity(0.5, begin, end, frequency)
    expected = [
        step
        for step in range(ends[0] + 1, ends[1] + 1)
        if step >= begin and (end < 0 or step <= end) and (step - begin) % frequency == 0
    ]
    assert list(schedule.due_steps(*ends)) == expected


@every_ramp
def test_a_ramp_has_one_last_update_at_its_end(ramp: Callable[..., Any]) -> None:
    schedule = ramp(0.0, 0.8, begin_step=3, end_step=20, frequency=7)
    assert list(schedule.due_steps(0, 100)) == [3, 10, 17, 20]
    aligned = ramp(0.0, 0.8, begin_step=6, end_step=20, frequency=7)
    assert list(aligned.due_steps(0, 100)) == [6, 13, 20]
    at_once = ramp(0.0, 0.8, begin_step=5, end_step=5)
    assert list(at_once.due_steps(0, 100)) == [5]
    assert at_once.sparsity(5) == 0.8


@pytest.mark.parametrize(
    ("ramp", "expected"),
    [
        (PolynomialDecay, lambda progress: 0.8 - 0.6 * (1 - progress) ** 3),
        (LinearSparsity, lambda progress: 0.2 + 0.6 * progress),
        (ExponentialSparsity, lambda progress: 1 - 0.8 * (0.2 / 0.8) ** progress),
        (CosineSparsity, lambda progress: 0.8 - 0.3 * (1 + np.cos(np.pi * progress))),
    ],
)
def test_a_ramp_follows_its_formula(
    ramp: Callable[..., Any], expected: Callable[[float], float]
) -> None:
    schedule = ramp(0.2, 0.8, begin_step=3, end_step=20)
    values = [schedule.sparsity(step) for step in range(3, 21)]
    assert values == pytest.approx([expected((step - 3) / 17) for step in range(3, 21)], abs=1e-6)
    assert schedule.sparsity(2) == values[0]
    assert schedule.sparsity(21) == values[-1] == 0.8


def test_polynomial_decay_takes_the_published_values() -> None:
    schedule = PolynomialDecay(0.2, 0.8, 100, 110, frequency=1)
    values = [schedule.sparsity(step) for step in (0, 100, 102, 105, 110, 111)]
    assert values == pytest.approx([0.2, 0.2, 0.4928, 0.725, 0.8, 0.8])


def test_a_step_may_be_any_whole_number() -> None:
    schedule = PolynomialDecay(0.0, 0.5, np.int32(0), np.int64(10), frequency=np.int32(5))
    assert schedule(np.int64(5)) == schedule(5)
    assert list(schedule.due_steps(0, 100)) == [5, 10]
    loaded = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert loaded == schedule
    assert list(ConstantSparsity(0.5, 0, np.int64(-1)).due_steps(0, 200)) == [100, 200]


def test_whole_numbers_of_steps_are_stored_as_ints() -> None:
    for number in (float, np.float32, np.int16, keras.ops.convert_to_tensor, keras.Variable):
        schedule = PolynomialDecay(0.0, 0.5, number(2), number(10), frequency=number(4))
        assert schedule == PolynomialDecay(0.0, 0.5, 2, 10, frequency=4)
        steps = (schedule.begin_step, schedule.end_step, schedule.frequency)
        assert [type(step) for step in steps] == [int] * 3
    assert type(ConstantSparsity(0.5, 0, -1.0).end_step) is int


def test_arguments_left_out_are_tfmots() -> None:
    assert ConstantSparsity(0.5, 0) == ConstantSparsity(0.5, 0, end_step=-1, frequency=100)
    assert PolynomialDecay(0.0, 0.5, 0, 9) == PolynomialDecay(0.0, 0.5, 0, 9, 3, frequency=100)


@every_ramp
def test_a_ramp_left_to_itself_prunes_every_hundred_steps(ramp: Callable[..., Any]) -> None:
    assert list(ramp(0.0, 0.8, 0, 250).due_steps(0, 300)) == [100, 200, 250]


def test_an_update_may_be_due_at_the_first_step() -> None:
    for schedule in (OneShotSparsity(0.5, 1), MultiStepSparsity([0.5], [1])):
        assert list(schedule.due_steps(0, 2)) == [1]


def test_an_update_may_be_due_at_step_0() -> None:
    for schedule in (ConstantSparsity(0.5, 0, -1, 10), PolynomialDecay(0.0, 0.5, 0, 20, 3, 10)):
        assert schedule(0)[0] is True
        assert schedule(1)[0] is False


def test_updates_may_be_many() -> None:
    steps = range(1, 1000, 2)
    schedule = MultiStepSparsity(np.linspace(0, 0.9, len(steps)).tolist(), steps)
    assert list(schedule.due_steps(0, 1000)) == list(steps)
    assert schedule.target == 0.9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConstantSparsity(1.0, 0), r"target_sparsity must be in \[0, 1\); got .*=1.0"),
        (lambda: ConstantSparsity(-0.1, 0), r"got target_sparsity=-0.1\. .*write 0.8 for 80 %"),
        (lambda: ConstantSparsity(float("nan"), 0), "target_sparsity must be in"),
        (lambda: ConstantSparsity(0.5, -1), "begin_step must be at least 0; got begin_step=-1"),
        (lambda: ConstantSparsity(0.5, 0, -2), r"end_step must be -1 \(never ends\) or at least 0"),
        (lambda: ConstantSparsity(0.5, 5, 4), "got begin_step=5, end_step=4"),
        (lambda: ConstantSparsity(0.5, 0, frequency=0), "frequency must be at least 1 step"),
        (lambda: ConstantSparsity(0.5, 0, frequency=-5), "frequency must be at least 1 step"),
        (lambda: ConstantSparsity(0.5, 1.5), r"got begin_step=1.5\. Convert it with int\(\)"),
        (lambda: ConstantSparsity(0.5, float("nan")), "begin_step must be a whole number"),
        (lambda: ConstantSparsity(0.5, float("inf")), "begin_step must be a whole number"),
        (lambda: ConstantSparsity(0.5, None), "begin_step must be a whole number"),
        (lambda: ConstantSparsity(0.5, 0, 2.5), r"got end_step=2\.5\. Convert it with int\(\)"),
        (lambda: PolynomialDecay(0, 0.5, 0, 9, frequency=[1, 2]), "frequency must be a whole"),
        (lambda: ConstantSparsity(0.5, "1"), "begin_step must be a whole number"),
        (lambda: ConstantSparsity(0.5, True), "begin_step must be a whole number"),
        (lambda: PolynomialDecay(0.0, 80, 0, 10), r"final_sparsity must be in \[0, 1\)"),
        (lambda: PolynomialDecay(-1, 0.8, 0, 10), r"initial_sparsity must be in \[0, 1\)"),
        (lambda: PolynomialDecay(0.0, 0.8, 0, -1), "end_step must be at least 0; got end_step=-1"),
        (lambda: PolynomialDecay(0.0, 0.8, 0, 10, power=0), "power must be greater than 0"),
        (lambda: PolynomialDecay(0.0, 0.8, 0, 10, power=-0.5), "power must be greater than 0"),
        (lambda: PolynomialDecay(0.0, 0.8, 0, 10, power=float("nan")), "must be greater than 0"),
        (lambda: MultiStepSparsity([0.5], []), "steps must ascend"),
        (lambda: MultiStepSparsity([], []), "steps must ascend"),
        (lambda: MultiStepSparsity([0.5, 0.6], [5]), "one for each of sparsities"),
        (lambda: MultiStepSparsity([0.5], [5, 6]), "one for each of sparsities"),
        (lambda: MultiStepSparsity([0.5, 0.6], [5, 5]), r"got steps=\(5, 5\)"),
        (lambda: MultiStepSparsity([0.5, 0.6], [6, 5]), r"got steps=\(6, 5\)"),
        (lambda: MultiStepSparsity([0.5], [0]), "from at least 1"),
        (lambda: MultiStepSparsity([1.5], [1]), r"sparsities must be in \[0, 1\)"),
        (lambda: OneShotSparsity(0.5, 0), "step must be at least 1; got step=0"),
        (lambda: OneShotSparsity(0.5, -3), "step must be at least 1; got step=-3"),
        (lambda: OneShotSparsity(0.5, 2.5), "step must be a whole number of steps; got step=2.5"),
        (lambda: OneShotSparsity(0.5, "2"), "step must be a whole number of steps; got step='2'"),
        (lambda: MultiStepSparsity([0.5], [1.5]), "steps must be a whole number .* got steps=1.5"),
        (lambda: MultiStepSparsity([0.5], [True]), "steps must be a whole number of steps"),
        (lambda: OneShotSparsity(1.5, 1), "target_sparsity must be in"),
    ],
)
def test_arguments_out_of_range_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@keras.saving.register_keras_serializable("tests")
class FromTfmot(PruningSchedule):
    """A schedule as people wrote it for TFMOT: only a call, and a nested configuration."""

    def __init__(self, target: float, begin: int):
        self.final = target
        self.begin = begin

    def __call__(self, step: int) -> tuple[bool, float]:
        return self._should_prune_in_step(step, self.begin, -1, 3), self.final

    def get_config(self) -> dict[str, Any]:
        return {
            "class_name": type(self).__name__,
            "config": {"target": self.final, "begin": self.begin},
        }


def test_a_schedule_written_for_tfmot_works() -> None:
    schedule = FromTfmot(0.5, begin=2)
    assert list(schedule.due_steps(0, 12)) == [2, 5, 8, 11]
    assert [list(schedule.due_steps(5, until)) for until in (10, 11)] == [[8], [8, 11]]
    assert schedule.sparsity(7) == 0.5

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    pruned = prune_low_magnitude(model, schedule)
    pruned.compile("sgd", "mse")
    x = np.ones((8, 4), "float32")
    pruned.fit(x, x, batch_size=4, verbose=0, callbacks=[UpdatePruningStep()])
    assert np.count_nonzero(pruned.layers[0].layer.kernel) == 8


@pytest.mark.parametrize(
    ("begin", "end", "due"), [(0, -1, [0, 3, 6, 9, 12]), (2, 8, [2, 5, 8]), (0, 0, [0])]
)
def test_a_schedule_written_for_tfmot_is_due_on_its_grid(
    begin: int, end: int, due: list[int]
) -> None:
    asks = FromTfmot(0.5, begin)._should_prune_in_step
    assert [step for step in range(13) if asks(step, begin, end, 3)] == due


def test_no_schedule_of_ones_own_is_asked_for_its_target() -> None:
    assert FromTfmot(0.5, begin=2).target is None

    class Stating(FromTfmot):
        target = 0.5

    assert Stating(0.5, begin=2).target == 0.5


def test_a_schedule_written_for_tfmot_is_saved_with_its_model(tmp_path: Any) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    prune_low_magnitude(model, FromTfmot(0.5, begin=2)).save(tmp_path / "pruned.keras")
    loaded = keras.models.load_model(tmp_path / "pruned.keras").layers[0].pruning_schedule
    assert (type(loaded), loaded.final, loaded.begin) == (FromTfmot, 0.5, 2)


@pytest.mark.parametrize(
    "arguments", [{}, {"config": {}}, {"class_name": "a", "config": {}, "sparsity": 0.5}], ids=str
)
def test_nothing_but_tfmots_nesting_is_undone(arguments: dict[str, Any]) -> None:
    class Anything(FromTfmot):
        def __init__(self, **kwargs: Any):
            self.arguments = kwargs

    assert Anything.from_config(arguments).arguments == arguments


@pytest.mark.parametrize(
    ("base", "missing"),
    [
        (PruningSchedule, "__call__"),
        (PruningSchedule, "get_config"),
        (FieldSchedule, "sparsity"),
        (FieldSchedule, "due_steps"),
        (_Ramp, "_curve"),
    ],
)
def test_a_schedule_must_answer_everything(base: Any, missing: str) -> None:
    others = base.__abstractmethods__ - {missing}
    incomplete = type("Incomplete", (base,), dict.fromkeys(others, lambda self: None))
    with pytest.raises(TypeError, match=missing):
        incomplete()


def test_one_shot_is_dense_before_its_step_and_sparse_from_it_on() -> None:
    schedule = OneShotSparsity(0.5, step=10)
    assert [schedule.sparsity(step) for step in (9, 10, 11)] == [0.0, 0.5, 0.5]
    assert schedule.target == 0.5


def test_whole_floats_and_numpy_integers_are_steps() -> None:
    assert OneShotSparsity(0.5, np.ceil(2.5)) == OneShotSparsity(0.5, np.int64(3))
    schedule = MultiStepSparsity([0.5, 0.6], np.array([1.0, 4.0]))
    assert schedule == MultiStepSparsity((0.5, 0.6), (1, 4))
    assert all(type(step) is int for step in (OneShotSparsity(0.5, 3.0).step, *schedule.steps))
