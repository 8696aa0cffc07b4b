"""One name for each pruned weight, the same wherever it is asked for."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L
from sparse import HALF, train

from pruneplug import ByName, Pruner, prune_low_magnitude, sparsity_report, strip_pruning
from pruneplug.command.sensitivity import candidates
from pruneplug.pruning.weights import named_layers, named_weights


def _inner(name: str) -> keras.Model:
    return keras.Sequential([keras.Input((8,)), L.Dense(8, name="d"), L.Flatten()], name=name)


def _nested() -> keras.Model:
    deep = keras.Sequential([keras.Input((8,)), _inner("a"), _inner("b")])
    return keras.Sequential([keras.Input((8,)), deep, L.Dense(8, name="d_1")])


class Pair(L.Layer):
    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.parts = [L.Dense(8), L.Dense(8)]

    def build(self, shape: Any) -> None:
        for part in self.parts:
            part.build(shape)

    def call(self, x: Any) -> Any:
        return self.parts[0](x) + self.parts[1](x)


class Body(keras.Model):
    """Two layers of one name."""

    def __init__(self, name: str = "body"):
        super().__init__(name=name)
        self.first, self.second = L.Dense(8, name="d"), L.Dense(8, name="d")
        self.pair = Pair(name="pair")

    def call(self, x: Any) -> Any:
        return self.pair(self.second(self.first(x)))


def _inside() -> keras.Model:
    inputs = keras.Input((8,))
    return keras.Model(inputs, L.Dense(8, name="d")(Body("b")(Body("a")(inputs))))


def _in_place() -> keras.Model:
    model = Body()
    model(np.ones((2, 8), "f"))
    return model


NAMES = [
    (_nested, ["d/kernel", "d_1/kernel", "d_2/kernel"]),
    (
        _inside,
        [
            *(f"{body}/{part}/kernel" for body in "ab"
              for part in ("d", "d_1", "pair/parts/0", "pair/parts/1")),
            "d/kernel",
        ],
    ),
    (_in_place, ["d/kernel", "d_1/kernel", "pair/parts/0/kernel", "pair/parts/1/kernel"]),
]  # fmt: skip


@pytest.mark.parametrize(("make", "names"), NAMES)
def test_every_place_gives_the_same_names(
    make: Callable[[], keras.Model], names: list[str]
) -> None:
    model = make()
    assert sorted(w.name for w in sparsity_report(model).weights) == names
    pruned = prune_low_magnitude(model, HALF)
    assert sorted(weight.name for weight in named_weights(pruned)) == names
    assert sorted(weight.name for weight in Pruner(pruned).weights()) == names
    assert sorted(weight.name for weight in candidates(pruned)) == names
    train(pruned, np.ones((4, 8), "f"), np.ones((4, 8), "f"))
    assert sorted(w.name for w in sparsity_report(strip_pruning(pruned)).weights) == names


def test_a_name_does_not_depend_on_what_else_is_pruned() -> None:
    pruned = prune_low_magnitude(_nested(), HALF, pruning_policy=ByName("d_1"))
    # Both the layer of this name, and the second "d", which reports call so.
    assert [name for name, _ in named_layers(pruned)] == ["d_1"]


def test_frozen_weights_have_the_name_that_they_would_be_pruned_under() -> None:
    model = _nested()
    model.layers[0].layers[1].trainable = False
    report = sparsity_report(prune_low_magnitude(model, HALF))
    assert sorted(weight.name for weight in report.weights) == ["d/kernel", "d_1/kernel"]
    assert [skipped.layer for skipped in report.skipped] == ["d_2/kernel"]


def test_a_wrapper_inside_another_layer_has_a_name() -> None:
    wrapped = prune_low_magnitude(L.Dense(3, name="d"), HALF)
    layers = [L.TimeDistributed(wrapped, name="each"), L.Dense(2, name="d")]
    model = keras.Sequential([keras.Input((2, 8)), *layers])
    assert [weight.name for weight in named_weights(model)] == ["d_1/kernel"]


def test_a_wrapper_inside_a_layer_of_ones_own_is_named_by_its_place() -> None:
    class HalfPruned(Pair):
        def __init__(self) -> None:
            L.Layer.__init__(self, name="pair")
            self.parts = [prune_low_magnitude(L.Dense(8), HALF), L.Dense(8)]

    model = keras.Sequential([keras.Input((8,)), HalfPruned()])
    assert [weight.name for weight in named_weights(model)] == ["pair/parts/0/kernel"]
    pruned = prune_low_magnitude(model, HALF)
    names = {"pair/parts/0/kernel", "pair/parts/1/kernel"}
    assert {weight.name for weight in named_weights(pruned)} == names
    assert {weight.name for weight in sparsity_report(strip_pruning(pruned)).weights} == names
