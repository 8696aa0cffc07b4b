"""A wrapper has what its layer has, and keeps what is its own."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L
from sparse import HALF, dense_model

from pruneplug import PruneLowMagnitude, prune_low_magnitude
from pruneplug.pruning.patterns import Unstructured


class Own(L.Layer):
    """A layer whose attributes bear names that a wrapper has too."""

    def __init__(self) -> None:
        super().__init__()
        self.pattern, self.block_size, self.allocation = "mine", 3, None
        self.rate = 0.5

    def build(self, shape: Any) -> None:
        self.table = self.add_weight(shape=(shape[-1], 2), name="table")

    def call(self, x: Any) -> Any:
        return x @ self.table

    def get_prunable_weights(self) -> Any:
        return [self.table]

    def halve(self) -> None:
        """Change what the layer holds."""
        self.rate /= 2


def test_public_attributes_and_methods_are_the_layers() -> None:
    wrapper = PruneLowMagnitude(L.Dense(4, activation="relu", use_bias=False))
    wrapper.build((None, 3))
    assert wrapper.units == 4
    assert wrapper.activation is keras.activations.relu
    assert wrapper.kernel is wrapper.layer.kernel
    assert wrapper.bias is None
    own = PruneLowMagnitude(Own())
    own.halve()
    assert own.rate == own.layer.rate == 0.25


def test_the_states_of_a_stateful_layer_are_reset() -> None:
    model = keras.Sequential([keras.Input(batch_shape=(2, 5, 3)), L.LSTM(4, stateful=True)])
    pruned = prune_low_magnitude(model, HALF)
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("f")
    first, second = pruned(x), pruned(x)
    assert not np.allclose(first, second)
    for layer in pruned.layers:
        if hasattr(layer, "reset_states"):
            layer.reset_states()
    assert all(np.all(np.asarray(state) == 0) for state in pruned.layers[0].states)
    assert np.array_equal(pruned(x), first)
    pruned.layers[0].reset_state()
    assert np.array_equal(pruned(x), first)


def test_what_is_set_has_its_effect_in_the_layer() -> None:
    pruned = prune_low_magnitude(dense_model(), HALF)
    wrapper = pruned.layers[0]
    wrapper.activation = keras.activations.linear
    assert wrapper.layer.activation is keras.activations.linear
    x = np.ones((1, 8), "f")
    assert np.allclose(wrapper(x), x @ wrapper.kernel.numpy())
    wrapper.note = "mine"
    assert not hasattr(wrapper.layer, "note")


def test_the_wrappers_own_names_stay_its_own() -> None:
    layer = Own()
    wrapper = PruneLowMagnitude(layer, HALF)
    wrapper.build((None, 3))
    assert isinstance(wrapper.pattern, Unstructured)
    assert wrapper.block_size == (1, 1)
    assert (layer.pattern, layer.block_size, layer.allocation) == ("mine", 3, None)
    assert wrapper.name != layer.name


@pytest.mark.parametrize("name", ["get_prunable_weights", "enable_lora", "_kernel", "missing"])
def test_what_is_private_or_not_there_is_missing(name: str) -> None:
    for layer in (Own(), L.Dense(2)):
        assert not hasattr(PruneLowMagnitude(layer), name)


def test_a_wrapper_that_was_never_called_has_no_output_of_another_model() -> None:
    model = dense_model()
    wrapper = PruneLowMagnitude(model.layers[0])
    assert model.layers[0].output is not None
    with pytest.raises(AttributeError, match="prune_low_magnitude_dense has never been called"):
        _ = wrapper.output


def test_wrapper_and_layer_train_or_do_not_train_together() -> None:
    model = dense_model()
    pruned = prune_low_magnitude(model, HALF)
    model.layers[0].trainable = False
    assert not pruned.layers[0].trainable
    assert pruned.layers[0].trainable_variables == []
    pruned.layers[0].trainable = True
    assert model.layers[0].trainable
    assert len(pruned.trainable_variables) == 4
    frozen = PruneLowMagnitude(L.Dense(2), trainable=False)
    frozen.build((None, 3))
    assert not frozen.layer.trainable
    assert frozen.trainable_variables == []


def test_inputs_are_checked_as_the_layers() -> None:
    wrapper = PruneLowMagnitude(L.Dense(2))
    wrapper.build((None, 3))
    assert wrapper.input_spec is wrapper.layer.input_spec
    with pytest.raises(ValueError, match="expected axis -1 of input shape to have value 3"):
        wrapper(keras.Input((4,)))
