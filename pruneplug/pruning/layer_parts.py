"""The layers of a model that are pruned one by one, the parts of them, and their names."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import keras

from pruneplug.pruning import keras_internals, known_layers, registry, surgery
from pruneplug.pruning.sparsity import join_names, unique_names


@dataclass(frozen=True, eq=False)
class Part:
    """What is decided on as a whole: a layer, or one of those that a user's own layer is made of.

    Args:
        member: The name of the member layer that it is a part of, unique in the model.
        path: Where it lies in that layer; "" for all of it.
        layers: That layer and those on the way from it to this one, which comes last.
    """

    member: str
    path: str
    layers: tuple[keras.layers.Layer, ...]

    @property
    def name(self) -> str:
        """Its name in the model: "<layer>" or "<layer>/<path>"."""
        return join_names(self.member, self.path)

    @property
    def layer(self) -> keras.layers.Layer:
        """The layer itself."""
        return self.layers[-1]

    @property
    def is_container(self) -> bool:
        """Whether it is not decided on itself, but what is in it."""
        return _is_container(self.layer)

    @property
    def takes_part(self) -> bool:
        """Whether there is something to prune in it, or to refuse."""
        prunable = registry.has_prunable_weights(self.layer)
        return prunable or registry.unsupported_reason(self.layer) is not None

    def weights(self) -> dict[str, keras.Variable]:
        """Return its prunable weights by their path in the member, {} before it is built.

        Raises:
            ValueError: What should be pruned is not there, or not of floating-point values.
        """
        if not self.layer.built or registry.unsupported_reason(self.layer) is not None:
            return {}
        found = registry.prunable_weights(self.layer)
        return {join_names(self.path, name): weight for name, weight in found}


def member_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers that are pruned one by one, each once, nested models' in their place.

    Of wrapped layers, what is inside is given.
    """
    found = _members(model, in_place=not surgery.is_graph(model))
    return list({id(layer): layer for layer in found}.values())


def _members(model: keras.Model, in_place: bool) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        # In a graph, a model that is not one itself can only be exchanged as a whole.
        if isinstance(layer, keras.Model) and (in_place or surgery.is_graph(layer)):
            yield from _members(layer, in_place)
        else:
            yield unwrapped(layer)


def unwrapped(layer: Any) -> Any:
    """Return what a pruning wrapper holds, and any other layer itself."""
    # The wrapper's class is made above this module; this is what marks it.
    return layer.layer if hasattr(layer, "pruning_vars") else layer


def member_names(layers: Iterable[keras.layers.Layer]) -> list[tuple[str, keras.layers.Layer]]:
    """Return each layer once, with a name that no other has: those of nested models may agree."""
    members = list({id(layer): layer for layer in layers}.values())
    names = unique_names([layer.name for layer in members])
    return list(zip(names, members, strict=True))


def model_parts(model: keras.Model) -> Iterator[Part]:
    """Yield the parts of all member layers."""
    return list_parts(member_layers(model))


def list_parts(layers: Iterable[keras.layers.Layer]) -> Iterator[Part]:
    """Yield the parts of some layers."""
    for name, layer in member_names(layers):
        yield from (part for part in parts_and_containers(layer, name) if not part.is_container)


def parts_and_containers(
    layer: Any, member: str, path: str = "", around: tuple[Any, ...] = ()
) -> Iterator[Part]:
    """Yield the parts of a layer and what they are in, from outside to inside.

    Args:
        layer: The layer.
        member: The name of the member layer.
        path: Where it lies in that.
        around: The layers on the way from that to this one.
    """
    layer = unwrapped(layer)
    part = Part(member, path, (*around, layer))
    yield part
    if part.is_container:
        for name, inside in registry.contents(layer):
            yield from parts_and_containers(inside, member, join_names(path, name), part.layers)


def _is_container(layer: Any) -> bool:
    """Return whether a layer is a model, or a user's own that is made of layers."""
    parts = [part for _, part in registry.contents(layer) if isinstance(part, keras.layers.Layer)]
    is_own = not (registry.is_described(layer) or known_layers.is_known(type(layer)))
    is_made_of_them = is_own or isinstance(layer, keras.Model)
    return bool(parts) and (is_made_of_them or any(map(_is_container, parts)))


def part_of(model: keras.Model, layer: keras.layers.Layer) -> Part:
    """Return the part of a model that a layer is, nearest to the model; alone, if it is none."""
    found = (
        part
        for name, member in member_names(member_layers(model))
        if any(layer is inside for inside in keras_internals.flatten_layers(member))
        for part in parts_and_containers(member, name)
        if part.layer is layer
    )
    return min(found, key=lambda part: len(part.layers), default=Part(layer.name, "", (layer,)))


def weights_beside(layer: keras.layers.Layer) -> dict[str, keras.Variable]:
    """Return by name the weights of a user's own class that nobody has said can be pruned.

    In a layer made of layers, they are those that it holds itself. A class derived from one of
    Keras' has what it adds to that, in layers too; vectors are not among it, since none are
    pruned there.
    """
    if registry.is_described(layer):
        return {}
    parts = [part for _, part in registry.contents(layer)]
    held = (p.weights if isinstance(p, keras.layers.Layer) else [p] for p in parts)
    known = {id(weight) for weights in held for weight in weights}
    axes = 2 if known_layers.is_known(type(layer)) else 0
    added = [w for w in layer.weights if id(w) not in known and len(w.shape) >= axes]
    inside = keras_internals.flatten_layers(layer, include_self=False, recursive=False)
    places = {id(weight): part.name for part in inside for weight in part.weights}
    names = unique_names([join_names(places.get(id(w), ""), w.name) for w in added])
    return dict(zip(names, added, strict=True))


class Owners:
    """Which part each weight belongs to: a layer may hold another one to use its weights.

    It is the part nearest to the model, the first of several.

    Args:
        parts: All of a model.
        pruned: Layers, by id, that are pruned already: what is in them comes before all others.
    """

    def __init__(self, parts: Iterable[Part], pruned: Container[int] = ()):
        def distance(part: Part) -> tuple[bool, int, bool]:
            is_pruned = any(id(layer) in pruned for layer in part.layers)
            return not is_pruned, len(part.layers), bool(_inside(part))

        self._owners: dict[int, Part] = {}
        for part in sorted(parts, key=distance):
            for _, key in _keys(part):
                self._owners.setdefault(key, part)

    def foreign(self, part: Part) -> dict[str, Part]:
        """Return the owners of those of a part's weights that it only borrows, by their path."""
        owners = ((path, self._owners[key]) for path, key in _keys(part))
        return {path: owner for path, owner in owners if owner is not part}


def _keys(part: Part) -> list[tuple[str, int]]:
    """Return path and identity of a part's weights; before they are made, of what makes them."""
    try:
        if part.layer.built:
            return [(path, id(weight)) for path, weight in part.weights().items()]
    except ValueError:  # nothing there that can be pruned
        return []
    return [(part.path, id(layer)) for layer in (part.layer, *_inside(part))]


def _inside(part: Part) -> list[Any]:
    return keras_internals.flatten_layers(part.layer, include_self=False)
