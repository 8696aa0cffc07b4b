"""Outputs, losses, metrics and layers by name: a pruned model answers to the dense one's names."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L
from sparse import HALF, dense_model

from pruneplug import (
    PolynomialDecay,
    PruneLowMagnitude,
    Trainer,
    UpdatePruningStep,
    prune_low_magnitude,
    strip_pruning,
)
from pruneplug.pruning.naming import metric_name

X = np.ones((8, 8), "f")
Y = {"cls": np.zeros(8, "i"), "reg": np.zeros((8, 1), "f")}
LOSSES = {"cls": "sparse_categorical_crossentropy", "reg": "mse"}
METRICS = {"cls": ["accuracy"], "reg": ["mae"]}
LOGS = {"loss", "cls_loss", "cls_accuracy", "reg_loss", "reg_mae"}
KINDS: dict[str, Callable[[str], str]] = {
    "the dense names": lambda name: name,
    "the wrappers' names": lambda name: f"prune_low_magnitude_{name}",
    "both": lambda name: f"prune_low_magnitude_{name}" if name == "reg" else name,
}


def _two_heads() -> keras.Model:
    inputs = keras.Input((8,))
    x = L.ReLU()(L.Dense(6, name="hidden")(inputs))
    heads = [L.Dense(3, activation="softmax", name="cls")(x), L.Dense(1, name="reg")(x)]
    return keras.Model(inputs, heads)


def _shared_head() -> keras.Model:
    a, b, head = keras.Input((4,)), keras.Input((4,)), L.Dense(1, name="head")
    return keras.Model([a, b], [head(a), L.ReLU(name="relu")(head(b)), head(b)])


def _states() -> keras.Model:
    inputs = keras.Input((3, 4))
    return keras.Model(inputs, L.LSTM(2, return_state=True, name="lstm")(inputs))


def _encoder_and_head() -> keras.Model:
    inputs = keras.Input((8,))
    return keras.Model(inputs, [_two_heads()(inputs), L.Dense(1, name="direct")(inputs)])


def _through_file(model: keras.Model) -> keras.Model:
    return keras.models.model_from_json(model.to_json())


@keras.saving.register_keras_serializable("tests")
class Wrapped(keras.Model):
    """A class of the user's own."""


WAYS: list[Callable[[keras.Model], keras.Model]] = [
    lambda model: model,
    strip_pruning,
    keras.models.clone_model,
    copy.deepcopy,
    _through_file,
    lambda model: pickle.loads(pickle.dumps(model)),
    lambda model: prune_low_magnitude(model, HALF),
    lambda model: keras.Model(model.inputs, model.outputs),
    lambda model: _through_file(Wrapped(model.inputs, model.outputs)),
]


@pytest.mark.parametrize("make", [_two_heads, _shared_head, _states, _encoder_and_head])
def test_output_names_are_the_dense_models_wherever_the_pruned_one_goes(make) -> None:
    dense = make()
    pruned = prune_low_magnitude(dense, HALF)
    for way in WAYS:
        assert way(pruned).output_names == dense.output_names
    for inner in filter(lambda layer: hasattr(layer, "output_names"), pruned.layers):
        assert inner.output_names == dense.get_layer(inner.name).output_names


def test_a_pruned_model_looks_like_the_dense_one() -> None:
    for dense in (_two_heads(), dense_model()):
        pruned = prune_low_magnitude(dense, HALF)
        assert type(pruned).__name__ == type(dense).__name__
        assert type(strip_pruning(pruned)) is type(dense)
        assert [layer.name for layer in pruned.layers if isinstance(layer, PruneLowMagnitude)] == [
            f"prune_low_magnitude_{layer.name}" for layer in dense.layers if layer.weights
        ]


