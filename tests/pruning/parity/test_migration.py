"""Code written for TFMOT, run with the import changed: each test runs it under both libraries."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from oracle import (
    OURS,
    THEIRS,
    Data,
    Library,
    build_pair,
    reference,
    train_ours,
    train_reference,
)

import pruneplug

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 8)).astype("float32")
Y = RNG.normal(size=(24, 3)).astype("float32")
BATCH = 4
STEPS = len(X) // BATCH


both = pytest.mark.parametrize("library", [OURS, THEIRS], ids=["pruneplug", "TFMOT"])


def _network(k: Any) -> Any:
    return k.Sequential([k.layers.Input((8,)), k.layers.Dense(3)])


def _fit(model: Any, library: Library, *callbacks: Any, **kwargs: Any) -> None:
    if not getattr(model, "optimizer", None):
        # Of a few steps, tracing them would take the longest.
        model.compile(library.keras.optimizers.SGD(0.01), "mse", run_eagerly=True)
    arguments = {"batch_size": BATCH, "shuffle": False, "verbose": 0} | kwargs
    callbacks = (library.sparsity.UpdatePruningStep(), *callbacks)
    model.fit(X, Y, callbacks=list(callbacks), **arguments)


def _pruned(library: Library, *args: Any, **kwargs: Any) -> Any:
    return library.sparsity.prune_low_magnitude(_network(library.keras), *args, **kwargs)


def _sparsities(model: Any) -> list[float]:
    """Fraction of zeros of each prunable weight, as TFMOT's IMDB example computes it."""
    return [
        1.0 - np.count_nonzero(weight) / float(np.size(weight))
        for layer in model.layers
        if hasattr(layer, "pruning_vars")
        for weight in layer.layer.get_prunable_weights()
    ]


# What a wrapped layer answers.


@both
def test_the_imdb_example_prints_sparsities(library: Library) -> None:
    layers = library.keras.layers
    model = library.keras.Sequential(
        [layers.Embedding(20, 4), layers.LSTM(4), layers.Dropout(0.5), layers.Dense(1)]
    )
    schedule = library.sparsity.PolynomialDecay(0.3, 0.5, begin_step=1, end_step=2, frequency=1)
    model = library.sparsity.prune_low_magnitude(model, schedule)
    model.compile("adam", "binary_crossentropy", run_eagerly=True)
    tokens = RNG.integers(20, size=(8, 2))
    callbacks = [library.sparsity.UpdatePruningStep()]
    model.fit(tokens, np.ones((8, 1)), batch_size=2, callbacks=callbacks, verbose=0)
    assert _sparsities(model) == [0.5, 0.5, 0.5, 0.5]
    found = [
        [id(weight) for weight in layer.prunable_weights]
        for layer in model.layers
        if isinstance(layer, library.wrapper.PruneLowMagnitude) and layer.prunable_weights
    ]
    assert [len(weights) for weights in found] == [1, 2, 1]
    assert found[0] == [id(model.layers[0].layer.embeddings)]


@both
def test_the_2_of_4_example_checks_its_layers(library: Library) -> None:
    layers = library.keras.layers
    prune = library.sparsity.prune_low_magnitude
    params = {
        "pruning_schedule": library.sparsity.ConstantSparsity(0.5, begin_step=0, frequency=100),
        "sparsity_m_by_n": (2, 4),
    }
    model = library.keras.Sequential(
        [
            layers.Input((6, 6, 4)),
            prune(layers.Conv2D(3, 3), **params),
            layers.Flatten(),
            prune(layers.Dense(2), **params),
        ]
    )

    def check(model: Any) -> list[bool]:
        return [
            library.utils.is_pruned_m_by_n(weight)
            for layer in model.layers
            if isinstance(layer, library.wrapper.PruneLowMagnitude)
            for weight in layer.layer.get_prunable_weights()
        ]

    assert check(model) == [False, False]
    model.compile("sgd", "mse", run_eagerly=True)
    callback = library.sparsity.UpdatePruningStep()
    model.fit(np.ones((4, 6, 6, 4)), np.ones((4, 2)), 2, 1, 0, callbacks=callback)
    assert check(model) == [True, True]
    kernel = library.sparsity.strip_pruning(model).layers[0].kernel.numpy()
    in_tflite = np.transpose(kernel, (3, 0, 1, 2))
    assert library.utils.is_pruned_m_by_n(tf.constant(in_tflite), (2, 4), last_channel="C_IN")
    assert not library.utils.is_pruned_m_by_n(tf.constant(kernel), (2, 4), last_channel="C_IN")
    with pytest.raises(ValueError, match=r"zeros|m <= n"):
        library.utils.is_pruned_m_by_n(tf.constant(kernel), (5, 4))


