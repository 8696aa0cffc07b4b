"""What the pruned weights of a model are called: "<layer>/<weight>", unique in the model."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras

from pruneplug.pruning.layer_parts import member_layers, member_names, parts_and_containers
from pruneplug.pruning.sparsity import join_names
from pruneplug.pruning.wrapper import PruneLowMagnitude, pruned_layers


class NamedWeight(NamedTuple):
    """A pruned weight: its name, the wrapper it is in, and its part of `pruning_vars`."""

    name: str
    layer: PruneLowMagnitude
    variables: tuple[Any, ...]


def named_layers(model: keras.Model) -> list[tuple[str, PruneLowMagnitude]]:
    """Return the pruning wrappers of a model, each with a name that no other layer has.

    It is the name of the layer inside, with a number if layers of nested models share it, and with
    its path in a layer of the user's own; the same for a model that is pruned, stripped or dense.
    """
    wrappers = pruned_layers(model)
    # Those that no other knows of, as in a TimeDistributed, come at the end.
    layers = [*member_layers(model), *(wrapper.layer for wrapper in wrappers)]
    names: dict[int, str] = {}
    for name, member in member_names(layers):
        for part in parts_and_containers(member, name):
            names.setdefault(id(part.layer), part.name)
    return [(names[id(wrapper.layer)], wrapper) for wrapper in wrappers]


def named_weights(model: keras.Model) -> list[NamedWeight]:
    """Return the pruned weights of a model, those that do not train included."""
    return [
        NamedWeight(join_names(name, weight), wrapper, variables)
        for name, wrapper in named_layers(model)
        for weight, variables in zip(wrapper.weight_names, wrapper.pruning_vars, strict=True)
    ]
