"""Every private name of Keras that pruneplug touches, each with what it stands for.

All of them were seen in Keras 3.15.1. A test lets no other module touch one: where another
version of Keras names or does something else, it is mended here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras.src.backend.common import global_state
from keras.src.layers.rnn import conv_lstm
from keras.src.models import functional
from keras.src.random import seed_generator
from keras.src.utils import rng_utils, tracking

# Methods that classes of ours have in the place of Keras' own, each with what calls it there.
OVERRIDDEN = (
    "_maybe_build",  # a layer's call, to build it on the shapes of what it is called on
    "_run_through_graph",  # a model's call, and `clone_model` with other layers in their places
    "_restore_from_tensors",  # TensorFlow's checkpoints, to set a variable
)

# --- Graphs of layers ---

# The class of models that are made of inputs and outputs.
Functional: Any = functional.Functional
# Tells whether a class of models is made by the arguments of `Functional`.
functional_like_constructor: Any = functional.functional_like_constructor
# The calls of an operation, and those that use what it returns: lists of nodes of graphs.
CALLS = ("_inbound_nodes", "_outbound_nodes")


def history(tensor: Any) -> Any:
    """Return what made a symbolic tensor: `operation`, number of its call, number in the result."""
    return tensor._keras_history


def calls(operation: Any) -> Sequence[Any]:
    """Return the nodes that an operation's calls have become, in any graph, as `CALLS` has them."""
    found: Sequence[Any] = operation._inbound_nodes
    return found


def forget_calls(operation: Any) -> None:
    """Let an operation be one that no graph calls."""
    for name in CALLS:
        setattr(operation, name, [])


def graph_of(model: Any) -> Any:
    """Return what has a model's graph: what a Sequential keeps inside, else itself; or None."""
    held = getattr(model, "_functional", model)
    return held if hasattr(held, "_nodes_by_depth") else None


def nodes(graph: Any) -> list[Any]:
    """Return the calls that a graph is made of, inputs among them."""
    return [node for depth in graph._nodes_by_depth.values() for node in depth]


# --- Layers ---

# The class of the cells of ConvLSTM layers.
ConvLSTMCell: Any = conv_lstm.ConvLSTMCell
# The layers that a layer of attention is made of.
PROJECTIONS = ("_query_dense", "_key_dense", "_value_dense", "_gate_dense", "_output_dense")
# The signature of a layer's `call`, and how its arguments are taken, as read at construction.
CALL_SIGNATURE = (
    "_call_signature",
    "call_signature_parameters",
    "_call_has_training_arg",
    "_call_has_mask_arg",
    "_call_context_args",
    "_call_has_context_arg",
    "_allow_non_tensor_positional_args",
    "_convert_input_args",
)
# What `__new__` gives an operation: its arguments, and that its `__init__` has not run yet.
BORN_WITH = frozenset({"_auto_config", "_lock"})
# Where a variable holds that of the backend.
VARIABLE_VALUE = "_value"


def flatten_layers(layer: Any, include_self: bool = True, recursive: bool = True) -> list[Any]:
    """Return a layer and the layers inside it; `recursive` for those in these too."""
    found: list[Any] = layer._flatten_layers(include_self, recursive)
    return found


def sublayers(layer: Any) -> list[Any]:
    """Return the layers that a layer has in its attributes; of a Sequential, its Input too."""
    held: list[Any] = layer._layers
    return held


def own_trainable(layer: Any) -> Any:
    """Return whether a layer is set to train, whatever its property `trainable` says."""
    return layer._trainable


def set_own_trainable(layer: Any, trainable: bool) -> None:
    """Set whether a layer trains, and leave the layers inside it as they are."""
    layer._trainable = trainable


def copy_input_shape(layer: Any, other: Any) -> None:
    """Give a layer the argument `input_shape` of another one, if it has none itself."""
    if hasattr(other, "_input_shape_arg") and not hasattr(layer, "_input_shape_arg"):
        layer._input_shape_arg = other._input_shape_arg


