from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import pruneplug
from pruneplug.training.feeds.base import Data, train_feed
from pruneplug.training.model.build import build_state
from pruneplug.training.steps import xla
from pruneplug.training.steps.loop import StepLoop
from pruneplug.training.steps.xla import Compilation, choose

layers = keras.layers
LOSS = "sparse_categorical_crossentropy"
COMPILING = {"optimizer": "adam", "loss": LOSS, "metrics": ["accuracy"], "jit_compile": "auto"}
LONG = 5_000

pytestmark = pytest.mark.skipif(
    bool(tf.config.list_physical_devices("GPU")), reason="the rule for a CPU"
)


def _data(shape: tuple[int, ...] = (6,)) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(24, *shape)).astype("float32")
    return x, np.arange(len(x)) % 3


def _model(*hidden: keras.Layer, shape: tuple[int, ...] = (6,)) -> keras.Model:
    dense = keras.Sequential(
        [keras.Input(shape), *hidden, layers.Flatten(), layers.Dense(3, "softmax")]
    )
    return pruneplug.prune_low_magnitude(dense, pruneplug.ConstantSparsity(0.5, 0))


def _chosen(
    model: keras.Model, data: Data | None = None, steps: int = LONG, **changes: Any
) -> Compilation:
    compiling = COMPILING | changes
    model.compile(**compiling)
    feed = train_feed(_data() if data is None else data, 8, 0, None, model.distribute_strategy)
    build_state(model, feed)
    return choose(model, feed, compiling, steps)


class _OwnStep(keras.Sequential):
    def train_step(self, data: Any) -> Any:
        return super().train_step(data)


class _OwnConstraint(keras.constraints.Constraint):
    def __call__(self, w: Any) -> Any:
        return w


def _own_loss(y_true: Any, y_pred: Any) -> Any:
    return keras.losses.sparse_categorical_crossentropy(y_true, y_pred)


def _own_activation(x: Any) -> Any:
    return keras.ops.relu(x)


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xla.os, "cpu_count", lambda: 2)


def test_small_dense_models_on_arrays_run_whole_windows() -> None:
    assert _chosen(_model(layers.Dense(8, "relu"), layers.BatchNormalization())) is Compilation.LOOP


def test_large_dense_models_and_data_sets_run_whole_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    data = tf.data.Dataset.from_tensor_slices(_data()).batch(8)
    assert _chosen(_model(layers.Dense(8)), data) is Compilation.STEP
    model = _model(layers.Dense(60_000))
    assert _chosen(model) is Compilation.LOOP
    monkeypatch.setattr(xla.os, "cpu_count", lambda: 64)
    assert _chosen(model) is Compilation.STEP


def test_short_trainings_compile_nothing() -> None:
    assert _chosen(_model(layers.Dense(8)), steps=LONG // 2) is Compilation.OFF
    assert _chosen(_model(layers.Dropout(0.5)), steps=LONG // 2) is Compilation.OFF
    # The more weights there are, the sooner it pays.
    assert _chosen(_model(layers.Dense(60_000)), steps=LONG // 2) is Compilation.LOOP


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.Dropout(0.5),
        lambda: layers.Dense(8, activation=_own_activation),
        lambda: layers.Lambda(lambda x: x),
        lambda: keras.Sequential([layers.Dense(8), layers.Dropout(0.5)]),
    ],
    ids=["random", "own activation", "own layer", "nested"],
)
def test_other_models_have_their_update_compiled(layer: Callable[[], keras.Layer]) -> None:
    assert _chosen(_model(layer())) is Compilation.UPDATE


def test_convolutions_have_their_update_compiled() -> None:
    model = _model(layers.Conv2D(4, 3), shape=(8, 8, 1))
    assert _chosen(model, _data((8, 8, 1))) is Compilation.UPDATE


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": _own_loss},
        {"metrics": [_own_loss]},
        {"optimizer": type("Own", (keras.optimizers.SGD,), {"__module__": "mine"})()},
    ],
    ids=["loss", "metric", "optimizer"],
)
def test_nothing_is_compiled_that_the_user_wrote(changes: dict[str, Any]) -> None:
    assert _chosen(_model(layers.Dense(8)), **changes) is Compilation.OFF


def test_a_step_or_constraint_of_the_users_own_is_not_compiled() -> None:
    assert _chosen(_model(layers.Dense(8, kernel_constraint=_OwnConstraint()))) is Compilation.OFF
    own = _OwnStep([keras.Input((6,)), layers.Dense(3, "softmax")])
    assert _chosen(own) is Compilation.OFF


@pytest.mark.parametrize(("asked", "chosen"), [(True, "STEP"), (False, "OFF")])
def test_the_user_has_the_last_word(asked: bool, chosen: str) -> None:
    assert _chosen(_model(layers.Dense(8)), jit_compile=asked) is Compilation[chosen]


def test_distribution_strategies_follow_keras_rule() -> None:
    with tf.distribute.OneDeviceStrategy("CPU:0").scope():
        model = keras.Sequential([keras.Input((6,)), layers.Dense(3, "softmax")])
    assert _chosen(model) is Compilation.OFF


def _embedding() -> list[keras.Layer]:
    return [layers.Lambda(lambda x: keras.ops.abs(x) * 4), layers.Embedding(20, 8)]


@pytest.mark.parametrize(
    ("hidden", "optimizer"),
    [
        (_embedding, lambda: keras.optimizers.Adam(0.01)),
        (lambda: [layers.Dense(8)], lambda: keras.optimizers.Adam(0.01, use_ema=True)),
        (lambda: [layers.Dense(8)], lambda: keras.optimizers.SGD(0.1, 0.9, global_clipnorm=1.0)),
        (
            lambda: [layers.Dense(8)],
            lambda: keras.optimizers.AdamW(0.01, gradient_accumulation_steps=2),
        ),
        (
            lambda: [layers.Dense(8, dtype="mixed_float16")],
            lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)),
        ),
    ],
    ids=["sparse gradients", "EMA", "clipping", "accumulation", "loss scaling"],
)
def test_the_compiled_update_is_the_optimizers(
    hidden: Callable[[], list[keras.Layer]], optimizer: Callable[[], keras.optimizers.Optimizer]
) -> None:
    trained = []
    for mode in (Compilation.OFF, Compilation.UPDATE):
        keras.utils.set_random_seed(0)
        model, own = _model(*hidden()), optimizer()
        before = set(vars(own))
        model.compile(own, LOSS, jit_compile=False)
        feed = train_feed(_data(), 8, 0, None, model.distribute_strategy)
        build_state(model, feed)
        engine = pruneplug.Pruner(model)
        engine.start()
        loop = StepLoop(model, feed, model.train_step, mode)
        loop.trace()
        for first in range(3):
            loop.run(first, 1)
            engine.advance()
        assert "apply" not in set(vars(own)) - before
        trained.append([*model.get_weights(), *map(np.asarray, own.variables)])
    for plain, compiled in zip(*trained, strict=True):
        np.testing.assert_allclose(plain, compiled, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(plain == 0, compiled == 0)
