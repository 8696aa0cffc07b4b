"""An end below the target is said, once; training that nobody steps is refused, or said."""

import copy
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from sparse import check_sparse, dense_model

from pruneplug import (
    ConstantSparsity,
    LinearSparsity,
    Pruner,
    UpdatePruningStep,
    prune_low_magnitude,
    strip_pruning,
)

BATCH = 4
X, Y = (np.random.default_rng(0).normal(size=(40, n)).astype("f") for n in (8, 1))
# 0.4 after ten steps, 0.8 after twenty.
SCHEDULE = LinearSparsity(0.0, 0.8, begin_step=0, end_step=20, frequency=5)


def _model(schedule: Any = SCHEDULE) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = prune_low_magnitude(dense_model(), schedule)
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=False)
    return model


def _fit(model: keras.Model, *callbacks: Any, data: Any = (X, Y), **kwargs: Any) -> list[str]:
    """Fit one epoch of ten steps, and return what was warned of."""
    arguments = {"callbacks": [UpdatePruningStep(), *callbacks], "verbose": 0} | kwargs
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        if isinstance(data, tuple):
            model.fit(*data, batch_size=BATCH, shuffle=False, **arguments)
        else:
            model.fit(data, **arguments)
    return [str(warning.message) for warning in seen if "prun" in str(warning.message)]


def _strip(model: keras.Model) -> list[str]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        strip_pruning(model)
    return [str(warning.message) for warning in seen]


def _unknown_length() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH).filter(lambda x, y: True)


@pytest.mark.parametrize("known", [True, False])
def test_an_end_below_the_target_is_said_once_with_both_numbers(known: bool) -> None:
    model = _model()
    (message,) = _fit(model, data=(X, Y) if known else _unknown_length())
    # Of 48 and 6 weights, 0.3889 are zeros where 0.4 was asked for.
    assert f"{0.4 if known else 0.3889:.4f} instead of 0.8000" in message
    assert Pruner(model).step == 10
    assert _strip(model) == []


@pytest.mark.parametrize("known", [True, False])
def test_a_target_that_is_reached_is_not_spoken_of(known: bool) -> None:
    model = _model()
    assert _fit(model, epochs=2, data=(X, Y) if known else _unknown_length()) == []
    assert _strip(model) == []


def test_an_update_that_accumulation_makes_early_is_counted_on() -> None:
    # It is due at 12, two steps after the last one, and weights change at 9 and next at 12.
    model = _model(LinearSparsity(0.0, 0.8, begin_step=0, end_step=12, frequency=4))
    model.compile(keras.optimizers.SGD(0.1, gradient_accumulation_steps=3), "mse")
    assert _fit(model) == []
    check_sparse(model, 0.8)


def test_a_training_that_is_stopped_early_says_where_it_stands() -> None:
    stop = keras.callbacks.EarlyStopping("loss", mode="max", patience=1)
    (message,) = _fit(_model(LinearSparsity(0.0, 0.8, 0, 40, frequency=5)), stop, epochs=5)
    assert "has not reached its target: the masks" in message
    assert "instead of 0.8000" in message


def test_a_fit_that_begins_late_is_planned_from_there() -> None:
    (message,) = _fit(_model(), epochs=3, initial_epoch=2)
    assert "within 10 planned steps" in message
    assert _fit(_model(), epochs=4, initial_epoch=2) == []


def test_a_schedule_that_goes_on_for_ever_is_reached_from_its_first_update() -> None:
    assert _fit(_model(ConstantSparsity(0.5, 0, frequency=3))) == []


def test_sparsity_that_falls_later_is_said_again() -> None:
    model = _model()
    weights = model.get_weights()
    assert len(_fit(model)) == 1
    model.set_weights(weights)
    (message,) = _strip(model)
    assert "at a sparsity of 0.0000 instead of 0.8000" in message


def test_a_loop_of_ones_own_is_told_at_its_end() -> None:
    pruner = Pruner(_model())
    pruner.start()
    pruner.advance(10)
    with pytest.warns(UserWarning, match=r"at a sparsity of 0\.\d+ instead of 0\.8000 after 10"):
        pruner.finish()


def test_a_model_that_was_never_trained_is_said_to_be_dense() -> None:
    (message,) = _strip(_model())
    assert "0.0000 instead of 0.8000" in message


@pytest.mark.parametrize("compiled", [True, False])
def test_training_that_nobody_steps_is_refused_and_can_be_mended(compiled: bool) -> None:
    model = _model()
    model.run_eagerly = not compiled
    for train in (
        lambda: model.fit(X, Y, batch_size=BATCH, verbose=0),
        lambda: model.train_on_batch(X, Y),
    ):
        with pytest.raises(RuntimeError, match=r"must be stepped by an engine.*UpdatePruningStep"):
            train()
    assert Pruner(model).step == 0
    assert _fit(model, epochs=2) == []
    check_sparse(model, 0.8)


def test_a_tape_that_nobody_steps_is_refused() -> None:
    model = _model()
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(X, training=True))
    gradients = tape.gradient(loss, model.trainable_variables)
    with pytest.raises(RuntimeError, match="must be stepped by an engine"):
        model.optimizer.apply(gradients, model.trainable_variables)


def test_an_engine_that_is_gone_steps_nothing() -> None:
    model = _model()
    Pruner(model).start()
    with pytest.raises(RuntimeError, match="must be stepped by an engine"):
        model.train_on_batch(X, Y)


def test_steps_compiled_before_are_said_and_do_not_count(tmp_path: Path) -> None:
    model = _model()
    assert len(_fit(model)) == 1
    seen = "was trained for 10 steps without"
    model.fit(X, Y, batch_size=BATCH, verbose=0)
    with pytest.warns(UserWarning, match=seen):
        model.save(tmp_path / "model.keras")
    model.fit(X, Y, batch_size=BATCH, verbose=0)
    (message,) = _fit(model)
    assert seen in message
    assert Pruner(model).step == 20
    check_sparse(model, 0.8)


def test_masks_at_their_target_may_stay_as_they_are(tmp_path: Path) -> None:
    model = _model(ConstantSparsity(0.5, 1, frequency=1))
    _fit(model)
    model.save(tmp_path / "model.keras")
    for tuned in (model, keras.models.load_model(tmp_path / "model.keras")):
        step = Pruner(tuned).step
        tuned.compile("adam", "mse", jit_compile=False)
        before = [np.array(mask) for layer in tuned.layers for _, mask, _ in layer.pruning_vars]
        tuned.fit(X, Y, verbose=0)
        after = [np.array(mask) for layer in tuned.layers for _, mask, _ in layer.pruning_vars]
        assert all(map(np.array_equal, before, after))
        check_sparse(tuned, 0.5)
        assert Pruner(tuned).step == step


def test_a_model_without_sparsity_needs_no_engine() -> None:
    model = _model(ConstantSparsity(0.0, 0))
    model.fit(X, Y, verbose=0)
    assert _strip(copy.copy(model)) == []
