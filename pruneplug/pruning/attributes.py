"""Layers that a model has in attributes: exchanged in place, or added beside the call path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from pruneplug.pruning import keras_internals
from pruneplug.pruning.keras_internals import tracker
from pruneplug.pruning.surgery import Exchange, is_graph, replaced

# Attributes that hold what was added beside the call path.
_BESIDE = "pruning_wrapper_"


def attach_beside(model: keras.Model, layers: Sequence[keras.layers.Layer]) -> None:
    """Add layers to a model without calling them: their variables are saved with it."""
    # One attribute each, numbered: TensorFlow's checkpoints leave lists out, and names of layers
    # differ from process to process.
    with _unlocked(model):
        for number, layer in enumerate(layers, start=len(beside(model))):
            setattr(model, f"{_BESIDE}{number}", layer)
    _forget_training(model)


def detach_beside(model: keras.Model) -> None:
    """Take the layers out again that `attach_beside` has added."""
    with _unlocked(model):
        for name in _names_beside(model):
            tracker(model).untrack(getattr(model, name))
            delattr(model, name)
    _forget_training(model)


@contextmanager
def without_beside(model: keras.Model) -> Iterator[None]:
    """Take away for a while what `attach_beside` has added to a model and to models inside it."""
    owners = [owner for owner in keras_internals.flatten_layers(model) if beside(owner)]
    held = [beside(owner) for owner in owners]
    for owner in owners:
        detach_beside(owner)
    try:
        yield
    finally:
        for owner, layers in zip(owners, held, strict=True):
            attach_beside(owner, layers)


def beside(model: keras.Model) -> list[Any]:
    """Return the layers that `attach_beside` has added, in that order."""
    return [getattr(model, name) for name in _names_beside(model)]


def _names_beside(model: keras.Model) -> list[str]:
    return [name for name in vars(model) if name.startswith(_BESIDE)]


def replace_attributes(model: keras.Model, exchange: Exchange) -> None:
    """Exchange the layers that are held in attributes, of the model or of layers inside it."""
    done: dict[int, tuple[Any, Any]] = {}

    def exchange_once(layer: Any) -> Any:
        return done.setdefault(id(layer), (layer, exchange(layer)))[1]

    for owner in keras_internals.flatten_layers(model):
        if not is_graph(owner) and exchange(owner) is owner:
            for layer in list(keras_internals.sublayers(owner)):
                if (new := exchange_once(layer)) is not layer:
                    _replace_attribute(owner, layer, new)


def _replace_attribute(owner: Any, layer: Any, new: Any) -> None:
    with _unlocked(owner):
        tracker(owner).replace_tracked_value("layers", layer, new)
        for name, value in list(vars(owner).items()):
            other = replaced(value, lambda held: new if held is layer else held)
            if other is not value:
                setattr(owner, name, other)


def _forget_training(model: keras.Model) -> None:
    # The compiled step has the constraints in it that the weights had when it was traced.
    model.train_function = None


@contextmanager
def _unlocked(layer: Any) -> Iterator[None]:
    """Let sub-layers of a built layer change, as Keras does to enable LoRA."""
    locked = tracker(layer).locked
    tracker(layer).unlock()
    try:
        yield
    finally:
        if locked:
            tracker(layer).lock()
