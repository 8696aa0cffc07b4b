"""Pruning in `fit`, and in loops that call the callbacks by hand."""

import importlib.util
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from sparse import check_sparse, dense_model, zeros

from pruneplug import (
    ConstantSparsity,
    PolynomialDecay,
    PruningSummaries,
    UpdatePruningStep,
    prune_low_magnitude,
    sparsity_report,
)

SCHEDULE = PolynomialDecay(0.2, 0.8, begin_step=2, end_step=17, frequency=5)
BATCH = 4
RNG = np.random.default_rng(0)
X, Y = (RNG.normal(size=(100, n)).astype("float32") for n in (8, 1))


def _compiled(schedule: Any = SCHEDULE, **kwargs: Any) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = prune_low_magnitude(dense_model(), schedule)
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=False, **kwargs)
    return model


def _fit(model: keras.Model, steps: int, *callbacks: keras.callbacks.Callback, **kwargs: Any):
    arguments = {"batch_size": BATCH, "verbose": 0, "shuffle": False} | kwargs
    count = steps * BATCH
    return model.fit(X[:count], Y[:count], callbacks=[UpdatePruningStep(), *callbacks], **arguments)


def _same(one: keras.Model, other: keras.Model) -> None:
    for a, b in zip(one.variables, other.variables, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)


def _sparsities(model: keras.Model) -> list[float]:
    return [weight.sparsity for weight in sparsity_report(model).weights]


def test_fit_prunes_to_the_target() -> None:
    model = _compiled()
    _fit(model, 20)
    check_sparse(model, 0.8)
    assert int(model.layers[0].pruning_step) == 20


def test_weights_are_sparse_at_every_batch_end_wherever_the_callback_stands() -> None:
    model = _compiled(ConstantSparsity(0.5, begin_step=1, frequency=3))
    seen = []
    before, after = (
        keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: seen.append(zeros(model.layers[0].layer.kernel))
        )
        for _ in range(2)
    )
    callbacks = [before, UpdatePruningStep(), after]
    model.fit(X[:40], Y[:40], batch_size=BATCH, verbose=0, callbacks=callbacks)
    dense_before_the_update = seen[::2]
    assert set(seen[1::2]) == {24}
    # A callback that stands before ours sees the one step that is left dense for the update.
    dense = [step for step, count in enumerate(dense_before_the_update, 1) if count != 24]
    assert dense == [3, 6, 9]


def test_several_fits_continue() -> None:
    whole, parts = _compiled(), _compiled()
    _fit(whole, 20)
    callback = UpdatePruningStep()
    for begin, end in [(0, 7), (7, 8), (8, 20)]:
        rows = slice(begin * BATCH, end * BATCH)
        parts.fit(
            X[rows], Y[rows], batch_size=BATCH, verbose=0, shuffle=False, callbacks=[callback]
        )
    _same(whole, parts)


def test_epochs_continue() -> None:
    model = _compiled()
    _fit(model, 5, epochs=4)
    check_sparse(model, 0.8)
    assert int(model.layers[0].pruning_step) == 20


@pytest.mark.parametrize("per_call", [3, 4, 20])
def test_several_steps_in_one_execution_and_a_shorter_last_one(per_call: int) -> None:
    model = _compiled(steps_per_execution=per_call)
    seen = []
    record = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(
            (int(model.layers[0].pruning_step), zeros(model.layers[0].layer.kernel))
        )
    )
    _fit(model, 10, record, epochs=3)
    check_sparse(model, 0.8)
    assert seen[-1][0] == 30
    schedule_steps = [2, 7, 12, 17]
    for step, count in seen:
        due = [due for due in schedule_steps if due <= step + 1]
        assert count == (48 - round(48 * (1 - SCHEDULE.sparsity(due[-1]))) if due else 0), step


def test_an_execution_that_ends_at_the_update_is_like_single_steps() -> None:
    # Updates are due at 5, 9, 13, ..., one step after every fourth, where an execution ends.
    schedule = PolynomialDecay(0.2, 0.8, begin_step=5, end_step=17, frequency=4)
    single, several = _compiled(schedule), _compiled(schedule, steps_per_execution=4)
    _fit(single, 20)
    _fit(several, 20)
    _same(single, several)


def _by_hand(model: keras.Model, steps: int, *, says_end: bool) -> None:
    """The loop of TFMOT's guide, which does not say when a batch ends."""
    callback = UpdatePruningStep()
    callback.set_model(model)
    callback.on_train_begin()
    for step in range(steps):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        callback.on_train_batch_begin(batch=-1)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(X[rows], training=True) - Y[rows]))
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        if says_end:
            callback.on_train_batch_end(batch=-1)
    callback.on_epoch_end(batch=-1)


