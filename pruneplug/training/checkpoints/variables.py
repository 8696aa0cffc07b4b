"""Everything in memory that decides how a run goes on: variables and random states."""

import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from pruneplug.pruning import keras_internals
from pruneplug.pruning.variables import read, stored_dtype
from pruneplug.pruning.wrapper import pruned_layers
from pruneplug.training.checkpoints.arrays import Array
from pruneplug.training.checkpoints.checkpoint import Section


def state_variables(model: keras.Model) -> dict[str, list[Any]]:
    """Return every variable that training changes, by section.

    The model's own include masks, thresholds, pruning steps and the state of its seed
    generators; metrics hold the sums of the epoch so far. Layers hold besides what Keras does not
    count among the variables, as the states of recurrent layers.
    """
    found = {
        "model": list(model.variables),
        "optimizer": [v for optimizer in optimizers(model) for v in optimizer.variables],
        "metrics": list(model.metrics_variables),
        "random": [keras_internals.global_seed_generator().state],
    }
    return {**found, "held": _held(model, found)}


def _held(model: keras.Model, known: Mapping[str, Sequence[Any]]) -> list[Any]:
    """Return the variables that layers have as attributes and that are not known."""
    seen = {id(variable) for variables in known.values() for variable in variables}
    layers = keras_internals.flatten_layers(model)
    found = {id(v): v for layer in layers for v in _inside(list(vars(layer).values()))}
    return [variable for key, variable in found.items() if key not in seen]


def _inside(value: Any) -> Iterator[Any]:
    """Yield the variables in a container, and in those that it holds."""
    if isinstance(value, keras.Variable):
        yield value
    elif isinstance(value, Mapping):
        yield from _inside(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _inside(item)


def optimizers(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """Return the optimizer that a model is compiled with, and those that it holds besides."""
    held = {id(value): value for value in vars(model).values()}
    return [value for value in held.values() if isinstance(value, keras.optimizers.Optimizer)]


def read_variables(variables: Sequence[Any]) -> Iterator[tuple[str, Array]]:
    """Yield path and value of each variable, one copy at a time."""
    for variable in variables:
        yield variable.path, np.array(read(variable))


def view_variables(variables: Sequence[Any]) -> Iterator[tuple[str, Array]]:
    """Yield path and value of each variable, from host memory without a copy.

    To be dropped before training goes on, which would have to copy what is still looked at.
    """
    for variable in variables:
        yield variable.path, np.asarray(read(variable))


def assign_model(model: keras.Model, values: Sequence[Array]) -> None:
    """Assign one value to each variable of a model."""
    variables, lacking = _saved_variables(model, len(values))
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    if lacking:
        _recall_updates(model)


def _saved_variables(model: keras.Model, count: int) -> tuple[list[Any], bool]:
    """Return the model's variables that `count` arrays are for, and whether some are lacking.

    Checkpoints of 0.1.0 don't say at which update each mask stands.
    """
    variables = list(model.variables)
    updates = {id(v) for layer in pruned_layers(model) for v in layer.pruning_updates}
    lacking = bool(updates) and count == len(variables) - len(updates)
    return [v for v in variables if not (lacking and id(v) in updates)], lacking


def _recall_updates(model: keras.Model) -> None:
    for layer in pruned_layers(model):
        layer.recall_updates()


def check_variables(model: keras.Model, sections: Mapping[str, Section], force: bool) -> bool:
    """Refuse the arrays of another architecture.

    Args:
        model: With all its variables created.
        sections: Of a checkpoint.
        force: Only warn.

    Returns:
        Whether they are another's.

    Raises:
        ValueError: If number, shape, dtype or name of a variable differs, with the differences.
    """
    own = state_variables(model)
    own["model"], _ = _saved_variables(model, len(sections["model"]))
    found = [
        difference
        for name, variables in own.items()
        for difference in _differences(name, variables, sections.get(name, []))
    ]
    if found and force:
        shown = "\n- ".join(found[:10])
        warnings.warn(f"Only what fits is taken from the checkpoint:\n- {shown}", stacklevel=2)
    elif found:
        raise ValueError(
            "A checkpoint must come from the same architecture and optimizer; got:\n- "
            + "\n- ".join(found[:10])
            + "\nBuild the model as it was, use another folder, or force it (force_resume)."
        )
    return bool(found)


def restore_variables(
    model: keras.Model, sections: Mapping[str, Section], force: bool = False
) -> None:
    """Assign a checkpoint's arrays to the variables of a model.

    Args:
        model: Passes `check_variables`.
        sections: Of the checkpoint.
        force: Take only what fits, by position and name, and keep the model's learning rate.
    """
    own = state_variables(model)
    own["model"], lacking = _saved_variables(model, len(sections["model"]))
    for name, variables in own.items():
        for variable, (path, array) in zip(variables, sections.get(name, []), strict=not force):
            if not force or (_fits(variable, path, array) and not path.endswith("learning_rate")):
                variable.assign(array)
    if lacking:
        _recall_updates(model)


def random_state() -> dict[str, Any]:
    """Return the states of Python's and NumPy's global generators, fit for JSON."""
    version, words, gauss = random.getstate()
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "python": [version, list(words), gauss],
        "numpy": [kind, np.asarray(keys).tolist(), *rest],
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Set both generators to what `random_state` returned."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), *rest))


def _differences(section: str, variables: Sequence[Any], arrays: Section) -> Iterator[str]:
    if len(variables) != len(arrays):
        yield f"{section}: {len(arrays)} variables in the checkpoint, {len(variables)} here"
    for variable, (path, array) in zip(variables, arrays, strict=False):
        if not _fits(variable, path, array):
            shape, dtype = _form(variable)
            there = f"{path} {array.shape} {array.dtype.name}"
            yield f"{section}: {there} in the checkpoint, {variable.path} {shape} {dtype} here"


def _fits(variable: Any, path: str, array: Array) -> bool:
    form = (array.shape, array.dtype.name)
    return _form(variable) == form and _stem(variable.path) == _stem(path)


def _form(variable: Any) -> tuple[tuple[int, ...], str]:
    return tuple(variable.shape), stored_dtype(variable)


def _stem(path: str) -> str:
    # Keras numbers automatic names within a process: dense_2 here may be dense there.
    words = path.replace("/", "_").split("_")
    return "_".join(word for word in words if not word.isdigit())
