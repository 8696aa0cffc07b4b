"""Whether a model fits a data set, and what its outputs mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pruneplug.command.data.base import Splits

if TYPE_CHECKING:  # Keras takes seconds to import, and nothing here needs it.
    import keras

Shape = tuple[int | None, ...]

# Layers behind which probabilities are still probabilities, and logits still logits.
TRANSPARENT = frozenset(
    [
        "Dropout",
        "Flatten",
        "GlobalAveragePooling1D",
        "GlobalAveragePooling2D",
        "Identity",
        "Reshape",
    ]
)
PROBABILITIES = frozenset({"softmax"})
# The softmax of a log-softmax is the softmax itself, so a loss on logits is right for it too.
LOGITS = frozenset({"linear", "log_softmax"})


def check_output(model: keras.Model, splits: Splits) -> None:
    """Check that a model takes a data set's samples and tells its classes apart.

    Args:
        model: A built Sequential or Functional model.
        splits: The data it is to be trained on.

    Raises:
        ValueError: If it has several inputs or outputs, the shapes of input and samples differ,
            or the number of outputs and classes.
    """
    inputs = _only_shape(model, "inputs")
    if not _accepts(inputs[1:], splits.input_shape):
        raise ValueError(
            f"The model's input must have the shape of the data's samples; "
            f"got model={inputs[1:]}, data={splits.input_shape}."
        )
    outputs = _only_shape(model, "outputs")
    if outputs[1:] != (splits.num_classes,):
        raise ValueError(
            f"The model must have one output for each class, shape ({splits.num_classes},); "
            f"got outputs={outputs[1:]}, classes={splits.num_classes}. "
            "Replace the last layer by a Dense layer with that many units."
        )


def outputs_logits(model: keras.Model) -> bool:
    """Tell whether a model ends in logits (linear) rather than probabilities (softmax).

    Args:
        model: A built Sequential or Functional model with one output.

    Returns:
        True if the loss must be built with `from_logits=True`.

    Raises:
        ValueError: If the last activation is another one, or cannot be told.
    """
    layer, activation = _last_activation(model.outputs[0])
    if activation in PROBABILITIES:
        return False
    if activation in LOGITS:
        return True
    raise ValueError(
        f"The model must end in one softmax or linear output for each class; got "
        f"layer={layer.name} ({type(layer).__name__}) with activation={activation}. "
        "Let the model end in Dense(classes, activation='softmax'), or in Softmax()."
    )


def _only_shape(model: keras.Model, side: str) -> Shape:
    """Shape of a model's only input or output, batch axis included."""
    tensors = getattr(model, side, None)
    if not tensors:
        raise ValueError(
            f"The model must be a built Sequential or Functional model; got {model.name} "
            f"({type(model).__name__}), whose {side} are not known. Give it an Input."
        )
    if len(tensors) != 1:
        names = [tensor.name for tensor in tensors]
        raise ValueError(f"The model must have one of {side}; got {side}={names}.")
    shape: Shape = tuple(tensors[0].shape)
    return shape


def _accepts(expected: Shape, given: tuple[int, ...]) -> bool:
    """Compare shapes without the batch axis; None stands for any size."""
    # Keras itself adds or drops a last axis of size 1.
    if len(expected) == len(given) + 1 and expected[-1] == 1:
        expected = expected[:-1]
    elif len(given) == len(expected) + 1 and given[-1] == 1:
        given = given[:-1]
    return len(expected) == len(given) and all(
        size is None or size == found for size, found in zip(expected, given, strict=True)
    )


def _last_activation(tensor: Any) -> tuple[Any, str | None]:
    """Find the layer that decides what an output means, and its activation's name."""
    from pruneplug.pruning import keras_internals

    layer, number, index = keras_internals.history(tensor)
    call = keras_internals.calls(layer)[number]
    if hasattr(layer, "outputs"):  # a model inside the model
        return _last_activation(layer.outputs[index])
    while hasattr(layer, "layer"):  # a wrapper, such as PruneLowMagnitude
        layer = layer.layer
    activation = _activation_name(layer)
    kind = type(layer).__name__
    if kind in TRANSPARENT or (kind == "Activation" and activation == "linear"):
        return _last_activation(call.input_tensors[0])
    return layer, activation


def _activation_name(layer: Any) -> str | None:
    """Name of the function a layer ends in, None if it has none."""
    if type(layer).__name__ == "Softmax":  # the layer, or keras.ops.softmax
        return "softmax"
    activation = getattr(layer, "activation", None)
    return None if activation is None else _name(activation)


def _name(activation: Any) -> str:
    """Name of an activation: a function, or a layer in its place."""
    return str(getattr(activation, "__name__", type(activation).__name__)).lower()


def cross_entropy(model: keras.Model) -> keras.losses.Loss:
    """Return the cross-entropy of class ids, on probabilities or logits as the model ends in."""
    import keras

    return keras.losses.SparseCategoricalCrossentropy(from_logits=outputs_logits(model))
