"""The report says how sparse each weight is, and why the rest is not."""

import keras
import pytest
from sparse import HALF, dense_model, train

from pruneplug import ConstantSparsity, Pruner, PruningPolicy, prune_low_magnitude, sparsity_report
from pruneplug.report import Skipped


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


def test_a_model_that_is_not_pruned_has_an_empty_report() -> None:
    report = sparsity_report(dense_model())
    assert report.weights == ()
    assert report.total == 0.0
    assert report.rows() == []
