"""How the model that is trained is compiled: as the caller says, else as it was."""

import inspect
from collections.abc import Mapping
from typing import Any

import keras

from pruneplug.pruning import keras_internals

AUTO = "auto"

# What a model is compiled with that was not, where the caller does not say.
_DEFAULTS = {
    "optimizer": "adam",
    "loss": "sparse_categorical_crossentropy",
    "metrics": ["accuracy"],
    "jit_compile": AUTO,
}


def check_compile(model: keras.Model, said: Mapping[str, Any]) -> None:
    """Refuse a model that the caller must compile, and has not.

    Args:
        model: What the caller has given.
        said: See `compile_model`.

    Raises:
        ValueError: If it has a `compile` of its own, or runs eagerly.
    """
    arguments = _arguments(model, said)
    if arguments.get("run_eagerly"):
        raise ValueError(
            "run_eagerly must be False: the Trainer runs many steps in one compiled call; got a "
            "model compiled with run_eagerly=True. Compile it without, or train it with fit."
        )
    if _is_used_as_it_is(model, said):
        return
    signature = inspect.signature(model.compile)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise ValueError(
            "A model with a compile() of its own must be compiled before it is given to the "
            f"Trainer, which uses it as it is; got {type(model).__name__}.compile{signature}, "
            f"which does not take {', '.join(arguments)} ({error}). Compile it, and leave "
            "optimizer, loss, loss_weights, metrics and jit_compile out."
        ) from error


def compile_model(
    model: keras.Model, source: keras.Model, said: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Compile the model to train, unless it is compiled already and nothing else is said.

    Args:
        model: To train; `source` itself where that is trained in place.
        source: What the caller has given; it passes `check_compile`.
        said: Arguments of `compile`; "auto" where the caller does not say.

    Returns:
        The arguments that it is compiled with.
    """
    arguments = _arguments(source, said)
    if not _is_used_as_it_is(source, said):
        model.compile(**arguments)
    elif model is not source:
        # Past a `compile` of its own, whose arguments nobody knows.
        keras.Model.compile(model, **arguments)
    return arguments


def _is_used_as_it_is(model: keras.Model, said: Mapping[str, Any]) -> bool:
    return model.compiled and not _given(said)


def _given(said: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in said.items()
        if not (isinstance(value, str) and value == AUTO)
    }


def _arguments(model: keras.Model, said: Mapping[str, Any]) -> dict[str, Any]:
    given = _given(said)
    own = _compiled_with(model) if model.compiled else {}
    if "loss" in given:
        own.pop("loss_weights", None)  # they belong to the loss that it had
    return {**_DEFAULTS, **own, **given}


def _compiled_with(model: keras.Model) -> dict[str, Any]:
    # The optimizer may stand in another one, for loss scaling, and has the state.
    return {**keras_internals.compile_arguments(model), "optimizer": model.optimizer}