def _compiled(model: keras.Model, kind: str) -> keras.Model:
    def named(values: dict[str, Any]) -> dict[str, Any]:
        return {KINDS[kind](name): value for name, value in values.items()}

    weights = named({"cls": 1.0, "reg": 0.5})
    model.compile("adam", named(LOSSES), weights, named(METRICS), run_eagerly=True)
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_losses_metrics_targets_and_monitors_go_by_either_name(kind: str, tmp_path: Path) -> None:
    named = {KINDS[kind](name): value for name, value in Y.items()}
    model = _compiled(prune_low_magnitude(_two_heads(), HALF), kind)
    monitor = f"val_{KINDS[kind]('reg')}_mae"
    stop = keras.callbacks.EarlyStopping(monitor, mode="max", patience=1, min_delta=100)
    callbacks = [UpdatePruningStep(), stop]
    history = model.fit(
        X, named, validation_data=(X, named), epochs=5, verbose=0, callbacks=callbacks
    ).history
    assert history.keys() == {start + name for start in ("", "val_") for name in LOGS}
    assert len(history["loss"]) == 2  # stopped
    assert model.evaluate(X, named, verbose=0, return_dict=True).keys() == LOGS
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.compiled
    assert loaded.optimizer.iterations == 2
    assert loaded.evaluate(X, named, verbose=0) == model.evaluate(X, named, verbose=0)
    _compiled(loaded, kind).fit(X, named, verbose=0, callbacks=[UpdatePruningStep()])


@pytest.mark.parametrize("kind", ["the dense names", "the wrappers' names"])
def test_the_trainer_takes_either_name(kind: str) -> None:
    def named(values: dict[str, Any]) -> dict[str, Any]:
        return {KINDS[kind](name): value for name, value in values.items()}

    monitor = f"val_{KINDS[kind]('cls')}_accuracy"
    stop = keras.callbacks.EarlyStopping(monitor, mode="max", patience=1, min_delta=100)
    trainer = Trainer(
        _two_heads(), PolynomialDecay(0.0, 0.5, 0, 2, frequency=1), loss=named(LOSSES),
        metrics=named(METRICS), epochs=5, batch_size=4, monitor=monitor, callbacks=[stop],
    )  # fmt: skip
    result = trainer.fit((X, named(Y)), (X, named(Y)))
    assert "val_cls_accuracy" in result.metrics
    assert result.model.output_names == ["cls", "reg"]
    assert len(result.history["loss"]) == 2


def test_layers_are_found_by_either_name() -> None:
    pruned = prune_low_magnitude(_two_heads(), HALF)
    for model in (pruned, copy.deepcopy(pruned), keras.models.clone_model(pruned)):
        assert model.get_layer("cls") is model.get_layer("prune_low_magnitude_cls")
        assert model.get_layer(index=1) is model.layers[1]
        with pytest.raises(ValueError, match="No such layer: other"):
            model.get_layer("other")
    chain = prune_low_magnitude(dense_model(), HALF)
    assert chain.get_layer("dense_1") is chain.layers[1]


def test_one_wrapped_by_hand_bears_its_wrappers_name_as_in_the_reference() -> None:
    inputs = keras.Input((8,))
    head = prune_low_magnitude(L.Dense(1, name="out"), HALF)
    model = keras.Model(inputs, head(L.Dense(4)(inputs)))
    assert model.output_names == ["prune_low_magnitude_out"]
    pruned = prune_low_magnitude(model, HALF)
    assert pruned.output_names == ["prune_low_magnitude_out"]
    pruned.compile("adam", {"out": "mse"}, run_eagerly=True)
    pruned.fit(X, np.zeros((8, 1)), verbose=0, callbacks=[UpdatePruningStep()])
    assert strip_pruning(model).output_names == ["out"]


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ("val_prune_low_magnitude_cls_accuracy", "val_cls_accuracy"),
        ("prune_low_magnitude_reg_mae", "reg_mae"),
        ("val_cls_accuracy", "val_cls_accuracy"),
        ("prune_low_magnitude_hidden_mae", "prune_low_magnitude_hidden_mae"),
        ("val_loss", "val_loss"),
    ],
)
def test_metrics_are_named_as_in_the_logs(given: str, known: str) -> None:
    assert metric_name(prune_low_magnitude(_two_heads(), HALF), given) == known
