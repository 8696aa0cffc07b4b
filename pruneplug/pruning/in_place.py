"""Models of a class of the user's own: what is saved and copied of a pruned one is pruned too."""

from __future__ import annotations

import functools
import types
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from pruneplug.pruning import attributes, keras_internals, layer_parts, surgery
from pruneplug.pruning.naming import LayersByEitherName
from pruneplug.pruning.wrapper import PruneLowMagnitude, pruned_layers


class PrunedOwn(LayersByEitherName):
    """What the class of a model adds to it while it is pruned.

    The configuration of the model itself may know of no pruning: where it is pruned in place, its
    class builds its layers.
    """

    dense_class: Any

    def get_config(self) -> dict[str, Any]:
        """Return how to make the model, and how its layers are pruned."""
        held, self.__class__ = type(self), self.dense_class
        try:
            model = keras.saving.serialize_keras_object(self)
        finally:
            self.__class__ = held
        # It is compiled when it is pruned again.
        model.pop("compile_config", None)
        pruning = [
            {**wrapper.get_pruning_config(), "name": wrapper.name, "layer": number}
            for wrapper, number in zip(attributes.beside(self), self._numbers(), strict=True)
        ]
        return {
            "model": model,
            "pruning": pruning,
            "skipped": dict(getattr(self, "pruning_skipped", {})),
            "pruned_layers": len(pruned_layers(self)),
        }

    def _numbers(self) -> list[int]:
        """Return which of the model's layers are pruned."""
        numbers = {
            id(layer): number for number, layer in enumerate(layer_parts.member_layers(self))
        }
        beside = attributes.beside(self)
        layers = [wrapper.layer for wrapper in beside]
        parts = [part for part in self.layers if part not in beside]
        inside = {id(layer) for part in parts for layer in keras_internals.flatten_layers(part)}
        if gone := [layer.name for layer in layers if id(layer) not in inside]:
            raise ValueError(
                f"{_describe(self)} must have the layers that are pruned to be saved; it has no "
                f"more {', '.join(gone)}. Strip it and prune it again."
            )
        return [numbers[id(layer)] for layer in layers]

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Make the model and prune it again."""
        if "pruning" not in config:
            # Keras looks for the model's own class under the name that this one bears too.
            return cls.dense_class.from_config(config)
        model = keras.saving.deserialize_keras_object(config["model"], custom_objects)
        layers = dict(enumerate(layer_parts.member_layers(model)))
        configs = [entry | {"layer": layers.get(entry["layer"])} for entry in config["pruning"]]
        wrappers = [PruneLowMagnitude.from_config(entry, custom_objects) for entry in configs]
        check_built(model, wrappers)
        put_in(model, wrappers, config["skipped"])
        if len(pruned_layers(model)) < config["pruned_layers"]:
            warnings.warn(
                f"{_describe(model)} is not pruned as it was when it was saved: its class has not "
                "made the pruned layers again. Prune it again, or leave get_config to Keras.",
                stacklevel=2,
            )
        return model

    def _run_through_graph(self, inputs: Any, **how: Any) -> Any:
        # Keras calls a graph so, and clones it so, by other layers in the places of its own.
        if "operation_fn" in how:
            how["operation_fn"] = _with_pruning(self, how["operation_fn"])
        return super()._run_through_graph(inputs, **how)

    def __reduce__(self) -> Any:
        function, arguments = super().__reduce__()
        # The same function of a class that can be imported.
        return getattr(keras.Model, function.__name__), arguments


def _with_pruning(model: keras.Model, operation_of: Any) -> Any:
    """Return what gives a layer's clone, pruned as the layer is."""
    wrappers = {id(wrapper.layer): wrapper for wrapper in attributes.beside(model)}
    clones: dict[int, PruneLowMagnitude] = {}

    def operation(layer: Any) -> Any:
        new = operation_of(layer)
        if new is layer or not isinstance(new, keras.layers.Layer):
            return new  # the layer is called, and no clone
        if (wrapper := wrappers.get(id(layer))) is not None:
            if id(new) not in clones:
                config = wrapper.get_pruning_config() | {"name": wrapper.name, "layer": new}
                clones[id(new)] = PruneLowMagnitude.from_config(config)
            return clones[id(new)]
        if any(id(inside) in wrappers for inside in keras_internals.flatten_layers(layer)):
            warnings.warn(
                f"{_describe(layer)} is cloned without its pruning, which {_describe(model)} "
                "holds. Prune the clone.",
                stacklevel=2,
            )
        return new

    return operation


def pruned_class(held: Any) -> type:
    """Return the class that a model of a class of the user's own has while it is pruned."""
    return held if issubclass(held, PrunedOwn) else _pruned_class(held)


@functools.cache
def _pruned_class(held: Any) -> type:
    own = {name: getattr(held, name) for name in ("__module__", "__qualname__", "__doc__")}
    own["dense_class"] = held
    made = types.new_class(
        held.__name__, (PrunedOwn, held), exec_body=lambda body: body.update(own)
    )
    return _registered(made)


def _registered(made: type) -> type:
    # They all load alike, whichever of them Keras finds under the name.
    known: type = keras.saving.register_keras_serializable("pruneplug", "PrunedOwn")(made)
    return known


_registered(PrunedOwn)


def put_in(
    model: keras.Model, wrappers: Sequence[PruneLowMagnitude], skipped: Mapping[str, str]
) -> None:
    """Prune a model in place.

    The wrappers stand beside the call path: they carry the masks, and the constraints on the
    shared weights enforce them. As attributes they are saved with the model.

    Args:
        model: The model.
        wrappers: Around layers of the model.
        skipped: Why which other layers are not pruned.
    """
    attributes.attach_beside(model, wrappers)
    model.pruning_skipped = dict(skipped)
    model.__class__ = pruned_class(type(model))


def take_out(model: keras.Model) -> None:
    """Leave a model as it was before it was pruned in place, with the weights that it has now."""
    attributes.detach_beside(model)
    model.pruning_skipped = {}
    model.__class__ = surgery.dense_class(type(model))


def check_known(model: keras.Model) -> None:
    """Raise ValueError unless all layers are there that a model will have."""
    grows = type(model).build is not keras.Model.build
    if not model.built and (grows or not model.layers):
        raise ValueError(
            f"{_describe(model)} must be built to be pruned in place, since its layers are not "
            f"known before. {_way_to_build(model)}"
        )


def check_built(model: keras.Model, wrappers: Sequence[PruneLowMagnitude]) -> None:
    """Raise ValueError unless all layers have their weights: later, none would be pruned."""
    if unbuilt := [wrapper.layer.name for wrapper in wrappers if not wrapper.built]:
        raise ValueError(
            f"{_describe(model)} must be built to be pruned in place, since its layers' weights "
            f"are not known before; got layers without weights: {', '.join(unbuilt)}. "
            f"{_way_to_build(model)}"
        )


def _way_to_build(model: keras.Model) -> str:
    if type(model).call is keras.Model.call:
        return (
            "It has no call(), so call each of its parts on a batch first, or make them with an "
            "Input; or prune the parts: model.part = prune_low_magnitude(model.part, ...)."
        )
    if model.built:
        return "Call these layers on a batch first, or leave them out with a pruning policy."
    return "Call it on a batch first."


def _describe(model: keras.Model) -> str:
    return f"Model '{model.name}' ({type(model).__name__})"
