"""Layers are exchanged in a copy of a model's graph."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from graphlib import TopologicalSorter
from types import MethodType
from typing import Any

import keras

from pruneplug.pruning import keras_internals
from pruneplug.pruning.keras_internals import Functional, history, tracker

# What compiling, training and pruning leave in a model.
_ITS_OWN = {
    "optimizer", "history", "stop_training", "stop_evaluating", "stop_predicting",
    *keras_internals.COMPILED_WITH, keras_internals.VALIDATION_BATCHES, "pruning_skipped",
}  # fmt: skip

# What a layer, or another operation of a graph, is exchanged for: itself or a new one.
Exchange = Callable[[Any], Any]


@keras.saving.register_keras_serializable("pruneplug")
class OutputName(keras.Operation):
    """Passes on a tensor, as an output of a name of its own."""

    def call(self, x: Any) -> Any:
        """Return what is given."""
        return x

    def compute_output_spec(self, x: Any) -> Any:
        """Return another symbolic tensor like the one given."""
        return keras.KerasTensor(x.shape, x.dtype, sparse=x.sparse, ragged=x.ragged)


def is_graph(model: Any) -> bool:
    """Return whether a model is nothing but its graph of layers, so that it can be built anew."""
    if isinstance(model, Functional):
        return bool(keras_internals.functional_like_constructor(type(model)))
    return isinstance(model, keras.Sequential)


def has_graph(model: Any) -> bool:
    """Return whether a model has a graph of layers, whatever its class does besides."""
    return isinstance(model, Functional | keras.Sequential)


def dense_class(held: type) -> Any:
    """Return the class that a model has without pruning: its own, if it has no other one with."""
    return getattr(held, "dense_class", held)


def rebuild(
    model: keras.Model,
    exchange: Exchange,
    class_of: Callable[[type], type] | None = None,
    *,
    keep_output_names: bool = False,
) -> keras.Model:
    """Build a model's graph anew, and those of nested models, on exchanged layers.

    Each layer of the new model is called in it alone, so that `layer.output` and `layer.input` are
    what they are in any model: where a layer stays, the new model has another one on the same
    variables.

    Args:
        model: A Sequential or Functional model, also of a class that builds the graph itself.
        exchange: Asked once for each layer, however often it is called in the graph.
        class_of: Which class the new model of one of this class has; by default `dense_class`.
        keep_output_names: Whether outputs bear the names that they had before.

    Returns:
        A new model of the same name and attributes, not compiled.
    """
    return _Rebuilding(exchange, class_of or dense_class, keep_output_names).model(model)


class _Rebuilding:
    """One model that is built anew, and what its layers have been exchanged for so far."""

    def __init__(
        self, exchange: Exchange, class_of: Callable[[type], type], keep_output_names: bool
    ):
        self.exchange = exchange
        self.class_of = class_of
        self.keep_output_names = keep_output_names
        # Layers, and symbolic tensors of the outermost graph, by the id of what they replace.
        self.new: dict[int, Any] = {}

    def model(self, model: keras.Model) -> keras.Model:
        chain = isinstance(model, keras.Sequential)
        clone = self._sequential(model) if chain else self._functional(model)
        # Setting the property would set it in the layers too, and thaw the frozen ones.
        keras_internals.set_own_trainable(clone, model.trainable)
        # Keras forgets it, and by it `compile` knows that a loss must be scaled.
        clone.dtype_policy = model.dtype_policy
        clone.__class__ = self.class_of(type(model))
        self.new[id(model)] = clone
        for name, value in vars(model).items():
            if name not in vars(clone).keys() | _ITS_OWN:
                setattr(clone, name, replaced(value, self.value))
        return clone

    def value(self, old: Any) -> Any:
        return self.new[id(old)] if id(old) in self.new else self.exchange(old)

    def operation(self, old: Any) -> Any:
        if id(old) not in self.new:
            new = self.model(old) if is_graph(old) else self.exchange(old)
            if id(new) not in self.new:
                self.new[id(new)] = _uncalled(new)
            self.new[id(old)] = self.new[id(new)]
        return self.new[id(old)]

    def _sequential(self, model: keras.Sequential) -> keras.Sequential:
        # `layers` leaves out the Input.
        first = keras_internals.sublayers(model)[:1]
        start = [_again(layer) for layer in first if layer not in model.layers]
        return keras.Sequential([*start, *map(self.operation, model.layers)], name=model.name)

    def _functional(self, model: keras.Model) -> keras.Model:
        # Nested models are older than the graph in which they are called.
        for operation in filter(is_graph, model.operations):
            self.operation(operation)
        inputs = keras.tree.map_structure(
            lambda tensor: _again(history(tensor).operation).output, model.input
        )
        self._replace(model.inputs, inputs)
        for node in _in_order_of_calls(model):
            args, kwargs = node.arguments.fill_in(self.new)
            named = isinstance(node.operation, OutputName)
            outputs = args[0] if named else self.operation(node.operation)(*args, **kwargs)
            self._replace(node.outputs, outputs)
        return keras.Model(inputs, self._outputs(model), name=model.name)

    def _replace(self, old: Sequence[Any], new: Any) -> None:
        self.new.update(zip(map(id, old), keras.tree.flatten(new), strict=True))

    def _outputs(self, model: keras.Model) -> Any:
        """Return the new graph's outputs, under the old names where they are to be kept."""
        names: dict[str, OutputName] = {}

        def output(old: Any) -> Any:
            new, name = self.new[id(old)], history(old).operation.name
            if not self.keep_output_names or history(new).operation.name == name:
                return new
            return names.setdefault(name, OutputName(name=name))(new)

        return keras.tree.map_structure(output, model.output)


