"""What is said of classes of layers: what they hold to prune, or why they cannot be pruned."""

from __future__ import annotations

from typing import Any

import keras

from pruneplug.pruning import keras_internals

L = keras.layers

_RECURRENT = ("kernel", "recurrent_kernel")

# For each class the attributes that hold what is prunable: variables, layers to look into, or
# lists of layers. A class that is not named is treated like its nearest parent here. Built-in
# layers without one have nothing to prune (pooling, normalization, depthwise convolutions, ...).
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
    L.SimpleRNNCell: _RECURRENT,
    L.GRUCell: _RECURRENT,
    L.LSTMCell: _RECURRENT,
    keras_internals.ConvLSTMCell: _RECURRENT,
    L.StackedRNNCells: ("cells",),
    L.RNN: ("cell",),
    L.Bidirectional: ("forward_layer", "backward_layer"),
    L.TimeDistributed: ("layer",),
    L.Pipeline: ("layers",),
    L.MultiHeadAttention: keras_internals.PROJECTIONS,
    L.GroupQueryAttention: keras_internals.PROJECTIONS,
}

_REFUSED: dict[type, str] = {
    L.SpectralNormalization: "it rewrites its kernel in every forward pass",
    L.TFSMLayer: "its weights are not Keras variables",
    L.JaxLayer: "its weights are not Keras variables",
    L.TorchModuleWrapper: "its weights are not Keras variables",
}

# To be derived from one of these says nothing about what a layer holds.
_ABSTRACT = (L.Layer, L.Wrapper, keras.Model)


def register_prunable(layer_class: type[keras.layers.Layer], *attributes: str) -> None:
    """Say which attributes of a layer class hold what can be pruned.

    Also changes what is known of a built-in class:
    `register_prunable(keras.layers.DepthwiseConv2D, "kernel")` prunes depthwise kernels too.

    Args:
        layer_class: The class; its subclasses follow it.
        attributes: Names of attributes that hold variables, layers or lists of layers. None of
            them: the class is supported and has nothing to prune.

    Raises:
        TypeError: `layer_class` is not a class of Keras layers.
    """
    if not (isinstance(layer_class, type) and issubclass(layer_class, keras.layers.Layer)):
        raise TypeError(f"layer_class must be a Keras layer class; got {layer_class!r}.")
    _PRUNABLE[layer_class] = attributes


def entry(layer: Any) -> tuple[str, ...] | str | None:
    """Return what is said of a layer's class: attributes, a refusal or nothing."""
    for parent in type(layer).__mro__:
        if parent in _PRUNABLE:
            return _PRUNABLE[parent]
        if parent in _REFUSED:
            return _REFUSED[parent]
    return None


def is_named(layer_class: type) -> bool:
    """Return whether something is said of just this class."""
    return layer_class in _PRUNABLE or layer_class in _REFUSED


def comes_with_keras(layer_class: type) -> bool:
    """Return whether a class is one of Keras' own."""
    return layer_class.__module__.partition(".")[0] == "keras"


def is_known(layer_class: type) -> bool:
    """Return whether a class comes with Keras, or is derived from one that does a job there."""
    offered = {c for c in vars(L).values() if isinstance(c, type)}.difference(_ABSTRACT)
    return comes_with_keras(layer_class) or not offered.isdisjoint(layer_class.__mro__)
