import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from places import ROOT

from pruneplug.training.feeds.base import evaluation_feed
from pruneplug.training.model.build import build_state
from pruneplug.training.steps.loop import StepLoop
from pruneplug.training.steps.xla import Compilation

X = np.random.default_rng(0).normal(size=(70, 5))
Y = np.arange(70) % 3


def build(jit: bool = False) -> keras.Model:
    keras.utils.set_random_seed(1)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(8),
            layers.BatchNormalization(),
            layers.Dropout(0.2),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["acc"], jit_compile=jit)
    return model


def state(model: keras.Model) -> list[np.ndarray]:
    variables = [*model.variables, *model.optimizer.variables]
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def feed_for(model: keras.Model, samples: int = 70):  # type: ignore[no-untyped-def]
    return evaluation_feed((X[:samples], Y[:samples]), "data", 16, model.distribute_strategy)


@pytest.mark.parametrize(("jit", "samples"), [(False, 70), (False, 64), (True, 70)])
def test_equals_keras_fit_and_evaluate_bit_by_bit(jit: bool, samples: int) -> None:
    model, other = build(jit), build(jit)
    history = other.fit(
        X[:samples], Y[:samples], batch_size=16, epochs=2, shuffle=False, verbose=0
    ).history
    feed = feed_for(model, samples)
    loop = StepLoop(model, feed, model.train_step)
    for epoch in range(2):
        model.reset_metrics()
        loop.run(0, 3)
        logs = loop.read(loop.run(3, feed.steps_per_epoch - 3))
        assert logs == {name: values[epoch] for name, values in history.items()}
    for a, b in zip(state(model), state(other), strict=True):
        np.testing.assert_array_equal(a, b)
    model.reset_metrics()
    evaluation = StepLoop(model, feed, model.test_step)
    expected = other.evaluate(X[:samples], Y[:samples], batch_size=16, verbose=0, return_dict=True)
    assert evaluation.read(evaluation.run(0, feed.steps_per_epoch)) == expected


def test_tracing_creates_every_variable_and_runs_nothing() -> None:
    model = build()
    loop = StepLoop(model, feed_for(model), model.train_step)
    assert loop.trace() == {"loss", "acc"}
    assert int(model.optimizer.iterations) == 0
    before = len(model.optimizer.variables), len(model.metrics_variables)
    loop.run(0, 1)
    assert (len(model.optimizer.variables), len(model.metrics_variables)) == before


def test_any_number_of_steps_is_one_trace() -> None:
    model = build()
    traced = []

    def step(batch: object) -> dict[str, tf.Tensor]:
        traced.append(batch)
        return model.train_step(batch)

    feed = feed_for(model)
    build_state(model, feed)
    loop = StepLoop(model, feed, step)
    for count in (1, 4, 2):
        loop.run(0, count)
    assert len(traced) == 1
    assert int(model.optimizer.iterations) == 7


def test_a_custom_step_keeps_its_own_logs() -> None:
    model = build()
    feed = feed_for(model)
    build_state(model, feed)
    loop = StepLoop(model, feed, lambda batch: {"sum": tf.reduce_sum(batch[1])})
    assert loop.trace() == {"sum"}
    logs = loop.run(0, 2)
    assert loop.read(logs) == {"sum": float(Y[16:32].sum())}


@pytest.mark.parametrize("samples", [70, 64, 10])
def test_a_loop_of_steps_in_one_program_equals_the_steps(samples: int) -> None:
    states, logs = [], []
    for mode in (Compilation.STEP, Compilation.LOOP):
        model = build(jit=True)
        feed = feed_for(model, samples)
        build_state(model, feed)
        loop = StepLoop(model, feed, model.train_step, mode)
        assert loop.trace() == {"loss", "acc"}
        for begin in range(0, feed.steps_per_epoch, 2):
            outputs = loop.run(begin, min(2, feed.steps_per_epoch - begin))
        logs.append(loop.read(outputs))
        states.append(state(model))
    assert logs[0] == logs[1]
    for a, b in zip(*states, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("mode", [Compilation.STEP, Compilation.LOOP])
@pytest.mark.parametrize("bad", [1, 4])
def test_names_the_first_batch_whose_loss_is_no_number(mode: Compilation, bad: int) -> None:
    model, x = build(), X.copy()
    x[bad * 16] = np.nan
    feed = evaluation_feed((x, Y), "data", 16, model.distribute_strategy)
    build_state(model, feed)
    loop = StepLoop(model, feed, model.train_step, mode)
    loop.run(0, bad)
    assert loop.first_bad() is None
    loop.run(bad, feed.steps_per_epoch - bad)
    assert loop.first_bad() == bad


MIRRORED = """
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from pruneplug.training.model.build import build_state
from pruneplug.training.feeds.base import train_feed
from pruneplug.training.steps.loop import StepLoop
x = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
y = np.arange(60) % 2
def train(strategy, data):
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    feed = train_feed(data, 16, 1, None, strategy)
    build_state(model, feed)
    loop = StepLoop(model, feed, model.train_step)
    logs = loop.read(loop.run(0, feed.steps_per_epoch))
    return keras.ops.convert_to_numpy(model.variables[0]), logs
mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for data in [(x, y), tf.data.Dataset.from_tensor_slices((x, y)).batch(16)]:
    (one, logs), (two, others) = (train(s, data) for s in (tf.distribute.get_strategy(), mirrored))
    np.testing.assert_allclose(one, two, rtol=1e-4)
    np.testing.assert_allclose(logs["loss"], others["loss"], rtol=1e-4)
    assert logs["accuracy"] == others["accuracy"]
"""


def test_distribution_strategies_keep_working() -> None:
    root = ROOT
    command = [sys.executable, "-c", MIRRORED]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