@pytest.mark.parametrize("says_end", [False, True])
def test_a_loop_of_ones_own_is_like_fit(says_end: bool) -> None:
    fitted, looped = _compiled(), _compiled()
    _fit(fitted, 20)
    _by_hand(looped, 20, says_end=says_end)
    check_sparse(looped, 0.8)
    for a, b in zip(fitted.get_weights(), looped.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_validation_and_evaluation_change_nothing() -> None:
    model = _compiled()
    _fit(model, 8)
    before = [np.array(v) for v in model.variables]
    model.predict(X[:8], verbose=0)
    model(X[:8])
    model.evaluate(X[:8], Y[:8], verbose=0)
    for old, new in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_model_without_pruned_layers_gets_a_warning() -> None:
    model = dense_model()
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="nothing to do: .* Pass it through prune_low_magnitude"):
        _fit(model, 1)


def test_summaries_hold_sparsity_and_threshold_of_each_weight(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model = _compiled()
    _fit(model, 10, PruningSummaries(log_dir=str(tmp_path)), epochs=2)
    events = EventAccumulator(str(tmp_path / "train"), size_guidance={"tensors": 0})
    events.Reload()
    names = {w.name for w in sparsity_report(model).weights}
    tags = {f"{kind}/{name}" for name in names for kind in ("sparsity", "threshold")}
    assert tags | {"sparsity/total"} <= set(events.Tags()["tensors"])
    points = events.Tensors("sparsity/total")
    assert [point.step for point in points] == [0, 10, 20]
    values = [float(tf.make_ndarray(point.tensor_proto)) for point in points]
    assert values[0] == 0.0
    assert values[-1] == pytest.approx(sparsity_report(model).total)


def _read(folder: Path, tag: str) -> list[int]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    steps: list[int] = []
    for file in sorted(folder.iterdir()):
        events = EventAccumulator(str(file), size_guidance={"tensors": 0})
        events.Reload()
        if tag in events.Tags()["tensors"]:
            steps += [point.step for point in events.Tensors(tag)]
    return steps


def test_summaries_go_on_when_the_model_is_compiled_again(tmp_path: Path) -> None:
    model = _compiled()
    for rate in (0.01, 0.001):
        model.compile(keras.optimizers.Adam(rate), "mse", jit_compile=False)
        _fit(model, 10, PruningSummaries(str(tmp_path)))
    assert _read(tmp_path / "train", "sparsity/total") == [0, 10, 10, 20]
    tag = "prune_low_magnitude_dense/mask:0/sparsity"
    assert _read(tmp_path / "metrics", tag) == [0, 10, 10, 20]


def test_each_weight_of_a_layer_has_a_tag_of_its_own(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((2, 4)), keras.layers.LSTM(3)])
    model = prune_low_magnitude(model, ConstantSparsity(0.5, 1))
    summaries = PruningSummaries(str(tmp_path))
    summaries.set_model(model)
    model.compile("sgd", "mse")
    # In a loop of one's own nothing but this is called, and it has been written then.
    summaries.on_epoch_begin(epoch=-1)
    for tag in ("mask:0/sparsity", "mask_1:0/sparsity", "threshold:0/threshold"):
        assert _read(tmp_path / "metrics", f"prune_low_magnitude_lstm/{tag}") == [0]


def test_tensorboard_draws_masks(tmp_path: Path) -> None:
    model = _compiled(ConstantSparsity(0.5, 1))
    for board in (keras.callbacks.TensorBoard, PruningSummaries):
        folder = tmp_path / board.__name__
        _fit(model, 1, board(str(folder), histogram_freq=1, write_images=True))
        mask = "prune_low_magnitude_dense/kernel_mask"
        assert _read(folder / "train", f"{mask}/image") == [0]
        assert _read(folder / "train", f"{mask}/histogram") == [0]


@pytest.mark.parametrize("wrong", ["", None, 3])
def test_summaries_need_a_folder(wrong: Any) -> None:
    with pytest.raises(ValueError, match="log_dir must be a non-empty string; got log_dir="):
        PruningSummaries(log_dir=wrong)


def test_summaries_without_tensorboard_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        PruningSummaries(log_dir=str(tmp_path))


def test_a_schedule_that_cannot_fire_in_this_fit_is_a_warning() -> None:
    model = _compiled(ConstantSparsity(0.5, 0, frequency=100))
    with pytest.warns(UserWarning, match="must prune within the planned training.*80 planned"):
        _fit(model, 20, epochs=4)


def test_a_schedule_that_this_fit_cannot_finish_is_a_warning() -> None:
    model = _compiled(PolynomialDecay(0.0, 0.8, 0, 100, power=1, frequency=25))
    with pytest.warns(UserWarning, match=r"at step 50, and reaches a sparsity of 0\.4000"):
        _fit(model, 20, epochs=3)
