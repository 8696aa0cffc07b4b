"""Values that callbacks hold, as data: JSON and arrays, and nothing that can act or lead elsewhere.

What is read back may come from anyone. So nothing is called but what `KINDS` lists, no class is
imported, and no text comes back that may name a file.
"""

import dataclasses
import itertools
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pruneplug.training.checkpoints.arrays import Array
from pruneplug.training.checkpoints.callbacks.kinds import KINDS

# Callbacks with a monitor choose one of these late and flip the sign of their `min_delta` with it:
# both must come back together.
_FUNCTIONS = {"less": keras.ops.less, "greater": keras.ops.greater}
# What leads out of the working folder: separators, a drive, a home folder or a variable before one.
_ELSEWHERE = re.compile(r"[/\\$%\0]|^~|^[A-Za-z]:")
_MARKS = itertools.count()
_BY_NAME = {kind.__name__: kind for kind in KINDS}


class Encoder:
    """Takes values apart. What is no data is noted, and tells only which object it is.

    Args:
        things: Objects that keep their place; by id.
    """

    def __init__(self, things: Collection[int] = ()) -> None:
        self.arrays: list[Array] = []
        self.others: list[Any] = []
        self._things = things

    def encode(self, value: Any) -> Any:
        """Return `value` fit for JSON, with everything but plain values tagged by its type."""
        kind = type(value)
        if value is None or kind in (bool, int, float, str):
            return value
        if id(value) in self._things:
            return self._other(value)
        if kind in (list, tuple):
            return {kind.__name__: [self.encode(item) for item in value]}
        if kind is dict:
            return self._dict(value)
        if kind in KINDS:
            try:
                parts = KINDS[kind][0](value)
            except (TypeError, AttributeError):
                return self._other(value)
            return {kind.__name__: self.encode(parts)}
        return self._array(value) or self._named(value)

    def _dict(self, value: Mapping[Any, Any]) -> Any:
        if all(type(key) is str for key in value):
            return {"dict": {key: self.encode(item) for key, item in value.items()}}
        return {"items": [[self.encode(key), self.encode(item)] for key, item in value.items()]}

    def _array(self, value: Any) -> Any:
        if isinstance(value, tf.Tensor) and hasattr(value, "numpy"):
            kind, array = "tensor", np.asarray(value.numpy())
        elif type(value) is np.ndarray or isinstance(value, np.generic):
            kind, array = "array" if type(value) is np.ndarray else "scalar", np.asarray(value)
        else:
            return None
        if array.dtype.hasobject or array.dtype.names:
            return self._other(value)
        self.arrays.append(array)
        return {kind: len(self.arrays) - 1}

    def _named(self, value: Any) -> Any:
        name = type(value).__name__
        for function_name, function in _FUNCTIONS.items():
            if value is function:
                return {"function": function_name}
        if isinstance(value, Enum):
            return {"enum": [name, value.name]}
        if _is_named_tuple(type(value)):
            return {"named": [name, [self.encode(item) for item in value]]}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = [field.name for field in dataclasses.fields(value)]
            return {"record": [name, {f: self.encode(getattr(value, f, None)) for f in fields}]}
        return self._other(value)

    def _other(self, value: Any) -> Any:
        self.others.append(value)
        # Nobody can tell whether an iterator has moved on.
        mark = next(_MARKS) if isinstance(value, Iterator) else id(value)
        return {"other": [type(value).__name__, mark]}


class Decoder:
    """Puts values together again.

    Args:
        arrays: What the values refer to.
        classes: Enumerations, named tuples and data classes that may occur, by name.
        known: Texts that are taken whatever they look like; None takes all texts.
    """

    def __init__(
        self, arrays: Sequence[Array], classes: Mapping[str, Any], known: Collection[str] | None
    ) -> None:
        self._arrays = arrays
        self._classes = classes
        self._known = known

    def decode(self, value: Any) -> Any:
        """Return what was encoded.

        Raises:
            ValueError: If it is no data, or holds a text that may name a place. What was not
                written by `Encoder` raises other errors too (`BROKEN`).
        """
        if isinstance(value, str):
            self._check(value)
        if value is None or isinstance(value, bool | int | float | str):
            return value
        ((kind, content),) = value.items()
        if kind in ("array", "scalar", "tensor"):
            return self._array(kind, content)
        if kind in ("list", "tuple"):
            return (list if kind == "list" else tuple)(self.decode(item) for item in content)
        if kind == "dict":
            return {self.decode(str(key)): self.decode(item) for key, item in content.items()}
        if kind == "items":
            return {self.decode(key): self.decode(item) for key, item in content}
        if kind == "function":
            return _FUNCTIONS[content]
        if kind in _BY_NAME:
            made = KINDS[_BY_NAME[kind]][1](self.decode(content))
            if kind in ("bytes", "bytearray"):
                self._check_bytes(made)
            return made
        if kind == "other":
            raise ValueError(f"it holds a {content[0]}, which is no plain data")
        return self._named(kind, *content)

    def _array(self, kind: str, index: int) -> Any:
        array = self._arrays[index]
        for text in array.ravel().tolist() if array.dtype.kind in "US" else ():
            self._check(text) if isinstance(text, str) else self._check_bytes(text)
        if kind == "tensor":
            return tf.convert_to_tensor(array)
        return array[()] if kind == "scalar" else array

    def _named(self, kind: str, name: str, content: Any) -> Any:
        found = self._classes.get(name)
        if not isinstance(found, type):
            raise ValueError(f"it holds a {name}, which is not defined where the callback is")
        if kind == "enum" and issubclass(found, Enum):
            return found.__members__[content]
        if kind == "named" and _is_named_tuple(found):
            return tuple.__new__(found, [self.decode(item) for item in content])
        fields = {field.name for field in dataclasses.fields(found)}
        if kind != "record" or fields != content.keys():
            raise ValueError(f"it holds a {name} of another form")
        made: Any = object.__new__(found)
        for field, item in content.items():
            object.__setattr__(made, field, self.decode(item))
        return made

    def _check(self, text: str) -> None:
        if not text or self._known is None or text in self._known:
            return
        if _ELSEWHERE.search(text) or os.path.lexists(text):
            raise ValueError("it holds a text that may name a file, which no checkpoint may choose")

    def _check_bytes(self, data: bytes | bytearray) -> None:
        # Bytes name a file only where they are text.
        with suppress(UnicodeDecodeError):
            text = data.decode()
            self._check(text if text.isprintable() else "")


BROKEN = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError)
"""What comes of decoding something that no `Encoder` has written."""


def _is_named_tuple(kind: type) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields")
