"""Weights are sparse after every step with each training feature of Keras."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L
from sparse import HALF, check_sparse, dense_model, in_new_process, random_batch, train, zeros

from pruneplug import (
    ConstantSparsity,
    PolynomialDecay,
    Pruner,
    UpdatePruningStep,
    prune_low_magnitude,
    strip_pruning,
)
from pruneplug.pruning.wrapper import pruned_layers

STEPS = 9
# Updates are due at 1, 4, 7 and 8.
SCHEDULE = PolynomialDecay(0.25, 0.5, begin_step=1, end_step=8, frequency=3)
X = np.random.default_rng(0).normal(size=(4 * STEPS, 8)).astype("f")
Y = X[:, :1] * 2


class CheckEveryBatch(keras.callbacks.Callback):
    """Asserts at each batch end that weights are as sparse as the schedule says."""

    def __init__(self, schedule: Any = SCHEDULE):
        super().__init__()
        self.schedule = schedule
        self.steps: list[int] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps.append(batch + 1)
        *_, last = self.schedule.due_steps(0, batch + 2)
        check_sparse(self.model, self.schedule.sparsity(last))


def _fit(model: keras.Model, **kwargs: Any) -> CheckEveryBatch:
    """Train for STEPS batches; check the weights after each, and the count at the end."""
    check = CheckEveryBatch()
    kwargs = {
        "optimizer": keras.optimizers.Adam(0.01),
        "loss": "mse",
        "jit_compile": False,
    } | kwargs
    model.compile(**kwargs)
    callbacks = [UpdatePruningStep(), check]
    model.fit(X, Y, batch_size=4, verbose=0, shuffle=False, callbacks=callbacks)
    assert check.steps[-1] >= STEPS  # Keras counts an execution that was not full as if it were
    assert [int(layer.pruning_step) for layer in pruned_layers(model)] == [STEPS] * 2
    check_sparse(model)
    return check


def _pruned(**kwargs: Any) -> keras.Model:
    return prune_low_magnitude(dense_model(**kwargs), SCHEDULE)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("steps", [1, 2, STEPS])
def test_jit_and_steps_per_execution(jit_compile: bool, steps: int) -> None:
    model = _pruned()
    check = _fit(model, jit_compile=jit_compile, steps_per_execution=steps)
    assert len(check.steps) == -(-STEPS // steps)


def test_jit_gives_the_same_masks() -> None:
    results = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(0)
        model = _pruned()
        _fit(model, jit_compile=jit_compile)
        results.append(model.get_weights())
    for a, b in zip(*results, strict=True):
        assert np.array_equal(a != 0, b != 0)
        assert np.allclose(a, b, atol=1e-6)


def test_run_eagerly() -> None:
    _fit(_pruned(), run_eagerly=True)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy: str) -> None:
    model = _pruned(dtype=policy)
    _fit(model)
    assert model.layers[0].dtype_policy.name == policy
    assert model.layers[0].layer.compute_dtype == policy.removeprefix("mixed_")
    assert model.layers[0].layer.kernel.dtype == "float32"
    stripped = strip_pruning(model)
    assert stripped.layers[0].dtype_policy.name == policy
    assert np.array_equal(stripped(X), model(X))


@pytest.mark.parametrize("functional", [False, True])
def test_mixed_precision_is_known_to_compile(functional: bool) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = dense_model()
        if functional:
            model = keras.Model(model.inputs, model.outputs)
    finally:
        keras.config.set_dtype_policy(before)
    pruned = prune_low_magnitude(model, SCHEDULE)
    for again in (pruned, strip_pruning(pruned)):
        assert again.dtype_policy == model.dtype_policy
        again.compile("sgd", "mse")
        assert isinstance(again.optimizer, keras.optimizers.LossScaleOptimizer)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_weight_types(dtype: str) -> None:
    model = prune_low_magnitude(dense_model(dtype=dtype), HALF)
    train(model, optimizer="sgd")
    assert zeros(keras.ops.cast(model.layers[0].layer.kernel, "float32")) == 24


@pytest.mark.parametrize(("every", "made_at"), [(2, {4: 5, 8: 9}), (3, {3: 5, 6: 9})])
def test_gradient_accumulation_lets_weights_come_back(every: int, made_at: dict[int, int]) -> None:
    """Weights change in every second or third step: an update is made right after the last one."""
    kernel = np.arange(1.0, 9.0, dtype="f").reshape(4, 2)
    model = keras.Sequential([keras.Input((4,)), L.Dense(2, use_bias=False)])
    model.layers[0].kernel.assign(kernel)
    model = prune_low_magnitude(model, ConstantSparsity(0.5, 1, frequency=4))
    optimizer = keras.optimizers.SGD(1.0, gradient_accumulation_steps=every)
    model.compile(optimizer, "mse")
    pruner = Pruner(model)
    pruner.start()
    made = {}
    # Each change moves one pruned weight far beyond the others.
    weight = model.layers[0].layer.kernel
    for step in range(1, 9):
        gradient = np.zeros((4, 2), "f")
        gradient[0, 0] = -100.0
        optimizer.apply([tf.constant(gradient)], [weight])
        event = pruner.advance()
        check_sparse(model)
        if event is not None:
            made[step] = event.step
        assert (weight[0, 0] >= 100) == bool(made)
    assert made == made_at
    assert pruner.step == 8


@pytest.mark.parametrize("overwrite", [None, 2])
def test_averaged_weights(overwrite: int | None) -> None:
    optimizer = keras.optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=overwrite)
    _fit(_pruned(), optimizer=optimizer)


def test_a_step_skipped_by_loss_scaling() -> None:
    x = X.copy()
    x[5] = np.inf  # in the second batch
    model = _pruned()
    check = CheckEveryBatch()
    inner = keras.optimizers.Adam(0.01)
    optimizer = keras.optimizers.LossScaleOptimizer(inner)
    model.compile(optimizer, "mse", jit_compile=False)
    callbacks = [UpdatePruningStep(), check]
    model.fit(x, Y, batch_size=4, verbose=0, shuffle=False, callbacks=callbacks)
    assert int(inner.iterations) == STEPS - 1
    assert [int(layer.pruning_step) for layer in pruned_layers(model)] == [STEPS] * 2
    assert check.steps[-1] == STEPS


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adamw", "lion", "adafactor", "muon"])
def test_optimizers(optimizer: str) -> None:
    _fit(_pruned(), optimizer=optimizer)


def test_user_constraints_run_first_and_come_back() -> None:
    constraint = keras.constraints.NonNeg()
    model = dense_model(kernel_constraint=constraint)
    config = model.get_config()
    pruned = prune_low_magnitude(model, SCHEDULE)
    assert pruned.layers[0].layer.get_config() == model.layers[0].get_config()
    kernel = model.layers[0].kernel

    class CheckConstraint(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            assert np.min(kernel) >= 0

    train(pruned, X[:4], Y[:4], epochs=5, callbacks=[CheckConstraint()])
    assert zeros(kernel) >= 12
    stripped = strip_pruning(pruned)
    assert kernel.constraint is constraint
    assert stripped.layers[1].kernel.constraint is None
    assert stripped.get_config() == config


def test_train_on_batch_with_a_pruner() -> None:
    model = _pruned()
    model.compile("adam", "mse", jit_compile=False)
    pruner = Pruner(model)
    pruner.start()
    for step in range(STEPS):
        batch = slice(4 * step, 4 * step + 4)
        model.train_on_batch(X[batch], Y[batch])
        pruner.advance()
        *_, last = SCHEDULE.due_steps(0, step + 2)
        check_sparse(model, SCHEDULE.sparsity(last))
    pruner.finish()
    strip_pruning(model)
    check_sparse(model)


@pytest.mark.parametrize("compiled", [False, True])
def test_gradient_tape_loop(compiled: bool) -> None:
    model = _pruned()
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)

    def step(x: Any, y: Any) -> None:
        with tf.GradientTape() as tape:
            loss = keras.ops.mean((model(x, training=True) - y) ** 2)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    optimizer.build(model.trainable_variables)
    run = tf.function(step) if compiled else step
    pruner = Pruner(model)
    pruner.start()
    for k in range(STEPS):
        run(X[4 * k : 4 * k + 4], Y[4 * k : 4 * k + 4])
        pruner.advance()
        *_, last = SCHEDULE.due_steps(0, k + 2)
        check_sparse(model, SCHEDULE.sparsity(last))
    pruner.finish()
    assert pruner.target_reached()


def test_a_loop_that_forgets_the_pruner_keeps_weights_sparse() -> None:
    model = prune_low_magnitude(dense_model(), ConstantSparsity(0.5, 1, 1))
    x, y = random_batch(model)
    train(model, x, y)
    for _ in range(3):
        model.train_on_batch(x, y)
        check_sparse(model)


def test_evaluation_and_prediction_change_nothing() -> None:
    model = prune_low_magnitude(dense_model(), HALF)
    model.compile("adam", "mse", jit_compile=False)
    before = [v.numpy() for v in model.variables]
    model.evaluate(X, Y, verbose=0)
    model.predict(X, verbose=0)
    model(X, training=True)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.variables, strict=True))


def test_recurrent_models_under_jit() -> None:
    model = keras.Sequential([keras.Input((4, 3)), L.LSTM(4), L.Dense(1)])
    pruned = prune_low_magnitude(model, HALF)
    train(pruned, epochs=2, jit_compile=True)
    check_sparse(pruned)


MIRRORED = """
    import numpy as np, tensorflow as tf, keras
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    from pruneplug import PolynomialDecay, UpdatePruningStep, prune_low_magnitude, strip_pruning
    from pruneplug.pruning.wrapper import pruned_layers

    schedule = PolynomialDecay(0.25, 0.5, begin_step=1, end_step=8, frequency=3)
    x = np.random.default_rng(0).normal(size=(72, 8)).astype("f")
    data = tf.data.Dataset.from_tensor_slices((x, x[:, :1])).batch(8)

    class Check(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            *_, last = schedule.due_steps(0, batch + 2)
            for wrapper in pruned_layers(self.model):
                assert keras.ops.convert_to_numpy(wrapper.pruning_step) == batch + 1
                for weight, mask, _ in wrapper.pruning_vars:
                    weight = strategy.experimental_local_results(weight.value)
                    mask = strategy.experimental_local_results(mask.value)
                    assert len(weight) == len(mask) == 2
                    assert np.array_equal(*mask) and np.array_equal(*weight)
                    kept = mask[0].numpy()
                    assert not np.any(weight[0].numpy()[~kept])
                    expected = max(round(kept.size * (1 - schedule.sparsity(last))), 1)
                    assert kept.sum() == expected, (batch, kept.sum(), expected)

    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert strategy.num_replicas_in_sync == 2
    with strategy.scope():
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6), keras.layers.Dense(1)])
        model = prune_low_magnitude(model, schedule)
        model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=False)
    model.fit(data, verbose=0, callbacks=[UpdatePruningStep(), Check()])
    with strategy.scope():
        stripped = strip_pruning(model)
    print(sum(int((w == 0).sum()) for w in stripped.get_weights()[::2]))
"""


def test_two_mirrored_replicas_have_the_same_masks() -> None:
    assert in_new_process(MIRRORED).split()[-1] == str(24 + 3)
