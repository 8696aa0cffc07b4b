"""The model is the truth: whatever stands behind is brought up to date, at any call."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from sparse import check_sparse, dense_model, masks

from pruneplug import (
    ConstantSparsity,
    GlobalAllocation,
    LinearSparsity,
    OneShotSparsity,
    Pruner,
    PruningSchedule,
    UpdatePruningStep,
    prune_low_magnitude,
    sparsity_report,
    strip_pruning,
)
from pruneplug.pruning.cohort import cohorts
from pruneplug.pruning.schedules.reach import last_due
from pruneplug.pruning.weights import named_layers

BATCH = 4
X, Y = (np.random.default_rng(0).normal(size=(40, n)).astype("f") for n in (8, 1))
SCHEDULE = LinearSparsity(0.0, 0.8, begin_step=0, end_step=20, frequency=5)


def _model(schedule: PruningSchedule = SCHEDULE, **kwargs: Any) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = prune_low_magnitude(dense_model(), schedule, **kwargs)
    model.compile(keras.optimizers.Adam(0.01), "mse", run_eagerly=True)
    return model


def _fit(model: keras.Model, *callbacks: keras.callbacks.Callback, **kwargs: Any) -> None:
    model.fit(X, Y, batch_size=BATCH, verbose=0, callbacks=callbacks, **kwargs)


class At(keras.callbacks.Callback):
    """Does something at the beginning of an epoch or of the training."""

    def __init__(self, epoch: int, action: Callable[[keras.Model], object]):
        super().__init__()
        self.epoch = epoch
        self.action = action

    def on_train_begin(self, logs: Any = None) -> None:
        if self.epoch < 0:
            self.action(self.model)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch:
            self.action(self.model)


@pytest.mark.parametrize("epoch", [-1, 0, 1])
@pytest.mark.parametrize("first", [True, False])
def test_weights_loaded_by_another_callback_go_on_from_where_they_stand(
    epoch: int, first: bool
) -> None:
    """As BackupAndRestore does, or one that brings back the best weights."""
    later = _model()
    _fit(later, UpdatePruningStep(), epochs=2)
    weights = later.get_weights()
    model = _model()
    load = At(epoch, lambda m: m.set_weights(weights))
    step = UpdatePruningStep()
    _fit(model, *((load, step) if first else (step, load)), epochs=2)
    check_sparse(model, 0.8)
    assert Pruner(model).step == 20 + (20 if epoch < 1 else 10)


def test_earlier_weights_loaded_in_between_are_pruned_again() -> None:
    model = _model()
    states: list[Any] = []
    save = At(1, lambda m: states.append(m.get_weights()))
    load = At(2, lambda m: m.set_weights(states[0]))
    _fit(model, UpdatePruningStep(), save, load, epochs=4)
    check_sparse(model, 0.8)
    assert Pruner(model).step == 30


@pytest.mark.parametrize("schedule", [SCHEDULE, OneShotSparsity(0.75, 3)], ids=str)
@pytest.mark.parametrize("mode", ["fit", "start", "finish", "strip"])
def test_averaged_weights_are_brought_to_what_is_due(schedule: Any, mode: str) -> None:
    model = _model(schedule)
    states = []
    for _ in range(3):
        _fit(model, UpdatePruningStep())
        states.append(model.get_weights())
    averages = [np.mean(values, axis=0) for values in zip(*states, strict=True)]
    kernels = [v for v in model.trainable_variables if "kernel" in v.path]
    model.set_weights(averages)
    # The masks are those of any of the states.
    model.layers[0].pruning_vars[0][1].assign(np.ones((8, 6), bool))
    if mode == "fit":
        _fit(model, UpdatePruningStep())
    elif mode == "strip":
        strip_pruning(model)
    else:
        getattr(Pruner(model), mode)()
    sparsity = schedule.target
    for kernel in kernels:
        kept = max(round(np.size(kernel) * (1 - sparsity)), 1)
        assert np.count_nonzero(np.asarray(kernel)) == kept


@pytest.mark.parametrize(
    ("schedule", "kwargs"),
    [
        (SCHEDULE, {}),
        (OneShotSparsity(0.5, step=2), {}),
        (ConstantSparsity(0.5, 1, end_step=5), {}),
        (SCHEDULE, {"sparsity_m_by_n": (2, 4)}),
        (SCHEDULE, {"allocation": GlobalAllocation()}),
    ],
    ids=["ramp", "one shot", "ended", "m by n", "global"],
)
def test_a_layer_that_is_thawed_after_the_schedule_is_brought_to_the_target(
    schedule: PruningSchedule, kwargs: Any
) -> None:
    model = _model(schedule, **kwargs)
    model.layers[0].trainable = False
    _fit(model, UpdatePruningStep(), epochs=2)
    assert [w.name for w in sparsity_report(model).weights] == ["dense_1/kernel"]
    assert np.all(masks(model)[0] == 1)
    model.layers[0].trainable = True
    model.compile("adam", "mse", run_eagerly=True)
    _fit(model, UpdatePruningStep())
    target = 0.5 if "sparsity_m_by_n" in kwargs else schedule.target
    report = sparsity_report(model)
    assert len(report.weights) == 2
    assert report.total == pytest.approx(target, abs=0.02)


def test_a_layer_that_is_thawed_in_a_loop_of_ones_own_is_seen_at_once() -> None:
    model = _model(ConstantSparsity(0.5, 1))
    model.layers[0].trainable = False
    pruner = Pruner(model)
    pruner.start()
    assert pruner.advance() is None
    model.layers[0].trainable = True
    event = pruner.advance()
    assert event is not None
    assert [weight.sparsity for weight in event.weights] == [0.5, 0.5]


def test_a_file_saved_before_the_callback_is_sparse(tmp_path: Path) -> None:
    """A callback that stands before ours sees the step that is left dense for the update."""
    model = _model(ConstantSparsity(0.5, 1, frequency=3))
    path = tmp_path / "{batch}.keras"
    checkpoint = keras.callbacks.ModelCheckpoint(str(path), save_freq=1)
    _fit(model, checkpoint, UpdatePruningStep())
    plain = _model(ConstantSparsity(0.5, 1, frequency=3))
    _fit(plain, UpdatePruningStep())
    files = sorted(tmp_path.iterdir())
    assert len(files) == 10
    for file in files:
        check_sparse(keras.models.load_model(file), 0.5)
    # Saving changes nothing in how training goes on.
    for one, other in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("per_batch", [1, 2, 3, 5])
def test_several_optimizer_steps_a_batch_leave_weights_sparse_at_its_end(per_batch: int) -> None:
    model = _model(ConstantSparsity(0.5, 2, frequency=4))
    optimizer = keras.optimizers.SGD(0.1)
    pruner = Pruner(model)
    pruner.start()
    rng = np.random.default_rng(0)
    for batch in range(1, 13):
        for _ in range(per_batch):
            gradients = [rng.normal(size=v.shape).astype("f") for v in model.trainable_variables]
            optimizer.apply(gradients, model.trainable_variables)
        pruner.advance()
        assert pruner.step == per_batch * batch
        assert all(weight.sparsity in (0.0, 0.5) for weight in pruner.weights())
        if per_batch * batch >= 2:
            check_sparse(model, 0.5)


def test_the_layer_that_trains_most_keeps_the_time() -> None:
    model = _model(ConstantSparsity(0.5, 6, end_step=6))
    first, second = (layer.trainable_variables for layer in model.layers)
    optimizers = [keras.optimizers.SGD(0.1) for _ in range(2)]
    pruner = Pruner(model)
    pruner.start()
    for _ in range(3):
        for optimizer, variables in zip(optimizers, (first, second), strict=True):
            for _ in range(1 if variables is first else 2):
                optimizer.apply([np.ones(v.shape, "f") for v in variables], variables)
        pruner.advance()
    assert (pruner.step, pruner.rate) == (6, 2)
    assert pruner.target_reached()


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # as Keras says of any such data
def test_a_step_whose_data_has_ended_does_not_count() -> None:
    import tensorflow as tf

    model = _model(ConstantSparsity(0.5, 1, frequency=4))
    model.run_eagerly = False
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH).filter(lambda x, y: True)
    model.fit(data, epochs=2, verbose=0, shuffle=False, callbacks=[UpdatePruningStep()])
    assert Pruner(model).step == 20


class Asked(PruningSchedule):
    """A schedule of one's own that notes the steps it is asked about."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, step: int) -> tuple[bool, float]:
        self.asked.append(int(step))
        return step % 4 == 0, 0.5

    def get_config(self) -> dict[str, Any]:
        return {}


def test_a_schedule_is_asked_no_earlier_than_it_must_be() -> None:
    schedule = Asked()
    pruner = Pruner(_model(schedule))
    pruner.start()
    for step in range(1, 20):
        pruner.advance()
        near = [asked for asked in schedule.asked if asked < 2**31 - 1]
        assert max(near) <= step + 2
    assert pruner.step == 19
    check_sparse(pruner._model, 0.5)


def test_the_last_due_step_is_looked_for_from_the_end() -> None:
    schedule = Asked()
    assert last_due(schedule, 0, 50_003) == 50_000
    assert len(schedule.asked) < 10
    assert last_due(schedule, 50_000, 50_003) is None
    assert last_due(SCHEDULE, 0, 12) == 10
    assert last_due(SCHEDULE, 0, 4) is None


def test_weights_that_share_a_total_are_one_cohort_by_what_they_follow() -> None:
    inputs = keras.Input((4,))
    x = inputs
    for schedule in (SCHEDULE, ConstantSparsity(0.5, 1), SCHEDULE):
        x = prune_low_magnitude(keras.layers.Dense(4), schedule)(x)
    found = cohorts(named_layers(keras.Model(inputs, x)))
    assert [len(cohort.weights) for cohort in found] == [2, 1]
