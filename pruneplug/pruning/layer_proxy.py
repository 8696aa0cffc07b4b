"""A layer that stands in the place of another: is called, built and asked like that one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from pruneplug.pruning import keras_internals

# What a layer says of itself or does to its weights, and a wrapper must not in its place: that
# they are prunable, and that they are frozen for others that are trained instead.
_HIDDEN = {"get_prunable_weights", "enable_lora"}

# How names begin that are never looked for in the layer.
_OWN = ("_", "pruning_")


class StandIn(keras.layers.Wrapper):
    """Wraps a layer so that Keras and its users may take it for the layer.

    Public attributes and methods that only the layer has are the wrapper's too.

    Args:
        layer: The layer.
        **kwargs: Arguments of `keras.layers.Layer`; by default the layer's.
    """

    def __init__(self, layer: keras.layers.Layer, **kwargs: Any):
        kwargs.setdefault("dtype", layer.dtype_policy)
        kwargs.setdefault("trainable", layer.trainable)
        super().__init__(layer, **kwargs)
        own = keras_internals.own_trainable(self)
        if own != layer.trainable:
            self.trainable = own
        self._call_like(layer)

    def _call_like(self, layer: keras.layers.Layer) -> None:
        """Let Keras call the wrapper as it calls the layer."""
        call_like(self, layer)
        self.supports_masking = layer.supports_masking
        self.supports_jit = layer.supports_jit
        # In a Sequential, the first layer's `input_shape` argument stands for an Input.
        keras_internals.copy_input_shape(self, layer)

    def __getattr__(self, name: str) -> Any:
        """Return what the layer has and the wrapper has not."""
        if self._is_the_layers(name):
            return getattr(self.layer, name)
        return super().__getattribute__(name)  # says what is missing

    def __setattr__(self, name: str, value: Any) -> None:
        """Set what the layer has and the wrapper has not in the layer, where it has its effect."""
        if name not in vars(self) and self._is_the_layers(name) and hasattr(self.layer, name):
            setattr(self.layer, name, value)
        else:
            super().__setattr__(name, value)

    def _is_the_layers(self, name: str) -> bool:
        declared = (vars(kind).get("__annotations__", {}) for kind in type(self).__mro__)
        own = name.startswith(_OWN) or hasattr(type(self), name) or any(name in d for d in declared)
        return not own and name not in _HIDDEN and "layer" in vars(self)

    @property
    def trainable(self) -> bool:
        """Whether the layer trains."""
        return bool(self.layer.trainable)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        keras.layers.Layer.trainable.fset(self, value)

    @property
    def input_spec(self) -> Any:
        """What the layer's inputs must be like."""
        return self.layer.input_spec

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Call the layer."""
        return self.layer(*args, **kwargs)

    def _maybe_build(self, call_spec: Any) -> None:
        # Keras matches shapes with the arguments of `build`; the layer knows its own best.
        if not self.built:
            keras_internals.build_as_called(self.layer, call_spec)
            self.build()

    def get_build_config(self) -> Any:
        """Return the layer's build configuration."""
        return self.layer.get_build_config()

    def build_from_config(self, config: Any) -> None:
        """Build the layer from its configuration, then the wrapper."""
        self.layer.build_from_config(config)
        if self.layer.built:
            self.build()

    def compute_output_shape(self, *args: Any, **kwargs: Any) -> Any:
        """Return the layer's output shape."""
        return self.layer.compute_output_shape(*args, **kwargs)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Return the layer's symbolic output."""
        return self.layer.compute_output_spec(*args, **kwargs)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Return the layer's output mask."""
        return self.layer.compute_mask(inputs, previous_mask)

    def get_weights(self) -> list[Any]:
        """Return the layer's weights, without those of the wrapper."""
        return list(self.layer.get_weights())

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set the layer's weights, without those of the wrapper."""
        self.layer.set_weights(weights)


def call_like(layer: Any, other: Any) -> None:
    """Let a layer have the signature of another one's `call`, which Keras reads at construction."""
    for attribute in keras_internals.CALL_SIGNATURE:
        setattr(layer, attribute, getattr(other, attribute))
