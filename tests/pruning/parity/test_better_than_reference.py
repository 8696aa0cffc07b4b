"""Where pruneplug differs from TFMOT on purpose: each test shows both sides."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from oracle import Build, build_pair, reference, reference_mask, state
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_impl

import pruneplug
from pruneplug.pruning import patterns, ranking

X = np.random.default_rng(0).normal(size=(80, 8)).astype("float32")
Y = np.zeros((80, 1), "float32")
BATCH = 4


def _dense(k: Any) -> Any:
    return k.Sequential([k.layers.Input((8,)), k.layers.Dense(1, use_bias=False)])


def _fit(model: Any, library: Any, k: Any, steps: int = 20, *callbacks: Any, **kwargs: Any) -> None:
    model.compile(k.optimizers.SGD(0.01), "mse")
    count = steps * BATCH
    callbacks = [library.UpdatePruningStep(), *callbacks]
    arguments = {"batch_size": BATCH, "shuffle": False, "verbose": 0} | kwargs
    model.fit(X[:count], Y[:count], callbacks=callbacks, **arguments)


def _pair(build: Build, make: Any, **kwargs: Any) -> tuple[Any, Any]:
    """The same model, pruned by the same schedule: ours and TFMOT's."""
    return build_pair(
        build,
        {"pruning_schedule": make(pruneplug), **kwargs},
        {"pruning_schedule": make(reference), **kwargs},
    )


def _sparsity(model: Any) -> float:
    return float(np.mean(state(model).weights[0] == 0))


def _our_mask(weights: np.ndarray, sparsity: float, pattern: Any) -> np.ndarray:
    kept = ranking.kept_count(pattern.units(weights.shape), sparsity)
    return np.asarray(pattern.mask(pattern.scores(weights), kept, weights.shape)[0])


def test_ties_at_the_threshold_keep_exactly_the_asked_number() -> None:
    weights = np.array([1, 2, 1, 1, 1, 1, 2, 1], "float32")
    assert np.count_nonzero(reference_mask(weights, 0.5)[1]) == 8
    np.testing.assert_array_equal(
        _our_mask(weights, 0.5, patterns.Unstructured()), [1, 1, 1, 0, 0, 0, 1, 0]
    )


def test_a_tensor_of_zeros_gets_sparse_too() -> None:
    weights = np.zeros((4, 4), "float32")
    assert np.count_nonzero(reference_mask(weights, 0.75)[1]) == 16
    assert np.count_nonzero(_our_mask(weights, 0.75, patterns.Unstructured())) == 4


def test_weights_are_sparse_after_every_step_of_fit() -> None:
    ours, theirs = _pair(_dense, lambda library: library.ConstantSparsity(0.5, 1, frequency=1))
    seen: dict[Any, list[float]] = {ours: [], theirs: []}
    for model, library, k in [(ours, pruneplug, keras), (theirs, reference, tf_keras)]:
        record = k.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs, model=model: seen[model].append(_sparsity(model))
        )
        _fit(model, library, k, 10, record)
    assert max(seen[theirs]) == 0.0
    assert set(seen[ours]) == {0.5}


def test_a_checkpoint_written_at_any_batch_is_sparse(tmp_path: Any) -> None:
    ours, theirs = _pair(_dense, lambda library: library.ConstantSparsity(0.5, 1, frequency=1))
    for model, library, k in [(ours, pruneplug, keras), (theirs, reference, tf_keras)]:
        path = str(tmp_path / f"{k.__name__}.weights.h5")
        save = k.callbacks.ModelCheckpoint(path, save_freq=3, save_weights_only=True)
        _fit(model, library, k, 4, save)
        model.load_weights(path)
    assert _sparsity(theirs) == 0.0
    assert _sparsity(ours) == 0.5


