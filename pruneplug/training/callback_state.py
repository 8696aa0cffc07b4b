"""What Keras callbacks remember, as data: JSON and arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from pruneplug.training.records import Array

Encoded = tuple[Any, list[Array]]
"""A value as JSON, with its arrays taken out."""


# Callbacks with a monitor choose one of these late and flip the sign of their `min_delta` with it:
# both must come back together.
_FUNCTIONS = {"less": keras.ops.less, "greater": keras.ops.greater}


class CallbackState:
    """Finds, saves and restores the state of callbacks.

    State is what has changed since the beginning of training: so arguments such as a patience
    are never overwritten by a resumed run, and no callback needs to know about this.

    Args:
        callbacks: After their `on_train_begin`.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        self._callbacks = callbacks
        self._before = [_attributes(callback) for callback in callbacks]

    def save(self) -> tuple[list[dict[str, Any]], list[tuple[str, Array]]]:
        """Return the state as JSON, and its arrays with their paths."""
        arrays: list[tuple[str, Array]] = []
        states = []
        for callback, before in zip(self._callbacks, self._before, strict=True):
            name = type(callback).__name__
            values: dict[str, Any] = {}
            for attribute, (value, found) in _attributes(callback).items():
                if not _equal((value, found), before.get(attribute)):
                    values[attribute] = [value, len(arrays), len(found)]
                    arrays.extend((f"{name}/{attribute}", array) for array in found)
            states.append({"callback": name, "values": values})
        return states, arrays

    def restore(self, states: Sequence[Mapping[str, Any]], arrays: Sequence[Array]) -> None:
        """Bring back what `save` returned.

        Raises:
            ValueError: If the callbacks are others than those that were saved.
        """
        saved = [state["callback"] for state in states]
        own = [type(callback).__name__ for callback in self._callbacks]
        if saved != own:
            raise ValueError(
                "callbacks must be those of the run that is resumed, in the same order; "
                f"got callbacks={own} instead of {saved}."
            )
        for callback, state in zip(self._callbacks, states, strict=True):
            for attribute, (value, first, count) in state["values"].items():
                setattr(callback, attribute, _decode(value, list(arrays[first : first + count])))


def _attributes(callback: keras.callbacks.Callback) -> dict[str, Encoded]:
    found: dict[str, Encoded] = {}
    for name, value in vars(callback).items():
        arrays: list[Array] = []
        try:
            found[name] = (_encode(value, arrays), arrays)
        except TypeError:
            continue  # open files, models and functions are made anew by on_train_begin
    return found


def _equal(one: Encoded, other: Encoded | None) -> bool:
    if other is None or one[0] != other[0]:
        return False
    return all(
        a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(one[1], other[1], strict=True)
    )


def _encode(value: Any, arrays: list[Array]) -> Any:
    """Return `value` with every container tagged by its type; append arrays to `arrays`."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        arrays.append(np.array(value))
        return {"array" if isinstance(value, np.ndarray) else "scalar": len(arrays) - 1}
    for name, function in _FUNCTIONS.items():
        if value is function:
            return {"function": name}
    if type(value) in (list, tuple):
        return {type(value).__name__: [_encode(item, arrays) for item in value]}
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return {"dict": {key: _encode(item, arrays) for key, item in value.items()}}
    raise TypeError(f"{type(value).__name__} is not plain data.")


def _decode(value: Any, arrays: Sequence[Array]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        return arrays[content]
    if kind == "function":
        return _FUNCTIONS[content]
    if kind == "scalar":
        return arrays[content][()]
    if kind == "dict":
        return {key: _decode(item, arrays) for key, item in content.items()}
    items = [_decode(item, arrays) for item in content]
    return tuple(items) if kind == "tuple" else items
