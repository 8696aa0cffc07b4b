"""The engine, stepped by hand."""

import warnings
import weakref
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sparse import zeros

from pruneplug import ConstantSparsity, OneShotSparsity, PolynomialDecay, Pruner, strip_pruning
from pruneplug import prune_low_magnitude as prune
from pruneplug.pruning.allocation import Allocation, GlobalAllocation, UniformAllocation
from pruneplug.pruning.patterns import Unstructured
from pruneplug.pruning.schedules import PruningSchedule

KERNEL = np.arange(1.0, 9.0, dtype="float32").reshape(4, 2)


def _model(schedule: PruningSchedule, layers: int = 1, **kwargs: Any) -> keras.Model:
    """Dense layers whose kernels hold 1 to 8 (the first), without bias."""
    dense = [keras.layers.Dense(2, use_bias=False, name=f"dense_{i}") for i in range(layers)]
    model = keras.Sequential([keras.Input((4,)), *dense])
    model.layers[0].kernel.assign(KERNEL)
    return prune(model, schedule, **kwargs)


def _kernel(model: keras.Model) -> np.ndarray:
    return np.array(model.layers[0].layer.kernel)


def _mask(model: keras.Model) -> np.ndarray:
    return np.array(model.layers[0].pruning_vars[0][1])


class Loop:
    """A training loop without data: the gradient is given."""

    def __init__(self, model: keras.Model):
        self.model = model
        self.optimizer = keras.optimizers.SGD(1.0)

    def step(self, change: Any = 0.0) -> None:
        """Take one optimizer step that adds `change` to every weight."""
        variables = self.model.trainable_variables
        gradients = [-np.zeros(v.shape, "float32") - change for v in variables]
        self.optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], variables)


def test_start_makes_the_update_that_is_due_at_step_1() -> None:
    model = _model(ConstantSparsity(0.5, begin_step=1))
    event = Pruner(model).start()
    assert event is not None
    assert event.step == 1
    np.testing.assert_array_equal(_kernel(model), KERNEL * (KERNEL > 4))
    (weight,) = event.weights
    assert (weight.name, weight.shape, weight.size) == ("dense_0/kernel", (4, 2), 8)
    assert (weight.kept, weight.sparsity, weight.target, weight.threshold) == (4, 0.5, 0.5, 5.0)
    assert event.total == 0.5
    assert event.metrics() == {
        "sparsity/dense_0/kernel": 0.5,
        "threshold/dense_0/kernel": 5.0,
        "sparsity/total": 0.5,
    }


@pytest.mark.parametrize("begin", [0, 2])
def test_start_leaves_alone_what_is_not_due(begin: int) -> None:
    model = _model(ConstantSparsity(0.5, begin_step=begin))
    pruner = Pruner(model)
    assert pruner.start() is None
    assert pruner.step == 0
    np.testing.assert_array_equal(_kernel(model), KERNEL)
    assert pruner.weights()[0].sparsity == 0.0


def test_after_k_steps_masks_are_those_due_at_k_plus_1() -> None:
    model = _model(PolynomialDecay(0.25, 0.75, begin_step=3, end_step=9, power=1, frequency=3))
    loop, pruner = Loop(model), Pruner(model)
    pruner.start()
    events = {}
    for step in range(1, 12):
        loop.step()
        event = pruner.advance()
        if event is not None:
            events[step] = (event.step, event.total)
            assert zeros(model.layers[0].layer.kernel) == 8 * event.total
    assert events == {2: (3, 0.25), 5: (6, 0.5), 8: (9, 0.75)}


def test_weights_are_zero_after_every_step_and_pruned_ones_may_come_back_at_an_update() -> None:
    model = _model(ConstantSparsity(0.5, begin_step=1, frequency=3))
    loop, pruner = Loop(model), Pruner(model)
    pruner.start()
    change = np.zeros((4, 2), "float32")
    change[0, 0] = 100
    # The next update is due at step 4, so the third step decides.
    for step, back in [(1, False), (2, False), (3, True)]:
        loop.step(change)
        pruner.advance()
        assert _mask(model)[0, 0] == back, step
        assert zeros(_kernel(model)) == 4
    # What came back has learned from the one step: it took the place of the smallest.
    assert _kernel(model)[0, 0] == 100
    assert _kernel(model)[2, 0] == 0