def test_train_on_batch_then_strip_leaves_a_sparse_model() -> None:
    ours, theirs = _pair(_dense, lambda library: library.ConstantSparsity(0.5, 1, frequency=1))
    for model, library, k in [(ours, pruneplug, keras), (theirs, reference, tf_keras)]:
        model.compile(k.optimizers.SGD(0.01), "mse")
        callback = library.UpdatePruningStep()
        callback.set_model(model)
        callback.on_train_begin()
        for step in range(5):
            callback.on_train_batch_begin(step)
            model.train_on_batch(X[:BATCH], Y[:BATCH])
    assert _sparsity(reference.strip_pruning(theirs)) == 0.0
    assert _sparsity(pruneplug.strip_pruning(ours)) == 0.5


def _siamese(k: Any) -> Any:
    shared = k.layers.Dense(2, use_bias=False)
    left, right = k.layers.Input((4,)), k.layers.Input((4,))
    return k.Model([left, right], k.layers.Add()([shared(left), shared(right)]))


def test_a_shared_layer_counts_a_step_once() -> None:
    ours, theirs = _pair(_siamese, lambda library: library.ConstantSparsity(0.5, 11, frequency=100))
    x, y = [X[:, :4], X[:, 4:]], np.zeros((80, 2), "float32")
    steps = {}
    for model, library, k in [(ours, pruneplug, keras), (theirs, reference, tf_keras)]:
        model.compile(k.optimizers.SGD(0.01), "mse")
        model.fit(
            [part[:24] for part in x],
            y[:24],
            batch_size=BATCH,
            verbose=0,
            callbacks=[library.UpdatePruningStep()],
        )
        (layer,) = (layer for layer in model.layers if getattr(layer, "pruning_vars", ()))
        steps[k] = int(layer.pruning_step), float(np.mean(layer.pruning_vars[0][1].numpy()))
    # Six steps: the update at step 11 is far away, and TFMOT has made it.
    assert steps[tf_keras] == (12, 0.5)
    assert steps[keras] == (6, 1.0)


def test_an_end_off_the_frequency_is_reached_exactly() -> None:
    arguments = (0.2, 0.8, 0, 17, 3, 5)
    theirs = reference.PolynomialDecay(*arguments)
    ours = pruneplug.PolynomialDecay(*arguments)
    due = [step for step in range(100) if theirs(tf.constant(step, tf.int64))[0]]
    assert due == [0, 5, 10, 15]
    assert float(theirs(tf.constant(15, tf.int64))[1]) < 0.8
    assert list(ours.due_steps(-1, 100)) == [0, 5, 10, 15, 17]
    assert ours.sparsity(17) == 0.8


def test_a_ramp_that_ends_where_it_begins_prunes_once() -> None:
    ours, theirs = _pair(_dense, lambda library: library.PolynomialDecay(0.0, 0.5, 3, 3))
    with pytest.raises(tf.errors.InvalidArgumentError):
        _fit(theirs, reference, tf_keras)
    _fit(ours, pruneplug, keras)
    assert _sparsity(ours) == 0.5


def test_inference_changes_no_weight() -> None:
    ours, theirs = _pair(_dense, lambda library: library.ConstantSparsity(0.5, 1, frequency=1))
    changed = {}
    for model, library, k in [(ours, pruneplug, keras), (theirs, reference, tf_keras)]:
        model.compile(k.optimizers.SGD(0.01), "mse")
        callback = library.UpdatePruningStep()
        callback.set_model(model)
        callback.on_train_begin()
        callback.on_train_batch_begin(0)
        model.train_on_batch(X[:BATCH], Y[:BATCH])
        callback.on_train_batch_end(0)
        before = state(model).weights[0]
        model(X[:BATCH], training=False)
        changed[k] = not np.array_equal(before, state(model).weights[0])
    assert changed == {tf_keras: True, keras: False}


def test_frozen_weights_are_left_alone_and_reported() -> None:
    def build(k: Any) -> Any:
        layers = [k.layers.Dense(8, trainable=False, use_bias=False), k.layers.Dense(1)]
        return k.Sequential([k.layers.Input((8,)), *layers])

    ours, theirs = _pair(build, lambda library: library.ConstantSparsity(0.5, 1, frequency=1))
    _fit(ours, pruneplug, keras)
    _fit(theirs, reference, tf_keras)
    assert _sparsity(theirs) == 0.5
    assert _sparsity(ours) == 0.0
    (skipped,) = pruneplug.sparsity_report(ours).skipped
    assert skipped.reason == "frozen (not trainable)"


