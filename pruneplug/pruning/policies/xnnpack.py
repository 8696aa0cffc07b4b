"""The policy for sparse inference with XNNPACK on phones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras

from pruneplug.pruning import keras_internals
from pruneplug.pruning.policies.base import PruningPolicy

L = keras.layers
Neighbours = Callable[[Any], Iterable[Any]]

_ALWAYS = (
    L.Add, L.Multiply, L.ZeroPadding2D, L.ReLU, L.LeakyReLU, L.ELU, L.Dropout, L.Identity,
)  # fmt: skip
_ACTIVATIONS = {"relu", "relu6", "leaky_relu", "elu", "sigmoid"}
# Arithmetic on tensors outside layers: x + y, keras.ops.subtract(x, y), ...
_OPERATIONS = {"Add", "Subtract", "Multiply"}


class PruneForLatencyOnXNNPack(PruningPolicy):
    """Prunes 1x1 convolutions only, in models that XNNPACK runs faster when these are sparse.

    Between a 3x3 convolution on 3 channels, with strides 2 and "valid" padding after a
    ZeroPadding2D of 1, and a GlobalAveragePooling2D, on every way from the inputs to the outputs,
    the model may only have layers that XNNPACK can run in its sparse layout.

    Reference:
        Elsen et al., Fast Sparse ConvNets (2019), https://arxiv.org/abs/1911.09723
    """

    def allow_pruning(self, layer: keras.layers.Layer) -> bool:
        """Return whether this layer is a 1x1 convolution."""
        return isinstance(layer, L.Conv2D) and layer.kernel_size == (1, 1)

    def skip_reason(self, layer: keras.layers.Layer, model: keras.Model) -> str | None:
        """Return why this layer is left out, or None when it may be pruned."""
        return None if self.allow_pruning(layer) else "it is not a 1x1 Conv2D, as XNNPACK needs"

    def ensure_model_supports_pruning(self, model: keras.Model) -> None:
        """Raise ValueError unless XNNPACK can run this model in its sparse layout."""
        graph = _Graph(model)
        starts = _first_on_every_way(graph.inputs, graph.starts_sparse, graph.consumers)
        if not starts:
            raise ValueError(
                f"Model '{model.name}' must lead each input through a ZeroPadding2D of 1 into a "
                "3x3 Conv2D on 3 channels with strides 2 and 'valid' padding; got a way without."
            )
        ends = _first_on_every_way(graph.outputs, _ends_sparse, graph.producers)
        if not ends:
            raise ValueError(
                f"Model '{model.name}' must lead through a GlobalAveragePooling2D to each output; "
                "got a way without."
            )
        inner = [consumer for start in starts for consumer in graph.consumers(start)]
        _first_on_every_way(inner, lambda node: node in ends or graph.check(node), graph.consumers)


class _Graph:
    """The operations of a model, of nested ones too, and how they are connected."""

    def __init__(self, model: keras.Model):
        self.inputs, self.outputs, self._links = _unfold(model)

    def producers(self, operation: Any) -> list[Any]:
        return [parent for parent, child in self._links if child is operation]

    def consumers(self, operation: Any) -> list[Any]:
        return [child for parent, child in self._links if parent is operation]

    def starts_sparse(self, operation: Any) -> bool:
        return (
            isinstance(operation, L.Conv2D)
            and tuple(operation.kernel.shape[:3]) == (3, 3, 3)
            and operation.strides == (2, 2)
            and operation.padding == "valid"
            and self._zero_padding(operation) == 1
        )

    def check(self, operation: Any) -> bool:
        """Raise ValueError unless XNNPACK supports this in a sparse network; never stops a walk."""
        if not self._is_supported(getattr(operation, "layer", operation)):
            raise ValueError(
                f"Layer '{operation.name}' ({type(operation).__name__}) is not supported between "
                "the first convolution and the global pooling by PruneForLatencyOnXNNPack."
            )
        return False

    def _zero_padding(self, operation: Any) -> int | None:
        """Return the width of the even ZeroPadding2D right before, None when there is none."""
        producers = self.producers(operation)
        if len(producers) != 1 or not isinstance(producers[0], L.ZeroPadding2D):
            return None
        padding = producers[0].padding
        width = int(padding[0][0])
        return width if padding == ((width, width), (width, width)) else None

    def _is_supported(self, operation: Any) -> bool:
        match operation:
            case L.DepthwiseConv2D():
                return self._is_sparse_depthwise(operation)
            case L.Conv2D():
                one = (1, 1)
                sizes = (operation.kernel_size, operation.strides, operation.dilation_rate)
                return operation.groups == 1 and sizes == (one, one, one)
            case L.GlobalAveragePooling2D():
                return bool(operation.keepdims)
            case L.BatchNormalization():
                return operation.axis in (3, -1)
            case L.UpSampling2D():
                return bool(operation.interpolation == "bilinear")
            case L.Activation():
                return keras.activations.serialize(operation.activation) in _ACTIVATIONS
            case L.Layer():
                return isinstance(operation, _ALWAYS)
        return type(operation).__name__ in _OPERATIONS

    def _is_sparse_depthwise(self, layer: Any) -> bool:
        if layer.depth_multiplier != 1 or layer.dilation_rate != (1, 1):
            return False
        if layer.kernel_size not in ((3, 3), (5, 5)):
            return False
        if layer.padding == "same":
            return bool(layer.strides == (1, 1))
        # "valid" after padding by half the kernel.
        margin = layer.kernel_size[0] // 2
        return bool(layer.strides in ((1, 1), (2, 2)) and self._zero_padding(layer) == margin)


def _unfold(model: keras.Model) -> tuple[list[Any], list[Any], list[tuple[Any, Any]]]:
    """Return the inputs, outputs and (producer, consumer) pairs among a model's operations.

    Those of nested models stand in their place, and lead past the inputs that these have.
    """
    graph = keras_internals.graph_of(model)
    if not model.built or graph is None:
        raise ValueError(
            f"Model '{model.name}' ({type(model).__name__}) must be a built Sequential or "
            "Functional model to be checked for XNNPACK."
        )
    links = [
        (parent.operation, node.operation)
        for node in keras_internals.nodes(graph)
        for parent in node.parent_nodes
    ]
    outputs = [keras_internals.history(tensor).operation for tensor in graph.outputs]
    for nested in {x for link in links for x in link if isinstance(x, keras.Model)}:
        inner_inputs, inner_outputs, inner = _unfold(nested)
        firsts = [child for parent, child in inner if parent in inner_inputs]
        into = [(parent, first) for parent, child in links if child is nested for first in firsts]
        outputs = [x for out in outputs for x in (inner_outputs if out is nested else [out])]
        links = [
            *(
                (last, child)
                for parent, child in links
                if parent is nested
                for last in inner_outputs
            ),
            *into,
            *(link for link in inner if link[0] not in inner_inputs),
            *(link for link in links if nested not in link),
        ]
    inputs = [keras_internals.history(tensor).operation for tensor in graph.inputs]
    return inputs, outputs, links


def _ends_sparse(operation: Any) -> bool:
    return isinstance(operation, L.GlobalAveragePooling2D)


def _first_on_every_way(
    sources: Iterable[Any], is_found: Callable[[Any], bool], neighbours: Neighbours
) -> set[Any]:
    """Walk from the sources until `is_found`; return what was, or nothing if a way has none."""
    to_visit = list(sources)
    visited, found = set(to_visit), set()
    while to_visit:
        operation = to_visit.pop()
        if is_found(operation):
            found.add(operation)
            continue
        following = list(neighbours(operation))
        if not following:
            return set()
        to_visit += [new for new in following if new not in visited]
        visited.update(following)
    return found