@settings(deadline=None, max_examples=40)
@given(
    begin=st.integers(0, 12),
    frequency=st.integers(1, 9),
    length=st.integers(0, 20),
    until=st.integers(1, 40),
)
def test_next_update_is_where_advance_updates(
    begin: int, frequency: int, length: int, until: int
) -> None:
    schedule = PolynomialDecay(0.1, 0.6, begin, begin + length, frequency=frequency)
    stepwise, jumping = Pruner(_model(schedule)), Pruner(_model(schedule))
    stepwise.start(), jumping.start()
    expected = [step for step in range(1, until + 1) if stepwise.advance() is not None]
    found = []
    while (step := jumping.next_update(until)) is not None:
        assert step > jumping.step
        assert jumping.advance(step - jumping.step) is not None
        found.append(step)
    assert found == expected


def test_steps_taken_at_once_end_like_steps_taken_one_by_one() -> None:
    schedule = PolynomialDecay(0.0, 0.75, begin_step=2, end_step=14, frequency=4)
    rng = np.random.default_rng(0)
    changes = rng.normal(size=(20, 4, 2)).astype("float32")
    one_by_one, at_once = (_model(schedule) for _ in range(2))
    loop, pruner = Loop(one_by_one), Pruner(one_by_one)
    pruner.start()
    for change in changes:
        loop.step(change)
        pruner.advance()
    loop, pruner = Loop(at_once), Pruner(at_once)
    pruner.start()
    while pruner.step < 20:
        until = pruner.next_update(20) or 20
        for change in changes[pruner.step : until]:
            loop.step(change)
        pruner.advance(until - pruner.step)
    np.testing.assert_array_equal(_mask(at_once), _mask(one_by_one))
    np.testing.assert_array_equal(_kernel(at_once), _kernel(one_by_one))


def test_of_several_updates_at_once_the_last_counts() -> None:
    model = _model(PolynomialDecay(0.25, 0.75, begin_step=2, end_step=6, power=1, frequency=2))
    pruner = Pruner(model)
    pruner.start()
    event = pruner.advance(10)
    assert event is not None
    assert (event.step, event.total) == (6, 0.75)
    assert pruner.advance(10) is None


def test_an_update_far_ahead_is_found() -> None:
    pruner = Pruner(_model(OneShotSparsity(0.5, step=25_000)))
    pruner.start()
    assert pruner.next_update(30_000) == 24_999
    assert pruner.next_update(24_998) is None
    assert pruner.advance(12_000) is None
    assert pruner.advance(12_998) is None
    event = pruner.advance(1)
    assert event is not None
    assert event.step == 25_000


def test_layers_follow_their_own_schedules() -> None:
    inputs = keras.Input((4,))
    first, second = (keras.layers.Dense(4, name=name) for name in ("first", "second"))
    x = prune(first, ConstantSparsity(0.5, 2, frequency=100))(inputs)
    x = prune(second, ConstantSparsity(0.75, 3, frequency=100))(x)
    pruner = Pruner(keras.Model(inputs, x))
    pruner.start()
    events = [pruner.advance() for _ in range(4)]
    assert [event and event.step for event in events] == [2, 3, None, None]
    assert [[w.sparsity for w in event.weights] for event in events if event] == [
        [0.5, 0.0],
        [0.5, 0.75],
    ]
    assert [weight.target for weight in pruner.weights()] == [0.5, 0.75]
    assert pruner.weights()[1].name == "second/kernel"
    assert pruner.target_reached()


def test_a_new_engine_goes_on_where_the_model_stands() -> None:
    model = _model(PolynomialDecay(0.25, 0.75, begin_step=1, end_step=9, power=1, frequency=4))
    loop, pruner = Loop(model), Pruner(model)
    pruner.start()
    for _ in range(5):
        loop.step()
        pruner.advance()
    mask = _mask(model)
    again = Pruner(model)
    # The update due at step 6 or before has been made: going on makes none twice.
    assert again.start() is None
    assert again.step == 5
    assert again.weights() == pruner.weights()
    assert again.weights()[0].target == 0.5
    np.testing.assert_array_equal(_mask(model), mask)
    assert not again.target_reached()
    assert [again.advance() is not None for _ in range(4)] == [False, False, True, False]
    assert again.target_reached()


