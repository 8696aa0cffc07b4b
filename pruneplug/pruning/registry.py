"""Which variables of a layer can be pruned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MethodType
from typing import Any, NamedTuple

import keras

from pruneplug.pruning import keras_internals
from pruneplug.pruning.known_layers import comes_with_keras, entry, is_known, is_named
from pruneplug.pruning.sparsity import is_within, join_names, unique_names


class PrunableLayer:
    """Mix this into a layer of your own and say which of its weights can be pruned."""

    def get_prunable_weights(self) -> Sequence[keras.Variable]:
        """Return the variables to prune; the layer is built when this is asked."""
        raise NotImplementedError(f"{type(self).__name__} must define get_prunable_weights().")


def unsupported_reason(layer: keras.layers.Layer) -> str | None:
    """Return why a layer cannot be pruned, or None when it can (or has nothing to prune)."""
    if _names_its_own(layer):
        return None
    said = entry(layer)
    if isinstance(said, str):
        return said
    inside = _layers_inside(layer)
    if said is None and not inside and not (is_known(type(layer)) or _has_no_weights(layer)):
        unbuilt = "" if layer.built else ", and it is not built yet"
        return f"its class is not known to pruneplug{unbuilt}"
    for part in inside:
        if reason := unsupported_reason(part):
            return f"in '{part.name}' ({type(part).__name__}) inside it, {reason}"
    return None


def check_supported(layer: keras.layers.Layer) -> None:
    """Raise ValueError when a layer cannot be pruned."""
    reason = unsupported_reason(layer)
    if reason is not None:
        raise ValueError(
            f"{_describe(layer)} cannot be pruned: {reason}. "
            "Let its class define get_prunable_weights() (see PrunableLayer), call "
            "register_prunable(), or leave the layer out with a pruning policy."
        )


def has_prunable_weights(layer: keras.layers.Layer) -> bool:
    """Return whether a layer has weights to prune, now or once it is built."""
    if _names_its_own(layer):
        return True
    if inside := _layers_inside(layer):
        return any(has_prunable_weights(part) for part in inside)
    said = entry(layer)
    return isinstance(said, tuple) and bool(said)


def prunable_weights(
    layer: keras.layers.Layer, only: Sequence[str] | None = None
) -> list[tuple[str, keras.Variable]]:
    """Return name and variable of each weight that can be pruned, each weight once.

    Args:
        layer: A built layer.
        only: Names of the weights that are wanted, or paths of layers inside; by default all.

    Returns:
        Pairs in the order of creation. Names are unique within the layer and the same in every
        process: "kernel", "recurrent_kernel", "query/kernel", "forward/kernel", "cells/0/kernel".

    Raises:
        ValueError: What should be pruned is not there, or is not a variable of floating-point
            values (LoRA and quantized layers).
    """
    found = [weight for weight in _weights(layer) if only is None or is_within(weight.name, only)]
    for path in () if only is None else only:
        if not any(is_within(weight.name, [path]) for weight in found):
            raise ValueError(
                f"{_describe(layer)} must hold a weight {path!r} to be pruned; got none."
            )
    # A layer may hold another one to use its weights: they are of the layer that holds them itself.
    nearest: dict[int, _Weight] = {}
    for weight in sorted(found, key=lambda weight: weight.depth):
        nearest.setdefault(id(weight.variable), weight)
    return [(w.name, w.variable) for w in found if nearest[id(w.variable)] is w]


def answer_for(layer: keras.layers.Layer) -> None:
    """Let a layer answer `get_prunable_weights()`, as TFMOT lets those it wraps.

    One whose class answers itself is left alone, and none counts thereby as one that does.
    """
    if not hasattr(layer, "get_prunable_weights"):
        # A method, not a function: copies of the layer answer for themselves.
        layer.get_prunable_weights = MethodType(_answer, layer)


def _answer(layer: keras.layers.Layer) -> list[keras.Variable]:
    return [weight for _, weight in prunable_weights(layer)]


class _Weight(NamedTuple):
    name: str
    variable: keras.Variable
    depth: int


def _weights(layer: Any, prefix: str = "", depth: int = 0) -> Iterator[_Weight]:
    """Yield what can be pruned in a layer, with its path in it and how deep it lies."""
    for name, part in contents(layer):
        path = join_names(prefix, name)
        if isinstance(part, keras.layers.Layer):
            yield from _weights(part, path, depth + 1)
        else:
            _check_variable(part, name, layer)
            yield _Weight(path, part, depth)


def _named_by_itself(layer: Any) -> list[tuple[str, Any]]:
    return [(getattr(part, "name", repr(part)), part) for part in layer.get_prunable_weights()]


def _check_variable(part: Any, name: str, layer: Any) -> None:
    if not isinstance(part, keras.Variable) or "float" not in part.dtype:
        raise ValueError(
            f"{_describe(layer)} must hold a floating-point variable in {name} to be pruned; "
            f"got {getattr(part, 'dtype', '')} {type(part).__name__}. Prune before you enable "
            "LoRA or quantize, or leave the layer out with a pruning policy."
        )


def contents(layer: Any) -> list[tuple[str, Any]]:
    """Return name and value of what a layer holds to prune: variables, and layers to look into."""
    found = _named_by_itself(layer) if _names_its_own(layer) else _held(layer)
    names = unique_names([name for name, _ in found])
    return [(name, value) for name, (_, value) in zip(names, found, strict=True)]


def is_described(layer: Any) -> bool:
    """Return whether all is said of what a layer holds: its class is Keras', or was registered."""
    kind = type(layer)
    nearest = next(c for c in kind.__mro__ if comes_with_keras(c) or is_named(c))
    return _names_its_own(layer) or nearest is kind or not comes_with_keras(nearest)