def test_a_configuration_holds_m_by_n() -> None:
    ours, theirs = _pair(
        _dense, lambda library: library.ConstantSparsity(0.5, 1), sparsity_m_by_n=(2, 4)
    )
    their_config = theirs.layers[0].get_config()
    assert "sparsity_m_by_n" not in their_config
    assert type(theirs.layers[0]).from_config(their_config).sparsity_m_by_n is None
    config = ours.layers[0].get_config()
    assert type(ours.layers[0]).from_config(config).sparsity_m_by_n == (2, 4)


def test_a_custom_schedule_comes_back_from_a_configuration() -> None:
    class Theirs(reference.ConstantSparsity):
        pass

    @keras.saving.register_keras_serializable("tests")
    class Ours(pruneplug.ConstantSparsity):
        pass

    theirs = reference.prune_low_magnitude(tf_keras.layers.Dense(1), Theirs(0.5, 1))
    assert type(theirs).from_config(theirs.get_config()).pruning_schedule == "Theirs"
    ours = pruneplug.prune_low_magnitude(keras.layers.Dense(1), Ours(0.5, 1))
    assert type(ours).from_config(ours.get_config()).pruning_schedule == Ours(0.5, 1)


def test_a_block_at_the_edge_is_judged_by_its_own_weights() -> None:
    # Blocks of 4 columns, cut to 2 at the edge: the first has the mean 2.25, the second 2. TFMOT
    # pads one column before the first and judges {0 0 0} against {9 2 2}.
    weights = np.array([[0, 0, 0, 9, 2, 2], [0, 0, 0, 0, 0, 0]], "float32")
    theirs = reference_mask(weights, 0.75, (1, 4))[1]
    ours = _our_mask(weights, 0.75, patterns.Block((1, 4)))
    np.testing.assert_array_equal(theirs, [[0, 0, 0, 0, 1, 1], [0] * 6])
    np.testing.assert_array_equal(ours, [[1, 1, 1, 1, 0, 0], [0] * 6])


def test_a_single_row_of_blocks_works() -> None:
    weights = np.arange(8, dtype="float32").reshape(2, 4)
    with pytest.raises(ValueError, match="must be rank 2"):
        reference_mask(weights, 0.5, (2, 1))
    np.testing.assert_array_equal(
        _our_mask(weights, 0.5, patterns.Block((2, 1))), [[0, 0, 1, 1], [0, 0, 1, 1]]
    )


def _reference_kept(schedule: Any, step: int, size: int, *, in_graph: bool) -> int:
    """How many of `size` weights TFMOT keeps in an update, traced or run eagerly."""
    counter = tf.Variable(step - 1, dtype=tf.int64)
    weights, mask = tf.Variable(np.arange(1, size + 1, dtype="float32")), tf.Variable(tf.ones(size))
    variables = [(weights, mask, tf.Variable(0.0))]
    pruning = pruning_impl.Pruning(lambda: counter, variables, schedule, (1, 1), "AVG")

    def update() -> int:
        counter.assign_add(1)
        pruning.conditional_mask_update()
        return 0  # TensorFlow optimizes only graphs that return something

    (tf.function(update) if in_graph else update)()
    return int(np.count_nonzero(mask.numpy()))


def test_rounding_does_not_depend_on_the_graph() -> None:
    # 200 * (1 - 0.7625) is 47.5 but for rounding. TFMOT keeps 48 as written; in a graph,
    # TensorFlow turns 1 - (a + b) into (1 - b) - a, and 47 are left.
    arguments, step, size = (0.5, 0.8, 9, 17, 3, 1), 13, 200
    theirs = reference.PolynomialDecay(*arguments)
    assert _reference_kept(theirs, step, size, in_graph=False) == 48
    assert _reference_kept(theirs, step, size, in_graph=True) == 47
    assert ranking.kept_count(size, pruneplug.PolynomialDecay(*arguments).sparsity(step)) == 48