def test_the_models_own_step_is_where_training_goes_on() -> None:
    model = _model(ConstantSparsity(0.5, begin_step=10, frequency=10))
    model.layers[0].pruning_step.assign(17)
    pruner = Pruner(model)
    event = pruner.start()
    # The update due at 10 was never made in this model.
    assert event is not None
    assert (event.step, pruner.step, int(model.layers[0].pruning_step)) == (10, 17, 17)
    assert pruner.next_update(100) == 19


def test_finish_applies_the_masks_once_more() -> None:
    model = _model(ConstantSparsity(0.5, begin_step=1, frequency=2))
    loop, pruner = Loop(model), Pruner(model)
    pruner.start()
    # As an optimizer does that writes averages over the weights when training ends.
    model.layers[0].layer.kernel.assign(KERNEL)
    pruner.finish()
    np.testing.assert_array_equal(_kernel(model), KERNEL * (KERNEL > 4))
    # No step is left dense any more, whatever trains the model next.
    for _ in range(4):
        loop.step(1.0)
        assert zeros(_kernel(model)) == 4


def test_the_dense_step_is_the_last_of_a_call_also_after_a_shorter_one() -> None:
    model = _model(OneShotSparsity(0.5, step=12))
    loop, pruner = Loop(model), Pruner(model)
    pruner.start(stride=4)
    for call in (4, 4, 2):
        for _ in range(call):
            loop.step()
        assert pruner.advance(None) is None
    # The next call ends at 14: the update due at 12 is made there, from that one step's weights.
    assert int(model.layers[0].step_counter.dense_step) == 14
    for _ in range(4):
        loop.step()
    event = pruner.advance(None)
    assert event is not None
    assert (event.step, event.total, pruner.step) == (12, 0.5, 14)


def test_frozen_weights_are_left_alone() -> None:
    model = _model(ConstantSparsity(0.5, begin_step=1, frequency=1), layers=2)
    model.layers[0].trainable = False
    pruner = Pruner(model)
    pruner.start()
    pruner.advance()
    np.testing.assert_array_equal(_kernel(model), KERNEL)
    assert [weight.name for weight in pruner.weights()] == ["dense_1/kernel"]


class Partly(keras.layers.Layer):
    """A layer of two prunable weights, the first of them frozen."""

    def build(self, shape: Any) -> None:
        self.first = self.add_weight(shape=(4, 2), trainable=False, name="first")
        self.second = self.add_weight(shape=(4, 2), name="second")

    def get_prunable_weights(self) -> list[keras.Variable]:
        return [self.first, self.second]

    def call(self, x: Any) -> Any:
        return x @ self.first + x @ self.second


def test_steps_are_counted_when_the_first_weight_of_a_layer_is_frozen() -> None:
    model = prune(keras.Sequential([keras.Input((4,)), Partly()]), ConstantSparsity(0.5, 1))
    pruner = Pruner(model)
    pruner.start()
    loop = Loop(model)
    loop.step()
    loop.step()
    assert int(model.layers[0].pruning_step) == 2


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_stops_the_update_and_changes_no_mask(wrong: float) -> None:
    model = _model(PolynomialDecay(0.25, 0.75, 1, 2, frequency=1), layers=2)
    pruner = Pruner(model)
    pruner.start()
    before = _mask(model)
    kernel = np.array(model.layers[1].layer.kernel)
    kernel[0, 0] = wrong
    model.layers[1].layer.kernel.assign(kernel)
    with pytest.raises(FloatingPointError, match="must be finite to be pruned"):
        pruner.advance()
    np.testing.assert_array_equal(_mask(model), before)