def _held(layer: Any) -> list[tuple[str, Any]]:
    said = entry(layer)
    if isinstance(said, tuple):
        held = {name: getattr(layer, name, None) for name in said}
        _check_found(held, layer)
        return [p for name, value in held.items() for p in _named(name, value, len(said) == 1)]
    if isinstance(layer, keras.Model):
        return [(part.name, part) for part in layer.layers]
    return [] if comes_with_keras(type(layer)) else _sublayers(layer)


def _check_found(held: Mapping[str, Any], layer: Any) -> None:
    if layer.built and held and all(value is None for value in held.values()):
        raise ValueError(
            f"{_describe(layer)} must have an attribute {' or '.join(held)} to be pruned, as was "
            "registered for its class; got none."
        )


def _named(attribute: str, value: Any, alone: bool) -> list[tuple[str, Any]]:
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return [(f"{attribute}/{index}", item) for index, item in enumerate(value)]
    if not isinstance(value, keras.layers.Layer):
        return [(attribute, value)]
    # The one layer that another is made of needs no mention: "kernel" of an LSTM, not of its cell.
    name = attribute.strip("_").removesuffix("_dense").removesuffix("_layer")
    return [("" if alone else name, value)]


def _sublayers(layer: Any) -> list[tuple[str, Any]]:
    """Name the layers that a user's own layer is made of by the attributes that hold them."""
    names = {id(part): path for path, part in _flattened(vars(layer))}
    inside = keras_internals.flatten_layers(layer, include_self=False, recursive=False)
    return [(names.get(id(part), part.name), part) for part in inside]


def _flattened(container: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what dicts and lists hold, with its path: "blocks/0"."""
    for key, value in container.items():
        if isinstance(value, list | tuple):
            value = dict(enumerate(value))
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value


def _layers_inside(layer: Any) -> list[keras.layers.Layer]:
    if _names_its_own(layer):  # it may not be built yet, and what it names are weights
        return []
    return [part for _, part in contents(layer) if isinstance(part, keras.layers.Layer)]


def _names_its_own(layer: Any) -> bool:
    own = getattr(layer, "get_prunable_weights", None)
    return own is not None and getattr(own, "__func__", None) is not _answer


def _has_no_weights(layer: Any) -> bool:
    """Return whether a layer has no weights and will have none; random states are not weights."""
    return not layer.weights and (layer.built or type(layer).build is keras.layers.Layer.build)


def _describe(layer: Any) -> str:
    return f"Layer '{layer.name}' ({type(layer).__name__})"
