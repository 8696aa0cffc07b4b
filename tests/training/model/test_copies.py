"""A copy of a model is the same function on variables of its own."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L
from sparse import HALF, check_sparse, train

from pruneplug import prune_low_magnitude
from pruneplug.pruning.surgery import dense_class
from pruneplug.pruning.wrapper import PruneLowMagnitude, pruned_layers
from pruneplug.training.model.copies import check_copy, stripped_copy

X = np.random.default_rng(0).normal(size=(16, 8)).astype("float32")
Y = X[:, :1]


class Block(L.Layer):
    """Holds layers in every container that Keras looks into, and knows no configuration."""

    def __init__(self, *units: int) -> None:
        super().__init__()
        self.chain = [L.Dense(n, activation="relu") for n in units]
        self.named = {"last": L.Dense(8)}
        self.pair = (L.Dropout(0.5), L.BatchNormalization())
        self.call_last = self.last

    def last(self, x: Any) -> Any:
        return self.named["last"](x)

    def call(self, x: Any, training: bool = False) -> Any:
        for layer in self.chain:
            x = layer(x)
        for layer in self.pair:
            x = layer(x, training=training)
        return self.call_last(x)


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block(6)
        self.inner = keras.Sequential([keras.Input((8,)), L.Dense(4, use_bias=False), L.Dense(1)])
        self.seen = keras.metrics.Mean(name="seen")

    def call(self, x: Any, training: bool = False) -> Any:
        return self.inner(self.block(x, training=training), training=training)


def sequential() -> keras.Model:
    return keras.Sequential([keras.Input((8,)), Block(6, 5), L.Dropout(0.2), L.Dense(1)])


def functional() -> keras.Model:
    inputs = keras.Input((8,))
    learnt = L.Normalization()
    learnt.adapt(X + 1)
    shared = L.Dense(8)
    x = shared(shared(learnt(inputs)))
    nested = keras.Sequential([keras.Input((8,)), L.Dense(8, name="d"), L.Reshape((4, 2))])
    x = L.Bidirectional(L.SimpleRNN(3, return_sequences=True))(nested(x + inputs))
    x = L.MultiHeadAttention(1, 2)(x, x)
    return keras.Model(inputs, L.Dense(1)(L.Flatten()(x)))


def subclassed() -> keras.Model:
    model = Subclassed()
    model(X)
    return model


BUILDERS = [sequential, functional, subclassed]


def bits(model: keras.Model) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable) for variable in model.variables]


def same(one: keras.Model, other: keras.Model) -> bool:
    return np.array_equal(one(X), other(X))


@pytest.mark.parametrize("build", BUILDERS)
def test_a_copy_is_the_same_and_shares_nothing(build: Callable[[], keras.Model]) -> None:
    model = prune_low_magnitude(build(), HALF)
    train(model, X, Y)
    before = bits(model)
    copy = stripped_copy(model)
    assert type(copy) is dense_class(type(model))
    assert same(copy, model)
    assert not {id(v) for v in copy.variables} & {id(v) for v in model.variables}
    assert not any(isinstance(x, PruneLowMagnitude) for x in copy._flatten_layers())
    assert all(v.constraint is None for v in copy.variables)
    assert not copy.compiled
    check_copy(copy, model, tf.TensorSpec((None, 8)))
    # Each trains on without a trace in the other.
    kept = bits(copy)
    train(model, X, Y)
    assert all(map(np.array_equal, kept, bits(copy)))
    check_sparse(model)
    after = bits(model)
    copy.compile("sgd", "mse")
    copy.fit(X, Y, verbose=0)
    assert all(map(np.array_equal, after, bits(model)))
    assert not all(map(np.array_equal, before, after))


@pytest.mark.parametrize("build", BUILDERS)
def test_a_copy_can_do_what_a_model_can(build: Callable[[], keras.Model], tmp_path: Any) -> None:
    copy = stripped_copy(build())
    copy.save_weights(tmp_path / "copy.weights.h5")
    again = stripped_copy(copy)
    assert same(again, copy)
    assert [v.path for v in again.variables] == [v.path for v in copy.variables]
    again.layers[-1].set_weights([w + 1 for w in again.layers[-1].get_weights()])
    assert not same(again, copy)
    again.load_weights(tmp_path / "copy.weights.h5")
    assert same(again, copy)
    # Layers of a copy can be pruned, and found, like those of any model.
    pruned = prune_low_magnitude(again, HALF)
    train(pruned, X, Y)
    check_sparse(pruned)


def test_frozen_layers_stay_frozen_and_user_constraints_stay() -> None:
    model = keras.Sequential(
        [keras.Input((8,)), L.Dense(4, kernel_constraint="non_neg"), L.Dense(1)]
    )
    model.layers[1].trainable = False
    copy = stripped_copy(prune_low_magnitude(model, HALF))
    assert [v.trainable for v in copy.variables] == [v.trainable for v in model.variables]
    assert isinstance(copy.layers[0].kernel.constraint, keras.constraints.NonNeg)


def test_the_model_that_is_copied_stays_as_it_is() -> None:
    model = prune_low_magnitude(subclassed(), HALF)
    wrappers, layers = pruned_layers(model), len(model._flatten_layers())
    variables = [v.path for v in model.variables]
    stripped_copy(model)
    assert pruned_layers(model) == wrappers
    assert len(model._flatten_layers()) == layers
    assert [v.path for v in model.variables] == variables


def test_a_layer_in_a_closure_is_found() -> None:
    inputs = keras.Input((8,))
    layer = L.Dense(8)
    hidden = layer(inputs)
    closed = L.Lambda(lambda x: x @ layer.kernel, output_shape=(8,))(hidden)
    model = keras.Model(inputs, L.Dense(1)(closed))
    with pytest.raises(ValueError, match="a function in it reads dense/kernel"):
        check_copy(stripped_copy(model), model, tf.TensorSpec((None, 8)))


def test_a_model_that_cannot_be_called_passes() -> None:
    class Uncalled(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.part = keras.Sequential([keras.Input((8,)), L.Dense(2)])

    model = Uncalled()
    copy = stripped_copy(model)
    check_copy(copy, model, tf.TensorSpec((None, 8)))
    assert same(copy.part, model.part)
    assert copy.part.variables[0] is not model.part.variables[0]
