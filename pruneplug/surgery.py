"""How layers of a model are exchanged: in a copy of its graph, or in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras.src.models.functional import (  # keras has no public names for them
    Functional,
    functional_like_constructor,
)

# Attributes that hold what was added beside the call path.
_BESIDE = "pruning_wrapper_"

# What a layer, or another operation of a graph, is exchanged for: itself or a new one.
Exchange = Callable[[Any], Any]


def is_graph(model: Any) -> bool:
    """Return whether a model is nothing but its graph of layers, so that it can be built anew."""
    if isinstance(model, Functional):
        return bool(functional_like_constructor(type(model)))
    return isinstance(model, keras.Sequential)


def rebuild(
    model: keras.Model, exchange: Exchange, done: dict[int, Any] | None = None
) -> keras.Model:
    """Build a model's graph anew, and those of nested models, on exchanged layers.

    Args:
        model: A Sequential or Functional model.
        exchange: Asked once for each layer, however often it is called in the graph.
        done: What layers (by id) have been exchanged for already.

    Returns:
        A new model of the same name, not compiled.
    """
    done = {} if done is None else done

    def exchange_once(layer: Any) -> Any:
        if id(layer) not in done:
            nested = is_graph(layer)
            done[id(layer)] = rebuild(layer, exchange, done) if nested else exchange(layer)
        return done[id(layer)]

    # Cloning would also compile the new model, with a copy of the optimizer.
    compiled, model.compiled = model.compiled, False
    try:
        clone = keras.models.clone_model(model, _inputs_like(model), exchange_once)
    finally:
        model.compiled = compiled
    _keep_class(clone, model)
    # Setting the property would set it in the shared layers too, and thaw the frozen ones.
    clone._trainable = model.trainable
    # Keras forgets it, and by it `compile` knows that a loss must be scaled.
    clone.dtype_policy = model.dtype_policy
    return clone


def _inputs_like(model: keras.Model) -> Any:
    """Make inputs of the same names; Keras would number them anew."""
    if isinstance(model, keras.Sequential):
        return None  # Keras keeps the name there

    def again(tensor: Any) -> Any:
        layer = tensor._keras_history.operation
        return type(layer).from_config(layer.get_config()).output

    return keras.tree.map_structure(again, model.input)


def _keep_class(clone: keras.Model, model: keras.Model) -> None:
    """Let the copy of a subclassed Sequential be of its class too, with what it holds besides."""
    if isinstance(model, keras.Sequential) and type(clone) is not type(model):
        clone.__class__ = type(model)
        for name in vars(model).keys() - vars(clone).keys():
            setattr(clone, name, getattr(model, name))


def attach_beside(model: keras.Model, layers: Sequence[keras.layers.Layer]) -> None:
    """Add layers to a built model without calling them: their variables are saved with it."""
    # One attribute each, numbered: TensorFlow's checkpoints leave lists out, and names of layers
    # differ from process to process.
    with _unlocked(model):
        for number, layer in enumerate(layers, start=len(_beside(model))):
            setattr(model, f"{_BESIDE}{number}", layer)
    _forget_training(model)


def detach_beside(model: keras.Model) -> None:
    """Take the layers out again that `attach_beside` has added."""
    with _unlocked(model):
        for name in _beside(model):
            model._tracker.untrack(getattr(model, name))
            delattr(model, name)
    _forget_training(model)


@contextmanager
def without_beside(model: keras.Model) -> Iterator[None]:
    """Take away for a while what `attach_beside` has added to a model and to models inside it."""
    owners = [owner for owner in model._flatten_layers() if _beside(owner)]
    held = [[getattr(owner, name) for name in _beside(owner)] for owner in owners]
    for owner in owners:
        detach_beside(owner)
    try:
        yield
    finally:
        for owner, layers in zip(owners, held, strict=True):
            attach_beside(owner, layers)


def _beside(model: keras.Model) -> list[str]:
    return [name for name in vars(model) if name.startswith(_BESIDE)]


def replace_attributes(model: keras.Model, exchange: Exchange) -> None:
    """Exchange the layers that are held in attributes, of the model or of layers inside it."""
    for owner in model._flatten_layers():
        if not is_graph(owner) and exchange(owner) is owner:
            for layer in list(owner._layers):
                if (new := exchange(layer)) is not layer:
                    _replace_attribute(owner, layer, new)


def _replace_attribute(owner: Any, layer: Any, new: Any) -> None:
    with _unlocked(owner):
        owner._tracker.replace_tracked_value("layers", layer, new)
        for name, value in list(vars(owner).items()):
            if (replaced := _replaced(value, layer, new)) is not value:
                setattr(owner, name, replaced)


def _replaced(value: Any, old: Any, new: Any) -> Any:
    """Return a value in which one layer is exchanged, in containers too; itself if it is not."""
    if value is old:
        return new
    if isinstance(value, list | tuple):
        items = [_replaced(item, old, new) for item in value]
        changed = any(a is not b for a, b in zip(items, value, strict=True))
        return (tuple(items) if isinstance(value, tuple) else items) if changed else value
    if isinstance(value, dict):
        entries = {key: _replaced(item, old, new) for key, item in value.items()}
        return entries if any(entries[key] is not value[key] for key in value) else value
    return value


def _forget_training(model: keras.Model) -> None:
    # The compiled step has the constraints in it that the weights had when it was traced.
    model.train_function = None


@contextmanager
def _unlocked(layer: Any) -> Iterator[None]:
    """Let sub-layers of a built layer change, as Keras does to enable LoRA."""
    layer._tracker.unlock()
    try:
        yield
    finally:
        layer._tracker.lock()