@both
def test_prunable_layers_are_collected_in_the_order_of_the_model(library: Library) -> None:
    layers = library.keras.layers
    inner = [layers.Dense(4, name="a"), layers.Dense(4, name="b")]
    model = library.keras.Sequential(
        [
            layers.Input((4,)),
            library.keras.Sequential([layers.Input((4,)), *inner], name="inner"),
            layers.Dense(2, name="c"),
        ]
    )
    pruned = library.sparsity.prune_low_magnitude(model)
    found = library.wrapper.collect_prunable_layers(pruned)
    assert [layer.layer.name for layer in found] == ["a", "b", "c"]
    assert library.wrapper.collect_prunable_layers(model) == []


@both
def test_a_layer_of_ones_own_answers_for_itself(library: Library) -> None:
    class Scaled(library.keras.layers.Dense):
        def get_prunable_weights(self) -> Any:
            return [self.kernel, self.bias]

    layer = Scaled(3)
    wrapper = library.sparsity.prune_low_magnitude(layer)
    wrapper.build((None, 8))
    assert [id(w) for w in layer.get_prunable_weights()] == [id(layer.kernel), id(layer.bias)]


# Schedules of one's own.


def _stepwise(base: Any) -> Any:
    """A schedule as TFMOT's users write it: validated by the base, computed with tensors."""

    class Stepwise(base):
        def __init__(self, target: float, begin_step: int, end_step: int, frequency: int = 1):
            self.target = f"towards {target}"  # a name of one's own
            self.sparsity = tf.constant(target)
            self.begin_step, self.end_step, self.frequency = begin_step, end_step, frequency
            self._validate_step(begin_step, end_step, frequency, False)
            self._validate_sparsity(target, "target")

        def __call__(self, step: Any) -> Any:
            span = self.end_step - tf.cast(self.begin_step, step.dtype)
            part = tf.cast(tf.convert_to_tensor(step) - self.begin_step, tf.float32)
            part /= tf.cast(span, tf.float32)
            due = self._should_prune_in_step(step, self.begin_step, self.end_step, self.frequency)
            return tf.logical_and(due, step > 0), self.sparsity * tf.clip_by_value(part, 0.0, 1.0)

        def get_config(self) -> dict[str, Any]:
            return {}

    return Stepwise


def _reused(base: Any) -> Any:
    """A built-in schedule with another answer."""

    class Squared(base):
        def __call__(self, step: Any) -> Any:
            due, sparsity = super().__call__(step)
            return due, tf.square(sparsity)

    return Squared


SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "tensors": lambda lib: _stepwise(lib.PruningSchedule)(0.8, 1, 9, 2),
    "an override": lambda lib: _reused(lib.PolynomialDecay)(0.2, 0.9, 1, 9, 3, 2),
    "a function": lambda lib: lambda step: (tf.equal(step % 2, 0), tf.cast(step, "float32") / 9),
    "a table": lambda lib: lambda step: (step > 1, tf.gather([0.1, 0.2, 0.3] * 3, step)),
    "a bound method": lambda lib: lib.ConstantSparsity(0.5, 2, frequency=2).__call__,
}  # fmt: skip


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_written_for_tfmot_prune_alike(name: str) -> None:
    ours, theirs = build_pair(
        _network,
        {"pruning_schedule": SCHEDULES[name](pruneplug)},
        {"pruning_schedule": SCHEDULES[name](reference)},
    )
    data = Data(X, Y, BATCH)
    our_steps = train_ours(ours, keras.optimizers.SGD(0.1, 0.9), data)
    their_steps = train_reference(theirs, tf_keras.optimizers.SGD(0.1, 0.9), data)
    masks = [mask for step in their_steps for mask in step.masks]
    assert not all(mask.all() for mask in masks)
    for one, other in zip(our_steps, their_steps, strict=False):
        for mask, their_mask in zip(one.masks, other.masks, strict=True):
            np.testing.assert_array_equal(mask, their_mask)


