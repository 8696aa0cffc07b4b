"""A trained model as a model of its own: nothing in it belongs to the one that was trained."""

from collections import OrderedDict
from types import FunctionType, MethodType
from typing import Any

import keras
import tensorflow as tf

from pruneplug.pruning import attributes, keras_internals, surgery
from pruneplug.pruning.constraint import MaskConstraint
from pruneplug.pruning.keras_internals import Tracker
from pruneplug.pruning.layer_proxy import call_like
from pruneplug.pruning.wrapper import PruneLowMagnitude

# What is copied. All else is shared: functions, tables, numbers, losses.
_PARTS = (keras.Layer, keras.metrics.Metric, keras.random.SeedGenerator, Tracker)

# What TensorFlow's checkpoints note in an object: what depends on it, by name.
_NOTES = "_self_"
_Trackable: Any = tf.__internal__.tracking.Trackable

# What `compile` and `fit` leave in a model; a copy is not compiled.
COMPILATION = (
    "optimizer",
    "train_function",
    "test_function",
    "predict_function",
    "history",
    *keras_internals.COMPILED_WITH,
    *keras_internals.LOSS_AND_METRICS,
)


def stripped_copy(model: keras.Model) -> keras.Model:
    """Return a model's layers without pruning, built anew on variables of their own.

    Unlike `keras.models.clone_model` it asks no layer for its configuration, which knows nothing
    of weights, of what `adapt` has learnt, or of what was set later.

    Args:
        model: With all its variables created; it stays as it is.

    Returns:
        A model of the same class, not compiled.
    """
    with model.distribute_strategy.scope(), attributes.without_beside(model):
        copy: keras.Model = _Copier()(model)
    copy.pruning_skipped = {}
    return copy


def check_copy(copy: keras.Model, model: keras.Model, inputs: Any) -> None:
    """Refuse a copy that reads a variable of the model it was made of.

    Functions are shared, so one that has a layer in its closure still calls that very layer.

    Args:
        copy: Of `stripped_copy`.
        model: The original.
        inputs: Of the model, as structure of `tf.TypeSpec`.

    Raises:
        ValueError: If it does, or cannot be called as the original can.
    """
    try:
        reached = _reached(copy, inputs)
    except Exception:
        if _can_be_called(model, inputs):
            raise
        return  # it trains parts of itself
    shared = [v.path for v in model.variables if id(v.value.handle) in reached]
    if shared:
        raise ValueError(f"a function in it reads {', '.join(shared)}")


def _can_be_called(model: keras.Model, inputs: Any) -> bool:
    try:
        _reached(model, inputs)
    except Exception:
        return False
    return True


def _reached(model: keras.Model, inputs: Any) -> set[int]:
    """Return the ids of the resources that a call of a model reads."""
    called = tf.function(lambda inputs: model(inputs, training=False), autograph=False)
    return {id(handle) for handle, _ in called.get_concrete_function(inputs).graph.captures}


class _Copier:
    """Copies layers, and what they are made of, each once."""

    def __init__(self) -> None:
        self._done: dict[int, Any] = {}

    def __call__(self, value: Any) -> Any:
        """Return the copy of a value, the value itself if it is shared."""
        if id(value) not in self._done:
            # Kept with its copy: an id is one only as long as its object lives.
            self._done[id(value)] = (value, self._copy(value))
        return self._done[id(value)][1]

    def _copy(self, value: Any) -> Any:
        if isinstance(value, PruneLowMagnitude):
            return self(value.layer)
        if isinstance(value, keras.Variable):
            return _copy_variable(value)
        if surgery.has_graph(value):
            copy = surgery.rebuild(value, self)
            # A class that builds its graph itself may call it in its own way.
            call_like(copy, value)
            return copy
        if isinstance(value, _PARTS):
            return self._copy_part(value)
        if isinstance(value, list | dict | set):
            return self._copy_container(value)
        if isinstance(value, tuple):
            items = [self(item) for item in value]
            return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
        if isinstance(value, MethodType):
            return MethodType(value.__func__, self(value.__self__))
        return value

    def _copy_part(self, part: Any) -> Any:
        kind = surgery.dense_class(type(part))
        new = kind.__new__(kind)
        self._done[id(part)] = (part, new)
        # Keras' layers are born with functions that know them.
        born = {name for name, value in vars(new).items() if isinstance(value, FunctionType)}
        for name, value in vars(part).items():
            if name in keras_internals.CALLS:
                vars(new)[name] = []  # a copy has those of the graph built from it
            elif name not in born and not name.startswith(_NOTES):
                vars(new)[name] = None if name in COMPILATION else self(value)
        if isinstance(new, Tracker):
            new.stored_ids = {name: set(map(id, store)) for name, (_, store) in new.config.items()}
        if isinstance(new, keras.Model):
            new.compiled = False
        if isinstance(new, _Trackable):
            _note_dependencies(new)
        return new

    def _copy_container(self, value: Any) -> Any:
        # Those of Keras track what is put into them; their trackers are copied with their lists.
        kind: Any = type(value)
        new = kind.__new__(kind)
        self._done[id(value)] = (value, new)
        if isinstance(value, dict):
            put: Any = OrderedDict if isinstance(value, OrderedDict) else dict
            for key, item in value.items():
                put.__setitem__(new, self(key), self(item))
        else:
            base = list if isinstance(value, list) else set
            base.__init__(new, [self(item) for item in value])
        for name, attribute in getattr(value, "__dict__", {}).items():
            vars(new)[name] = self(attribute)
        return new


def _copy_variable(variable: keras.Variable) -> keras.Variable:
    new = keras.Variable(
        keras.ops.convert_to_numpy(variable),
        dtype=keras.backend.standardize_dtype(variable.dtype),
        trainable=variable.trainable,
        aggregation=variable.aggregation,
        synchronization=variable.synchronization,
        name=variable.name,
    )
    # Path, regularizer and the like; but not its value, nor what TensorFlow notes in saving it.
    for name, value in vars(variable).items():
        if name != keras_internals.VARIABLE_VALUE and not name.startswith(_NOTES):
            vars(new)[name] = value
    if isinstance(new.constraint, MaskConstraint):
        new.constraint = new.constraint.inner
    return new


def _note_dependencies(part: Any) -> None:
    part._maybe_initialize_trackable()
    # Keras would count what is noted among the layer's variables; states of a recurrent layer,
    # which are in a list of TensorFlow's, are not.
    vars(part)["_self_unconditional_dependency_names"] = {}
    vars(part)["_self_unconditional_checkpoint_dependencies"] = []
    for name, value in list(vars(part).items()):
        if isinstance(value, _Trackable):
            part._track_trackable(value, name, overwrite=True)