def test_a_weight_that_is_not_finite_changes_no_mask_of_another_schedule() -> None:
    model = keras.Sequential(
        [
            keras.Input((4,)),
            prune(keras.layers.Dense(4), ConstantSparsity(0.5, 2)),
            prune(keras.layers.Dense(4), ConstantSparsity(0.75, 2)),
        ]
    )
    pruner = Pruner(model)
    pruner.start()
    model.layers[1].layer.kernel.assign(np.full((4, 4), np.nan, np.float32))
    with pytest.raises(FloatingPointError, match="must be finite to be pruned"):
        pruner.advance()
    assert [weight.sparsity for weight in pruner.weights()] == [0.0, 0.0]


@pytest.mark.parametrize(
    "arguments", [{}, {"block_size": (2, 2)}, {"sparsity_m_by_n": (2, 4)}], ids=str
)
def test_an_event_says_what_the_model_holds(arguments: dict[str, Any]) -> None:
    first = prune(keras.layers.Dense(6), ConstantSparsity(0.5, 1), **arguments)
    half = keras.layers.Dense(4, dtype="float16")
    second = prune(half, ConstantSparsity(0.75, 2), **arguments)
    pruner = Pruner(keras.Sequential([keras.Input((8,)), first, second]))
    for call in (pruner.start, pruner.advance):
        event = call()
        # m-by-n masks are all made at step 1.
        assert event is not None or "sparsity_m_by_n" in arguments
        assert event is None or event.weights == pruner.weights()


def test_m_by_n_masks_are_made_once_at_step_1_whatever_the_schedule() -> None:
    model = _model(ConstantSparsity(0.9, begin_step=50), sparsity_m_by_n=(2, 4))
    pruner = Pruner(model)
    event = pruner.start()
    assert event is not None
    assert (event.step, event.total, event.weights[0].target) == (1, 0.5, 0.5)
    assert pruner.next_update(1000) is None
    np.testing.assert_array_equal(_kernel(model) != 0, KERNEL > 4)


def test_a_model_without_pruned_layers_has_nothing_to_do() -> None:
    pruner = Pruner(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))
    assert pruner.start() is None
    assert pruner.advance() is None
    assert pruner.next_update(100) is None
    assert pruner.weights() == ()
    assert pruner.layers == []
    pruner.finish()


@pytest.mark.parametrize(
    ("allocation", "held"), [(UniformAllocation(), 1), (GlobalAllocation(), 3)]
)
def test_magnitudes_are_computed_once_and_held_together_only_to_be_compared(
    allocation: Allocation, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[weakref.ref[np.ndarray]] = []
    alive: list[int] = []

    def scores(self: Unstructured, weights: np.ndarray) -> np.ndarray:
        magnitudes = np.abs(weights)
        made.append(weakref.ref(magnitudes))
        alive.append(sum(array() is not None for array in made))
        return magnitudes

    pruner = Pruner(_model(ConstantSparsity(0.5, 1), layers=3, allocation=allocation))
    monkeypatch.setattr(Unstructured, "scores", scores)
    assert pruner.start() is not None
    assert (len(made), max(alive)) == (3, held)
    assert not any(array() is not None for array in made)


def test_a_part_of_a_model_keeps_its_share_of_a_total() -> None:
    parts = [
        keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, name=name)], name=name)
        for name in ("encoder", "decoder")
    ]
    parts[0].layers[0].kernel.assign(np.arange(9.0, 25.0).reshape(4, 4))
    model = prune(keras.Sequential(parts), ConstantSparsity(0.5, 1), allocation=GlobalAllocation())
    model.build((None, 4))
    Pruner(model).start()
    encoder, decoder = model.layers
    # By themselves, the two do not have the sparsity that they have together.
    assert (zeros(encoder.layers[0].layer.kernel), zeros(decoder.layers[0].layer.kernel)) == (1, 15)
    for part in (encoder, decoder):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            strip_pruning(part)
    assert (zeros(encoder.layers[0].layer.kernel), zeros(decoder.layers[0].layer.kernel)) == (1, 15)


def test_averaged_masks_are_made_anew() -> None:
    model = _model(PolynomialDecay(0.25, 0.75, begin_step=1, end_step=9, power=1, frequency=4))
    loop, pruner = Loop(model), Pruner(model)
    pruner.start()
    states = []
    for _ in range(8):
        loop.step()
        pruner.advance()
        states.append(model.get_weights())
    assert pruner.target_reached()
    model.set_weights([(a.astype("f") + b) / 2 for a, b in zip(states[3], states[7], strict=True)])
    assert not pruner.target_reached()
    event = pruner.catch_up()
    assert event is not None
    # The mean of 4 and 8 steps.
    assert (pruner.step, event.step, event.total) == (6, 5, 0.5)