@both
@pytest.mark.parametrize(
    "arguments", [(0.8, -1, 9), (0.8, 1, -1), (0.8, 5, 4), (0.8, 1, 9, 0), (1.0, 1, 9)]
)
def test_arguments_are_validated_by_the_base(library: Library, arguments: Any) -> None:
    schedule = _stepwise(library.sparsity.PruningSchedule)
    assert schedule(0.8, tf.constant(1), tf.constant(9)).end_step == 9
    with pytest.raises(ValueError, match=r"begin_step|end_step|frequency|target"):
        schedule(*arguments)


@both
@pytest.mark.parametrize("as_step", [int, np.int64, tf.constant, tf.Variable])
def test_a_step_may_be_a_number_or_a_tensor(library: Library, as_step: Any) -> None:
    schedule = library.sparsity.ConstantSparsity(0.5, 2, 8, 3)
    asks = [schedule._should_prune_in_step(as_step(s), 2, 8, 3) for s in range(12)]
    assert [step for step, due in enumerate(asks) if due] == [2, 5, 8]
    assert [step for step in range(12) if schedule(as_step(step))[0]] == [2, 5, 8]
    open_end = [schedule._should_prune_in_step(as_step(s), 0, -1, 5) for s in range(12)]
    assert [step for step, due in enumerate(open_end) if due] == [0, 5, 10]
    traced = tf.function(lambda step: schedule._should_prune_in_step(step, 2, 8, 3))
    assert [s for s in range(12) if traced(tf.constant(s))] == [2, 5, 8]


@both
def test_a_table_of_the_planned_steps_is_enough_and_going_on_fails(library: Library) -> None:
    table = tf.constant([0.0] + [0.5] * STEPS)
    model = _pruned(library, lambda step: (step > 0, tf.gather(table, step)))
    _fit(model, library)
    assert _sparsities(model) == [0.5]
    with pytest.raises(tf.errors.InvalidArgumentError):
        _fit(model, library, epochs=2)


@both
def test_whole_numbers_of_steps_may_be_floats(library: Library) -> None:
    end_step = np.ceil(len(X) / BATCH) * 1
    assert isinstance(end_step, float)
    schedule = library.sparsity.PolynomialDecay(0.0, 0.5, 0, end_step, frequency=1)
    model = _pruned(library, schedule)
    _fit(model, library)
    assert _sparsities(model) == [0.5]


@both
def test_a_function_as_schedule_cannot_be_saved(library: Library) -> None:
    model = _pruned(library, lambda step: (True, 0.5))
    with pytest.raises((ValueError, AttributeError), match=r"known to Keras|get_config"):
        model.to_json()
    stripped = library.sparsity.strip_pruning(model)
    assert library.keras.Sequential.from_config(stripped.get_config()).count_params() == 27


# Policies.


@both
def test_a_policy_needs_the_two_methods_and_no_base(library: Library) -> None:
    class OnlyFirst:
        def __init__(self) -> None:
            self.models: list[Any] = []

        def allow_pruning(self, layer: Any) -> bool:
            return layer is model.layers[0]

        def ensure_model_supports_pruning(self, model: Any) -> None:
            self.models.append(model)

    policy, layers = OnlyFirst(), library.keras.layers
    model = library.keras.Sequential([layers.Input((8,)), layers.Dense(3), layers.Dense(3)])
    pruned = library.sparsity.prune_low_magnitude(model, pruning_policy=policy)
    assert [hasattr(layer, "pruning_vars") for layer in pruned.layers] == [True, False]
    assert len(policy.models) == 1
    half = type("Half", (), {"allow_pruning": lambda self, layer: True})()
    with pytest.raises((ValueError, AttributeError), match=r"PruningPolicy|ensure_model"):
        _pruned(library, pruning_policy=half)


def _mobile(k: Any, *blocks: Any) -> Any:
    return k.Sequential(
        [
            k.layers.Input((8, 8, 3)),
            k.layers.ZeroPadding2D(1),
            k.layers.Conv2D(4, 3, strides=2, padding="valid"),
            *blocks,
            k.layers.GlobalAveragePooling2D(),
        ]
    )


def _nested(k: Any, *last: Any) -> Any:
    return k.Sequential([k.layers.Conv2D(8, 1), k.layers.Conv2D(16, 1), *last])