def _again(layer: keras.layers.InputLayer) -> Any:
    # Keras itself would number the names of inputs anew.
    return type(layer).from_config(layer.get_config())


def _in_order_of_calls(model: keras.Model) -> Iterable[Any]:
    """Return the calls of a graph's operations so that each operation's are in their order.

    The first call of a layer is the one that `layer.output` stands for.
    """
    # The tensors of an input are there without a call.
    calls = {node: set[Any]() for node in keras_internals.nodes(model) if not node.is_input}
    for node, before in calls.items():
        before.update(parent for parent in node.parent_nodes if parent in calls)
    for operation in model.operations:
        inside = [node for node in keras_internals.calls(operation) if node in calls]
        for earlier, later in itertools.pairwise(inside):
            calls[later].add(earlier)
    return TopologicalSorter(calls).static_order()


def _uncalled(operation: Any) -> Any:
    """Return an operation that no graph calls: itself, or another one on the same variables."""
    if not keras_internals.calls(operation):
        return operation
    kind: Any = type(operation)
    other = kind.__new__(kind)
    # Keras gives each its own tracking and methods that are bound to it; TensorFlow's tracking,
    # in names with _self_, follows from the attributes.
    own = vars(other).keys() - keras_internals.BORN_WITH | _ITS_OWN
    held = tracker(operation)
    for store, (_, tracked) in held.config.items() if held else ():
        for value in tracked:
            tracker(other).add_to_store(store, value)
    for name, value in vars(operation).items():
        if isinstance(value, MethodType) and value.__self__ is operation:
            value = MethodType(value.__func__, other)
        if name not in own and not name.startswith("_self_"):
            setattr(other, name, value)
    keras_internals.forget_calls(other)
    keras_internals.lock_alike(other, operation)
    return other


def replaced(value: Any, exchange: Exchange) -> Any:
    """Return a value with what is exchanged, in containers too; itself if nothing is."""
    if isinstance(value, list | tuple):
        items = [replaced(item, exchange) for item in value]
        changed = any(a is not b for a, b in zip(items, value, strict=True))
        return (tuple(items) if isinstance(value, tuple) else items) if changed else value
    if isinstance(value, dict):
        entries = {key: replaced(item, exchange) for key, item in value.items()}
        return entries if any(entries[key] is not value[key] for key in value) else value
    if isinstance(value, MethodType):
        owner = exchange(value.__self__)
        return value if owner is value.__self__ else MethodType(value.__func__, owner)
    return exchange(value)
