"""The report says how sparse each weight is, and why the rest is not."""

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
from sparse import HALF, dense_model, train

from pruneplug import (
    ConstantSparsity,
    KeepEndsDense,
    MByN,
    MinimumSize,
    Pruner,
    PruningPolicy,
    prune_low_magnitude,
    sparsity_report,
    strip_pruning,
)
from pruneplug.pruning.inspection import Skipped


def test_a_report_of_a_trained_model() -> None:
    model = prune_low_magnitude(dense_model(), HALF)
    train(model)
    report = sparsity_report(model)
    assert [(w.name, w.shape, w.kept, w.sparsity, w.target) for w in report.weights] == [
        ("dense/kernel", (8, 6), 24, 0.5, 0.5),
        ("dense_1/kernel", (6, 1), 3, 0.5, 0.5),
    ]
    assert all(weight.threshold > 0 for weight in report.weights)
    assert report.total == 0.5
    assert report.skipped == ()
    assert report.rows()[1] == {
        "name": "dense_1/kernel",
        "shape": (6, 1),
        "target": 0.5,
        "sparsity": 0.5,
        "kept": 3,
        "threshold": report.weights[1].threshold,
    }


def test_the_total_weighs_each_weight_by_its_size() -> None:
    dense, small = keras.layers.Dense(10), keras.layers.Dense(1)
    layers = [
        prune_low_magnitude(dense, ConstantSparsity(0.5, 1)),
        prune_low_magnitude(small, ConstantSparsity(0.0, 1)),
    ]
    model = keras.Sequential([keras.Input((9,)), *layers])
    Pruner(model).start()
    assert sparsity_report(model).total == pytest.approx(45 / 100)


def test_a_report_before_training_shows_no_sparsity() -> None:
    report = sparsity_report(prune_low_magnitude(dense_model(), HALF))
    assert [(w.sparsity, w.target, w.threshold) for w in report.weights] == [(0.0, 0.0, 0.0)] * 2
    assert report.total == 0.0


def test_a_report_knows_the_target_of_a_model_from_a_file(tmp_path) -> None:
    model = prune_low_magnitude(dense_model(), HALF)
    train(model)
    model.save(tmp_path / "pruned.keras")
    loaded = keras.models.load_model(tmp_path / "pruned.keras")
    assert sparsity_report(loaded) == sparsity_report(model)


def test_frozen_and_unprunable_layers_have_their_reason() -> None:
    model = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(6, name="frozen"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.ReLU(),
            keras.layers.Dense(2, name="head"),
        ]
    )
    model.get_layer("frozen").trainable = False
    report = sparsity_report(prune_low_magnitude(model, HALF))
    assert [weight.name for weight in report.weights] == ["head/kernel"]
    assert set(report.skipped) == {
        Skipped("frozen/kernel", "frozen (not trainable)"),
        Skipped("norm", "nothing to prune in it"),
    }


class Unknown(keras.layers.Layer):
    def build(self, shape: tuple[int, ...]) -> None:
        self.scale = self.add_weight(shape=(shape[-1],))

    def call(self, x: object) -> object:
        return x * self.scale


def test_an_unsupported_layer_has_its_reason_though_nobody_noted_it() -> None:
    layers = [Unknown(name="own"), prune_low_magnitude(keras.layers.Dense(2), HALF)]
    report = sparsity_report(keras.Sequential([keras.Input((8,)), *layers]))
    assert report.skipped == (Skipped("own", "not supported: its class is not known to pruneplug"),)


class OnlyHead(PruningPolicy):
    def allow_pruning(self, layer: keras.layers.Layer) -> bool:
        return layer.name == "dense_1"

    def ensure_model_supports_pruning(self, model: keras.Model) -> None:
        pass


def test_layers_that_a_policy_left_out_are_named() -> None:
    report = sparsity_report(prune_low_magnitude(dense_model(), HALF, pruning_policy=OnlyHead()))
    assert [weight.name for weight in report.weights] == ["dense_1/kernel"]
    assert [skipped.layer for skipped in report.skipped] == ["dense"]
    assert "policy" in report.skipped[0].reason


def test_a_model_in_which_nothing_is_pruned_says_why() -> None:
    report = sparsity_report(prune_low_magnitude(dense_model(), pruning_policy=MinimumSize(99)))
    assert report.weights == ()
    assert report.total == 0.0
    assert report.rows() == []
    assert {skipped.layer for skipped in report.skipped} == {"dense", "dense_1"}


def test_zeros_of_a_dense_a_stripped_and_a_loaded_model_are_counted(tmp_path) -> None:
    model = dense_model()
    assert [w.sparsity for w in sparsity_report(model).weights] == [0.0, 0.0]
    pruned = prune_low_magnitude(model, HALF)
    train(pruned)
    expected = sparsity_report(pruned)
    stripped = strip_pruning(pruned)
    stripped.save(tmp_path / "stripped.keras")
    for other in (stripped, keras.models.load_model(tmp_path / "stripped.keras")):
        report = sparsity_report(other)
        assert [dataclasses.replace(w, target=0.5) for w in report.weights] == list(
            expected.weights
        )
        assert {weight.target for weight in report.weights} == {0.0}
        assert report.total == 0.5
        assert report.skipped == ()