def test_a_training_that_ends_with_weights_as_they_were_before_it_has_taken_no_step() -> None:
    model = _model(ConstantSparsity(0.5, 4, frequency=4))
    untrained = model.get_weights()
    loop, pruner = Loop(model), Pruner(model)
    pruner.start()
    for _ in range(6):
        loop.step()
        pruner.advance()
    model.set_weights(untrained)
    pruner.finish()
    assert Pruner(model).step == 0
    assert [weight.sparsity for weight in pruner.weights()] == [0.0]
    pruner.start()
    for _ in range(3):
        loop.step()
        pruner.advance()
    assert pruner.target_reached()


def test_weights_come_back_at_the_next_update_after_a_state_was_loaded() -> None:
    model = _model(ConstantSparsity(0.5, 1, frequency=8))
    loop, pruner = Loop(model), Pruner(model)
    pruner.start()
    states = []
    for _ in range(7):
        loop.step()
        pruner.advance()
        states.append(model.get_weights())
    change = np.zeros((4, 2), "float32")
    change[0, 0] = 100
    for older, newer in [(0, 3), (1, 5), (0, 6)]:
        model.set_weights(states[older])
        pruner.start()
        loop.step()
        pruner.advance()
        model.set_weights(states[newer])
        for step in range(newer + 2, 9):  # the next update is due at 9
            assert not _mask(model)[0, 0]
            loop.step(change)
            pruner.advance()
            assert pruner.step == step
        assert _mask(model)[0, 0], (older, newer)


@pytest.mark.parametrize("by", ["set_weights", "load_weights", "tf.train.Checkpoint"])
def test_a_state_that_was_loaded_is_seen_at_the_next_call(by: str, tmp_path: Path) -> None:
    model = _model(ConstantSparsity(0.5, 60))
    loop, pruner = Loop(model), Pruner(model)
    _take(loop, pruner, 50)
    arrays, file = model.get_weights(), tmp_path / "model.weights.h5"
    model.save_weights(file)
    checkpoint = tf.train.Checkpoint(model=model)
    path = checkpoint.write(str(tmp_path / "checkpoint"))
    model.set_weights([np.zeros_like(array) for array in arrays])
    _take(loop, pruner, 12)
    if by == "set_weights":
        model.set_weights(arrays)
    elif by == "load_weights":
        model.load_weights(file)
    else:
        checkpoint.read(path)
    loop.step()
    pruner.advance()
    assert pruner.step == 51


def test_a_loop_that_begins_to_take_more_steps_is_followed() -> None:
    model = _model(ConstantSparsity(0.5, 10_000))
    loop, pruner = Loop(model), Pruner(model)
    _take(loop, pruner, 15)
    for _ in range(20):
        loop.step()
        loop.step()
        pruner.advance()
    assert (pruner.step, pruner.rate) == (55, 2)


def _take(loop: Loop, pruner: Pruner, steps: int) -> None:
    pruner.start()
    for _ in range(steps):
        loop.step()
        pruner.advance()


def test_a_step_left_dense_gets_its_update_though_a_state_was_loaded_before_it() -> None:
    model = _model(ConstantSparsity(0.5, 1, frequency=3))
    model.compile(keras.optimizers.SGD(0.1, gradient_accumulation_steps=3), "mse")
    x, y = np.ones((2, 4), np.float32), np.zeros((2, 2), np.float32)
    pruner = Pruner(model)
    pruner.start()
    for _ in range(8):
        model.train_on_batch(x, y)
        pruner.advance()
    # Ahead of the optimizer, which changes weights at the next step.
    model.layers[0].pruning_step.assign(12)
    pruner.catch_up()
    for _ in range(6):
        model.train_on_batch(x, y)
        pruner.advance()
        assert not np.any(_kernel(model)[_mask(model) == 0])