@both
def test_the_latency_policy_looks_into_nested_models(library: Library) -> None:
    k, policy = library.keras, library.sparsity.PruneForLatencyOnXNNPack()
    for blocks, count in [
        ([_nested(k)], 2),
        ([k.layers.ReLU(), _nested(k), k.layers.Conv2D(4, 1)], 3),
        ([_nested(k, k.layers.BatchNormalization()), _nested(k)], 4),
        ([k.Sequential([_nested(k), k.layers.ReLU()])], 2),
    ]:
        pruned = library.sparsity.prune_low_magnitude(_mobile(k, *blocks), pruning_policy=policy)
        assert len(library.wrapper.collect_prunable_layers(pruned)) == count
    for blocks in ([k.Sequential([k.layers.MaxPooling2D()])], [_nested(k, k.layers.Softmax())]):
        with pytest.raises(ValueError, match=r"MaxPooling2D|Softmax"):
            policy.ensure_model_supports_pruning(_mobile(k, *blocks))


def test_the_latency_policy_looks_behind_nested_models_too() -> None:
    def functional(k: Any) -> Any:
        inputs = k.layers.Input((4, 4, 4))
        return k.Model(inputs, k.layers.Conv2D(8, 1)(inputs))

    theirs, ours = (x.sparsity.PruneForLatencyOnXNNPack() for x in (THEIRS, OURS))
    # TFMOT looks at nothing that follows a nested Sequential, ...
    blocks = [[_nested(k), k.layers.MaxPooling2D()] for k in (tf_keras, keras)]
    theirs.ensure_model_supports_pruning(_mobile(tf_keras, *blocks[0]))
    with pytest.raises(ValueError, match="MaxPooling2D"):
        ours.ensure_model_supports_pruning(_mobile(keras, *blocks[1]))
    # ... and into no nested functional model.
    ours.ensure_model_supports_pruning(_mobile(keras, functional(keras)))
    with pytest.raises(ValueError, match="Layer Functional is not supported"):
        theirs.ensure_model_supports_pruning(_mobile(tf_keras, functional(tf_keras)))


# Masks.

MASK_USES: dict[str, Callable[[Any, Any], Any]] = {
    "tf.reduce_sum": lambda mask, weight: tf.reduce_sum(mask),
    "tf.reduce_mean": lambda mask, weight: 1.0 - tf.reduce_mean(mask),
    "tf.multiply": lambda mask, weight: tf.multiply(weight, mask),
    "tf.multiply, mask first": lambda mask, weight: tf.multiply(mask, weight),
    "tf.matmul": lambda mask, weight: tf.matmul(mask, weight, transpose_a=True),
    "tf.cast": lambda mask, weight: tf.cast(mask, tf.bool),
    "tf.ones_like": lambda mask, weight: tf.ones_like(mask) - mask,
    "tf.nn.zero_fraction": lambda mask, weight: tf.nn.zero_fraction(mask),
    "tf.convert_to_tensor": lambda mask, weight: tf.convert_to_tensor(mask),
    "tf.Variable": lambda mask, weight: tf.Variable(mask),
    "tf.function": lambda mask, weight: tf.function(lambda: tf.reduce_sum(weight * mask))(),
    "numpy()": lambda mask, weight: mask.numpy(),
    "np.asarray": lambda mask, weight: np.asarray(mask),
    "np.mean": lambda mask, weight: 1 - np.mean(mask),
    "weight * mask": lambda mask, weight: weight * mask,
    "mask * weight": lambda mask, weight: mask * weight,
    "mask * number": lambda mask, weight: 0.5 * mask * 2,
    "1 - mask": lambda mask, weight: 1 - mask,
    "mask - mask": lambda mask, weight: mask - mask,
    "mask + mask": lambda mask, weight: mask + mask,
    "-mask": lambda mask, weight: -mask,
    "abs": lambda mask, weight: abs(mask),
    "mask / 2": lambda mask, weight: mask / 2,
    "mask ** 2": lambda mask, weight: mask**2,
    "mask > 0": lambda mask, weight: mask > 0,
    "mask[0]": lambda mask, weight: mask[0, :2],
    "dtype": lambda mask, weight: tf.zeros((2,), mask.dtype),
}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_masks_are_taken_for_numbers_of_the_weights_dtype(dtype: str) -> None:
    values = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 1], [0, 1, 0]])
    held = []
    for library in (OURS, THEIRS):
        layer = library.keras.layers.Dense(3, dtype=dtype, kernel_initializer="ones")
        wrapper = library.sparsity.prune_low_magnitude(layer)
        wrapper.build((None, 4))
        ((weight, mask, _),) = wrapper.pruning_vars
        mask.assign(values)
        held.append((mask, weight))
    for name, use in MASK_USES.items():
        ours, theirs = (use(*pair) for pair in held)
        assert ours.dtype == theirs.dtype, name
        np.testing.assert_array_equal(tf.cast(ours, tf.float32), tf.cast(theirs, tf.float32), name)
    mask = held[0][0]
    assert mask.value.dtype == tf.bool
    assert keras.ops.sum(mask) == keras.ops.sum(keras.ops.multiply(mask, mask)) == values.sum()


