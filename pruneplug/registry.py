"""Which variables of a layer can be pruned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any

import keras

L = keras.layers

_RNN_KERNELS = ("cell.kernel", "cell.recurrent_kernel")
_ATTENTION_KERNELS = (
    "_query_dense.kernel",
    "_key_dense.kernel",
    "_value_dense.kernel",
    "_output_dense.kernel",
)

# For each class the attributes that hold what is prunable: variables, or layers to look into.
# A subclass is treated like its nearest parent here. Built-in layers that are not named have
# nothing to prune (pooling, activations, normalization, merging, depthwise convolutions, ...).
_PRUNABLE: dict[type, tuple[str, ...]] = {
    L.Dense: ("kernel",),
    L.EinsumDense: ("kernel",),
    L.Embedding: ("embeddings",),
    L.ReversibleEmbedding: ("embeddings", "reverse_embeddings"),
    L.Conv1D: ("kernel",),
    L.Conv2D: ("kernel",),
    L.Conv3D: ("kernel",),
    L.Conv1DTranspose: ("kernel",),
    L.Conv2DTranspose: ("kernel",),
    L.Conv3DTranspose: ("kernel",),
    L.SeparableConv1D: ("pointwise_kernel",),
    L.SeparableConv2D: ("pointwise_kernel",),
    L.SimpleRNNCell: ("kernel", "recurrent_kernel"),
    L.GRUCell: ("kernel", "recurrent_kernel"),
    L.LSTMCell: ("kernel", "recurrent_kernel"),
    L.ConvLSTM1D: _RNN_KERNELS,
    L.ConvLSTM2D: _RNN_KERNELS,
    L.ConvLSTM3D: _RNN_KERNELS,
    L.MultiHeadAttention: _ATTENTION_KERNELS,
    L.GroupQueryAttention: _ATTENTION_KERNELS,
    L.RNN: ("cell",),
    L.StackedRNNCells: ("cells",),
    L.Bidirectional: ("forward_layer", "backward_layer"),
    L.TimeDistributed: ("layer",),
    keras.Model: ("layers",),
}

_REFUSED: dict[type, str] = {
    L.SpectralNormalization: "it rewrites its kernel in every forward pass",
    L.TFSMLayer: "its weights are not Keras variables",
    L.JaxLayer: "its weights are not Keras variables",
    L.TorchModuleWrapper: "its weights are not Keras variables",
}


class PrunableLayer:
    """Mix this into a layer of your own and say which of its weights can be pruned."""

    def get_prunable_weights(self) -> Sequence[keras.Variable]:
        """Return the variables to prune; the layer is built when this is asked."""
        raise NotImplementedError(f"{type(self).__name__} must define get_prunable_weights().")


def register_prunable(layer_class: type[keras.layers.Layer], *attributes: str) -> None:
    """Say which attributes of a layer class hold what can be pruned.

    Also changes what is known of a built-in class:
    `register_prunable(keras.layers.DepthwiseConv2D, "kernel")` prunes depthwise kernels too.

    Args:
        layer_class: The class; its subclasses follow it.
        attributes: Names of attributes that hold variables or layers. None of them: the class is
            supported and has nothing to prune.

    Raises:
        TypeError: `layer_class` is not a class of Keras layers.
    """
    if not (isinstance(layer_class, type) and issubclass(layer_class, keras.layers.Layer)):
        raise TypeError(f"layer_class must be a Keras layer class; got {layer_class!r}.")
    _PRUNABLE[layer_class] = attributes


def unsupported_reason(layer: keras.layers.Layer) -> str | None:
    """Return why a layer cannot be pruned, or None when it can (or has nothing to prune)."""
    if _names_its_own(layer) or (isinstance(layer, keras.layers.Wrapper) and _is_pruned(layer)):
        return None
    for parent in type(layer).__mro__:
        if parent in _REFUSED:
            return _REFUSED[parent]
    if _attributes(layer) is None and not _is_builtin(layer) and not _sublayers(layer):
        return "its class is not known"
    reasons = (unsupported_reason(child) for _, child in _children(layer))
    return next((reason for reason in reasons if reason), None)


def has_prunable_weights(layer: keras.layers.Layer) -> bool:
    """Return whether a layer has weights to prune, now or once it is built."""
    if _names_its_own(layer):
        return True
    children = list(_children(layer))
    if children:
        return any(has_prunable_weights(child) for _, child in children)
    return bool(_attributes(layer))


def prunable_weights(layer: keras.layers.Layer) -> list[tuple[str, keras.Variable]]:
    """Return name and variable of each weight that can be pruned.

    Args:
        layer: A built layer.

    Returns:
        Pairs in the order of creation. Names are unique within the layer: "kernel",
        "recurrent_kernel", "query/kernel", "forward/kernel".

    Raises:
        ValueError: Something that should be pruned is not a variable (a LoRA or quantized layer).
    """
    if _names_its_own(layer):
        return _unique([(v.name, v) for v in layer.get_prunable_weights()])
    found: list[tuple[str, keras.Variable]] = []
    for name, value in _values(layer):
        if isinstance(value, keras.layers.Layer):
            prefix = f"{name}/" if name else ""
            found += [(prefix + inner, weight) for inner, weight in prunable_weights(value)]
        elif isinstance(value, keras.Variable):
            found.append((name, value))
        else:
            raise ValueError(
                f"{name} of layer '{layer.name}' ({type(layer).__name__}) must be a variable to "
                f"be pruned; got {type(value).__name__}. Merge LoRA weights, and prune before "
                "you quantize."
            )
    return _unique(found)


def _names_its_own(layer: Any) -> bool:
    return hasattr(layer, "get_prunable_weights")


def _is_pruned(layer: Any) -> bool:
    return hasattr(layer, "pruning_vars")


def _is_builtin(layer: Any) -> bool:
    return type(layer).__module__.split(".")[0] == "keras"


def _sublayers(layer: Any) -> list[keras.layers.Layer]:
    return list(layer._flatten_layers(include_self=False, recursive=False))


def _attributes(layer: Any) -> tuple[str, ...] | None:
    return next((_PRUNABLE[p] for p in type(layer).__mro__ if p in _PRUNABLE), None)


def _values(layer: Any) -> Iterator[tuple[str, Any]]:
    """Yield what the layer's attributes hold, lists item by item, under readable names."""
    attributes = _attributes(layer)
    if attributes is None:
        # A layer of the user's own that is made of other layers.
        for child in () if _is_builtin(layer) else _sublayers(layer):
            yield child.name, child
        return
    for attribute in attributes:
        value = attrgetter(attribute)(layer) if _reaches(layer, attribute) else None
        name = _readable(attribute, alone=len(attributes) == 1, value=value)
        if isinstance(value, list | tuple):
            yield from ((item.name, item) for item in value)
        elif value is not None:
            yield name, value


def _reaches(layer: Any, attribute: str) -> bool:
    return hasattr(layer, attribute.split(".")[0])


def _readable(attribute: str, *, alone: bool, value: Any) -> str:
    if alone and isinstance(value, keras.layers.Layer):
        return ""
    parts = attribute.removeprefix("cell.").split(".")
    return "/".join(p.lstrip("_").removesuffix("_dense").removesuffix("_layer") for p in parts)


def _children(layer: Any) -> Iterator[tuple[str, keras.layers.Layer]]:
    if not any("." in attribute for attribute in _attributes(layer) or ()):
        for name, value in _values(layer):
            if isinstance(value, keras.layers.Layer):
                yield name, value


def _unique(weights: list[tuple[str, keras.Variable]]) -> list[tuple[str, keras.Variable]]:
    names = [name for name, _ in weights]
    return [
        (f"{name}_{names[:i].count(name)}" if name in names[:i] else name, weight)
        for i, (name, weight) in enumerate(weights)
    ]