def build_as_called(layer: Any, call_spec: Any) -> None:
    """Build a layer on the arguments of a call, as this call would."""
    with layer._open_name_scope():
        layer._maybe_build(call_spec)


# --- What a layer lists its variables, layers and metrics with ---

# The class of it: lists by name, in `config`, and `stored_ids` of what is in them.
Tracker: Any = tracking.Tracker


def tracker(operation: Any) -> Any:
    """Return the Tracker of an operation, None if it has none; of a built layer, it is locked."""
    return getattr(operation, "_tracker", None)


def lock_alike(operation: Any, other: Any) -> None:
    """Let nothing be added to an operation any more, if nothing may be to another one."""
    if (held := tracker(other)) and held.locked:
        tracker(operation).lock(held._lock_violation_msg)


# --- Compiling and training ---

# What `compile` leaves in a model: its arguments, and which layers trained then.
COMPILED_WITH = ("_compile_config", "_compiled_trainable_state")
# What computes loss and metrics as `compile` was told; None from the beginning.
LOSS_AND_METRICS = ("_compile_loss", "_compile_metrics", "_loss_tracker")
# What `compile` was told of how to run a step, as the properties without "_" have it.
HOW_TO_RUN = ("_jit_compile", "_run_eagerly")
# What `fit` has in a model until it ends, and leaves there if it fails: validation data.
VALIDATION_BATCHES = "_eval_epoch_iterator"


def compile_arguments(model: Any) -> dict[str, Any]:
    """Return the arguments of a model's last `compile`, which Keras keeps to save them."""
    return dict(model._compile_config.config)


def compiled_loss(model: Any) -> Any:
    """Return what computes a model's loss, with the metrics that show its parts; or None."""
    return model._compile_loss


def compiled_metrics(model: Any) -> Any:
    """Return what computes the metrics that a model is compiled with; None if there are none."""
    return model._compile_metrics


def metric_direction(metric: Any) -> Any:
    """Return "up" or "down", whichever is better; callbacks read it, own metrics may set it."""
    return getattr(metric, "_direction", None)


def symbolic_build(model: Any, batch: Any) -> None:
    """Create the variables of a compiled model, its metrics and its optimizer on no data."""
    model._symbolic_build(data_batch=batch)


def steps_taken(optimizer: Any) -> Any:
    """Return the variable that counts all steps; `iterations` counts those that change weights."""
    return optimizer._iterations


def moving_averages(optimizer: Any) -> list[tuple[Any, Any]]:
    """Return each weight of a built optimizer and its moving average (`use_ema`), None without."""
    weights, averages = optimizer._trainable_variables, optimizer._model_variables_moving_average
    return list(zip(weights, averages, strict=True))


def strategy_of(optimizer: Any) -> Any:
    """Return the `tf.distribute` strategy that an optimizer was made under."""
    return optimizer._distribution_strategy


def is_default_hook(hook: Any) -> bool:
    """Return whether a callback's method is the empty one that Keras has marked so."""
    return bool(getattr(hook, "_is_default", False))


def train_writer(tensorboard: Any) -> Any:
    """Return what a TensorBoard callback writes training with."""
    return tensorboard._train_writer


def writers(tensorboard: Any) -> dict[str, Any]:
    """Return what a TensorBoard callback writes with, by folder; it closes all that is there."""
    by_folder: dict[str, Any] = tensorboard._writers
    return by_folder


# --- Random numbers ---

# The seed of the process, and the generator of the layers and operations that have none.
_GLOBAL_SEEDS = (rng_utils.GLOBAL_RANDOM_SEED, seed_generator.GLOBAL_SEED_GENERATOR)


def global_seed_generator() -> Any:
    """Return the generator of the operations that have none; made when it is asked for first."""
    return seed_generator.global_seed_generator()


def global_seeds() -> dict[str, Any]:
    """Return the seed of the process and that generator, None for what is not there yet."""
    return {name: global_state.get_global_attribute(name) for name in _GLOBAL_SEEDS}


def restore_global_seeds(seeds: dict[str, Any]) -> None:
    """Put back what `global_seeds` returned."""
    for name, value in seeds.items():
        global_state.set_global_attribute(name, value)