@both
def test_masks_may_be_set(library: Library) -> None:
    wrapper = library.sparsity.prune_low_magnitude(library.keras.layers.Dense(2))
    wrapper.build((None, 3))
    mask = wrapper.pruning_vars[0][1]
    mask.assign(np.eye(3, 2))
    mask.assign_add(1.0 - mask)
    mask.assign(mask * tf.constant([[1.0, 0.0]]))
    np.testing.assert_array_equal(mask, [[1, 0]] * 3)


# Summaries.


def _points(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: dict[str, list[tuple[int, float]]] = {}
    for file in sorted(folder.iterdir()):  # one for each fit
        events = EventAccumulator(str(file), size_guidance={"tensors": 0})
        events.Reload()
        for tag in events.Tags()["tensors"]:
            found.setdefault(tag, []).extend(
                (e.step, float(tf.make_ndarray(e.tensor_proto))) for e in events.Tensors(tag)
            )
    return found


def test_summaries_have_the_same_tags_in_the_same_folder(tmp_path: Path) -> None:
    written = []
    schedules = [x.sparsity.ConstantSparsity(0.5, 1, frequency=1) for x in (OURS, THEIRS)]
    models = build_pair(_network, *({"pruning_schedule": s} for s in schedules))
    for library, model in zip((OURS, THEIRS), models, strict=True):
        folder = tmp_path / library.keras.__name__
        summaries = library.sparsity.PruningSummaries(str(folder), "epoch")
        _fit(model, library, summaries, epochs=3)
        written.append(_points(folder / "metrics"))
    ours, theirs = written
    assert ours.keys() == theirs.keys()
    for tag, points in theirs.items():
        assert [step for step, _ in points] == [0, STEPS, 2 * STEPS]
        # TFMOT has made no update before the first epoch, and none after the last.
        assert [step for step, _ in ours[tag]] == [0, STEPS, 2 * STEPS, 3 * STEPS]
        if tag.endswith("sparsity"):
            assert ours[tag][1:3] == points[1:3] == [(STEPS, 0.5), (2 * STEPS, 0.5)]


def test_summaries_go_on_when_the_model_is_compiled_again(tmp_path: Path) -> None:
    steps = {}
    for library in (OURS, THEIRS):
        model = _pruned(library, library.sparsity.ConstantSparsity(0.5, 1, frequency=1))
        folder = tmp_path / library.keras.__name__
        for _ in range(2):
            model.compile(library.keras.optimizers.SGD(0.01), "mse", run_eagerly=True)
            _fit(model, library, library.sparsity.PruningSummaries(str(folder)), epochs=2)
        points = _points(folder / "metrics")["prune_low_magnitude_dense/mask:0/sparsity"]
        steps[library] = [step for step, _ in points]
    assert steps[THEIRS] == [0, STEPS, 0, STEPS]
    assert steps[OURS] == [step * STEPS for step in (0, 1, 2, 2, 3, 4)]


@both
def test_losses_are_found_by_the_names_of_pruned_outputs(library: Library) -> None:
    layers = library.keras.layers
    inputs = layers.Input((8,))
    hidden = layers.Dense(4)(inputs)
    outputs = [layers.Dense(3, name="a")(hidden), layers.Dense(3, name="b")(hidden)]
    model = library.sparsity.prune_low_magnitude(library.keras.Model(inputs, outputs))
    names = ("prune_low_magnitude_a", "prune_low_magnitude_b")
    model.compile("sgd", dict.fromkeys(names, "mse"), loss_weights=dict.fromkeys(names, 0.5))
    losses = model.evaluate(X, [Y, Y], verbose=0)
    assert losses[0] == pytest.approx((losses[1] + losses[2]) / 2)


@both
def test_training_without_the_callback_is_an_error(library: Library) -> None:
    model = _pruned(library)
    model.compile("sgd", "mse")
    with pytest.raises((RuntimeError, tf.errors.InvalidArgumentError), match="UpdatePruningStep"):
        model.fit(X, Y, verbose=0)
    assert not np.allclose(model.predict(X, verbose=0), 0)