def test_what_cannot_be_counted_in_a_dense_model_has_its_reason() -> None:
    layers = [keras.layers.Dense(6, name=name) for name in ("zero", "quantized")]
    model = keras.Sequential(
        [keras.Input((8,)), *layers, keras.layers.BatchNormalization(name="n")]
    )
    layers[0].kernel.assign(np.zeros((8, 6)))
    layers[1].quantize("int8")
    report = sparsity_report(model)
    assert [(w.name, w.sparsity, w.threshold) for w in report.weights] == [("zero/kernel", 1.0, 0)]
    reasons = {skipped.layer: skipped.reason for skipped in report.skipped}
    assert set(reasons) == {"quantized", "n"}
    assert "must hold a floating-point variable" in reasons["quantized"]


@pytest.mark.parametrize("wrong", ["model.keras", None, keras.layers.Dense(2)])
def test_only_a_model_has_a_report(wrong: object) -> None:
    with pytest.raises(ValueError, match="model must be a Keras model; got"):
        sparsity_report(wrong)


def test_scheduled_m_by_n_reports_the_target_that_its_masks_have() -> None:
    # 0.375 of 4 values is 1.5 of them; of 12 it is 4.5, and 8 are kept: a third, 1 of 4.
    layer = keras.layers.Dense(3, use_bias=False, name="d")
    model = keras.Sequential([keras.Input((4,)), layer])
    schedule = ConstantSparsity(0.375, 1, frequency=1)
    pruned = prune_low_magnitude(model, schedule, sparsity_m_by_n=MByN(2, 4, scheduled=True))
    train(pruned)
    (weight,) = sparsity_report(pruned).weights
    assert weight.target == weight.sparsity == 0.25


def test_a_name_belongs_to_one_layer_of_nested_models() -> None:
    def inner(name: str) -> keras.Model:
        return keras.Sequential([keras.Input((8,)), keras.layers.Dense(8, name="d")], name=name)

    model = keras.Sequential([keras.Input((8,)), inner("a"), inner("b"), keras.layers.Dense(1)])
    pruned = prune_low_magnitude(model, HALF, pruning_policy=KeepEndsDense(last=False))
    report = sparsity_report(pruned)
    assert [weight.name for weight in report.weights[:-1]] == ["d_1/kernel"]
    assert [skipped.layer for skipped in report.skipped] == ["d"]


class Mixed(keras.layers.Layer):
    """Layers inside, weights of its own beside them."""

    def __init__(self, **kwargs: object):
        super().__init__(**kwargs)
        self.inner = keras.layers.Dense(8)

    def build(self, shape: tuple[int, ...]) -> None:
        self.inner.build(shape)
        self.big = self.add_weight(shape=(8, 8), name="big")
        self.scale = self.add_weight(shape=(8,), name="scale")

    def call(self, x: object) -> object:
        return keras.ops.matmul(self.inner(x), self.big) * self.scale


class Derived(keras.layers.Dense):
    """A weight and a layer that its parent does not have."""

    def build(self, shape: tuple[int, ...]) -> None:
        super().build(shape)
        self.extra = self.add_weight(shape=(8, 8), name="extra")
        self.gate = keras.layers.Dense(8, name="gate")
        self.gate.build(shape)

    def call(self, x: object) -> object:
        return super().call(x) + self.gate(x) + keras.ops.matmul(x, self.extra)


class OwnToken(keras.Model):
    """A weight that no layer holds."""

    def __init__(self) -> None:
        super().__init__(name="own")
        self.dense = keras.layers.Dense(8, name="dense")
        self.token = self.add_weight(shape=(1, 8), name="token")

    def call(self, x: object) -> object:
        return self.dense(x + self.token)


@pytest.mark.parametrize(
    ("make", "pruned", "skipped"),
    [
        (lambda: Mixed(name="m"), {"m/inner/kernel"}, {"m/big", "m/scale"}),
        (lambda: Derived(8, name="d"), {"d/kernel"}, {"d/extra", "d/gate/kernel"}),
        (OwnToken, {"own/dense/kernel"}, {"own/token"}),
    ],
)
def test_weights_beside_those_that_are_known_are_named(
    make: Any, pruned: set[str], skipped: set[str]
) -> None:
    inputs = keras.Input((8,))
    model = keras.Model(inputs, make()(inputs))
    wrapped = prune_low_magnitude(model, HALF)
    for report in (sparsity_report(model), sparsity_report(wrapped)):
        assert {weight.name for weight in report.weights} == pruned
        assert {skip.layer for skip in report.skipped} == skipped
        assert all("holds it itself" in skip.reason for skip in report.skipped)


def test_a_weight_of_a_model_that_is_pruned_in_place_is_named() -> None:
    model = OwnToken()
    model(np.ones((2, 8), "f"))
    report = sparsity_report(prune_low_magnitude(model, HALF))
    assert [weight.name for weight in report.weights] == ["dense/kernel"]
    assert [skip.layer for skip in report.skipped] == ["own/token"]
