"""What remains different from TFMOT for those who move: each test shows both sides."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from oracle import OURS, THEIRS, Library, build_pair, reference

import pruneplug

X = np.random.default_rng(0).normal(size=(24, 8)).astype("float32")
BATCH = 4
STEPS = len(X) // BATCH


def _network(k: Any) -> Any:
    return k.Sequential([k.layers.Input((8,)), k.layers.Dense(3)])


def _fit(model: Any, library: Library, *callbacks: Any, **kwargs: Any) -> None:
    # Of a few steps, tracing them would take the longest.
    model.compile(library.keras.optimizers.SGD(0.01), "mse", run_eagerly=True)
    callbacks = (library.sparsity.UpdatePruningStep(), *callbacks)
    arguments = {"batch_size": BATCH, "shuffle": False, "verbose": 0} | kwargs
    model.fit(X, X[:, :3], callbacks=list(callbacks), **arguments)


def _pruned(library: Library, *args: Any, **kwargs: Any) -> Any:
    return library.sparsity.prune_low_magnitude(_network(library.keras), *args, **kwargs)


def test_an_unfinished_ramp_is_one_update_ahead() -> None:
    ours, theirs = build_pair(
        _network,
        *(
            {"pruning_schedule": x.sparsity.PolynomialDecay(0.2, 0.8, 1, 20, 1, 1)}
            for x in (OURS, THEIRS)
        ),
    )
    for model, library in [(ours, OURS), (theirs, THEIRS)]:
        _fit(model, library)
    due = pruneplug.PolynomialDecay(0.2, 0.8, 1, 20, 1, 1)
    size = 24
    kept = [np.count_nonzero(x.layers[0].pruning_vars[0][1]) for x in (ours, theirs)]
    assert kept == [round(size * (1 - due.sparsity(step))) for step in (STEPS + 1, STEPS)]


def test_layers_with_nothing_to_prune_are_not_wrapped() -> None:
    def build(k: Any) -> Any:
        layers = k.layers
        return k.Sequential(
            [layers.Input((4,)), layers.Dense(2), layers.ReLU(), layers.Dropout(0.1)]
        )

    wrapped = [
        [layer.name.startswith("prune_low_magnitude_") for layer in model.layers]
        for model in build_pair(build, {}, {})
    ]
    assert wrapped == [[True, False, False], [True, True, True]]
    # By itself, such a layer is wrapped in both.
    for library in (OURS, THEIRS):
        wrapper = library.sparsity.prune_low_magnitude(library.keras.layers.Dropout(0.1))
        assert wrapper.layer.get_prunable_weights() == []


def test_a_schedules_configuration_is_flat_and_a_nested_one_is_read() -> None:
    ours, theirs = (x.sparsity.ConstantSparsity(0.5, 2, 8, 3) for x in (OURS, THEIRS))
    assert theirs.get_config() == {"class_name": "ConstantSparsity", "config": ours.get_config()}
    assert pruneplug.ConstantSparsity.from_config(theirs.get_config()) == ours
    with pytest.raises(TypeError, match="unexpected keyword"):
        reference.ConstantSparsity.from_config(theirs.get_config())


def test_schedules_answer_with_numbers_and_do_not_change() -> None:
    ours, theirs = (x.sparsity.ConstantSparsity(0.5, 2, 8, 3) for x in (OURS, THEIRS))
    assert ours(5) == (True, 0.5)
    assert [answer.numpy() for answer in theirs(5)] == [True, 0.5]
    theirs.frequency = 1
    with pytest.raises(AttributeError, match="frequency"):
        ours.frequency = 1


def _own_layers(k: Any) -> Iterator[Any]:
    class Sub(k.layers.Dense):
        pass

    class Block(k.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inner = k.layers.Dense(3)

        def build(self, shape: Any) -> None:
            self.inner.build(shape)

        def call(self, x: Any) -> Any:
            return self.inner(x)

    yield from (
        Sub(3),
        Block(),
        k.layers.ConvLSTM2D(2, 3),
        k.layers.Bidirectional(k.layers.LSTM(2)),
    )


def test_layers_of_ones_own_made_of_keras_layers_are_pruned() -> None:
    for layer in _own_layers(tf_keras):
        with pytest.raises(ValueError, match="supported layer"):
            reference.prune_low_magnitude(layer)
    for layer, shape in zip(
        _own_layers(keras), [(2, 4), (2, 4), (2, 3, 8, 8, 1), (2, 3, 4)], strict=True
    ):
        wrapper = pruneplug.prune_low_magnitude(layer)
        wrapper(np.zeros(shape, "float32"))
        assert wrapper.prunable_weights == layer.get_prunable_weights() != []


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_pruned_model_loads_without_a_scope(tmp_path: Path) -> None:
    for library in (OURS, THEIRS):
        path = tmp_path / f"{library.keras.__name__}.h5"
        _pruned(library).save(path)
        with library.sparsity.prune_scope():
            library.keras.models.load_model(path)
        if library is OURS:
            library.keras.models.load_model(path)
        else:
            with pytest.raises(ValueError, match="Unknown layer"):
                library.keras.models.load_model(path)


def test_m_by_n_on_three_dimensional_kernels_is_refused_before_training() -> None:
    def build(k: Any) -> Any:
        return k.Sequential([k.layers.Input((4, 4, 4, 4)), k.layers.Conv3D(2, 3)])

    with pytest.raises(ValueError, match="weights with 2 or 4 axes"):
        pruneplug.prune_low_magnitude(build(keras), sparsity_m_by_n=(2, 4))
    theirs = reference.prune_low_magnitude(build(tf_keras), sparsity_m_by_n=(2, 4))
    theirs.compile("sgd", "mse")
    x, y = np.ones((2, 4, 4, 4, 4)), np.ones((2, 2, 2, 2, 2))
    with pytest.raises(ValueError, match="is not supported"):
        theirs.fit(x, y, verbose=0, callbacks=[reference.UpdatePruningStep()])


def test_floats_that_the_reference_refuses_in_training_are_steps_too() -> None:
    assert pruneplug.ConstantSparsity(0.5, 2.0, 8.0, 3.0) == pruneplug.ConstantSparsity(
        0.5, 2, 8, 3
    )
    with pytest.raises(TypeError, match="Cannot convert"):
        reference.ConstantSparsity(0.5, 2.0, 8.0, 3.0)(tf.constant(2, tf.int64))
