"""What one Keras callback remembers, and what of it a checkpoint may set."""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from pruneplug.pruning.variables import read
from pruneplug.training.checkpoints.arrays import Array
from pruneplug.training.checkpoints.callbacks.kinds import fill
from pruneplug.training.checkpoints.callbacks.objects import (
    attributes,
    classes_near,
    is_fixed,
    made_anew,
    things,
    variables,
    written,
)
from pruneplug.training.checkpoints.callbacks.values import BROKEN, Decoder, Encoder
from pruneplug.training.checkpoints.variables import state_variables

# Values that change without being assigned.
_IN_PLACE = {
    "list", "dict", "items", "set", "deque", "OrderedDict", "Counter", "defaultdict", "bytearray",
    "array", "Random", "Generator", "RandomState",
}  # fmt: skip
_VARIABLES = "variables"
# They hold names of metrics and nothing else, and a metric may be called like a file.
_METRICS = ((keras.callbacks.History, "history"), (keras.callbacks.CSVLogger, "keys"))


@dataclass(frozen=True)
class Value:
    """What an attribute holds, as JSON and arrays, and what of it is neither."""

    plain: Any
    arrays: Sequence[Array]
    others: Sequence[Any] = ()


@dataclass(frozen=True)
class _Begun:
    """A value at the beginning, with hashes for arrays: what is large is not kept twice.

    Args:
        plain: As of the value.
        hashes: Of its arrays.
        others: As of the value. They are kept, as `plain` knows them by their address.
        fault: Why no checkpoint may set it; None if one may.
    """

    plain: Any
    hashes: Sequence[Any]
    others: Sequence[Any]
    fault: str | None


class Memory:
    """A callback and the objects that it holds, compared with what they were at the beginning.

    Args:
        callback: After its `on_train_begin`.
    """

    def __init__(self, callback: keras.callbacks.Callback) -> None:
        self.name = type(callback).__name__
        self._callback = callback
        self._things = things(callback)
        model = getattr(callback, "model", None)
        parts = {} if model is None else state_variables(model)
        trained = [variable for part in parts.values() for variable in part]
        self._trained = {id(variable) for variable in trained}
        self._paths = {variable.path for variable in trained}
        self._classes = classes_near(callback)
        self._begun = {path: self._begin(path, value) for path, value in self._values()}

    def changed(self) -> Iterator[tuple[str, Value]]:
        """Yield what is no longer as it was at the beginning, by path."""
        for path, value in self._values():
            begun = self._begun.get(path)
            if begun is None or begun.plain != value.plain or begun.hashes != _hashes(value):
                yield path, value

    def made_anew(self, path: str, value: Value) -> bool:
        """Tell whether all that is or was no data in a value is what a run opens or makes."""
        begun = self._begun.get(path)
        others = [*value.others, *(() if begun is None else begun.others)]
        return bool(others) and all(made_anew(one) or self._is_trained(one) for one in others)

    def check(self, path: str, value: Value) -> None:
        """Refuse what could not be restored.

        Raises:
            ValueError: If it is no state, or no data; some of `BROKEN` where that shows otherwise.
        """
        self._made(path, value.plain, value.arrays)

    def restore(self, path: str, plain: Any, arrays: Sequence[Array]) -> None:
        """Set what a checkpoint holds, if it may; raises as `check` does."""
        made = self._made(path, plain, arrays)
        thing, name = self._find(path)
        if name is not None:
            setattr(thing, name, fill(getattr(thing, name, None), made))
            return
        for variable, array in zip(self._variables(thing), made, strict=True):
            variable.assign(array)

    def _values(self) -> Iterator[tuple[str, Value]]:
        kept = {id(thing) for thing in self._things.values()}
        for path, thing in self._things.items():
            if variables(thing) is not None:
                yield f"{path}.{_VARIABLES}", _variables_as_value(self._variables(thing))
                continue
            for name, attribute in attributes(thing).items():
                yield f"{path}.{name}" if path else name, _as_value(attribute, kept)

    def _variables(self, thing: Any) -> list[Any]:
        """Return the variables of a thing that are not saved with the model."""
        return [v for v in variables(thing) or () if id(v) not in self._trained]

    def _is_trained(self, value: Any) -> bool:
        """Tell whether a value is nothing but variables of the model, such as a part of it."""
        return variables(value) is not None and not self._variables(value)

    def _find(self, path: str) -> tuple[Any, str | None]:
        """Return a thing and the attribute that a path names; None for its variables."""
        before, _, name = path.rpartition(".")
        if before not in self._things:
            raise ValueError("there is no such object")
        thing = self._things[before]
        if variables(thing) is None:
            return thing, name
        if name != _VARIABLES:
            raise ValueError("only its variables are state")
        return thing, None

    def _begin(self, path: str, value: Value) -> _Begun:
        fault = None
        thing, name = self._find(path)
        if name is not None:
            try:
                self._decoder(thing, name, value.arrays).decode(value.plain)
            except BROKEN as error:
                fault = str(error)
        return _Begun(value.plain, _hashes(value), value.others, fault)

    def _made(self, path: str, plain: Any, arrays: Sequence[Array]) -> Any:
        thing, name = self._find(path)
        if name is None:
            if plain != len(self._variables(thing)) or plain != len(arrays):
                raise ValueError("it has other variables than at the beginning")
            return arrays
        self._check_state(thing, name, self._begun.get(path))
        return self._decoder(thing, name, arrays).decode(plain)

    def _decoder(self, thing: Any, name: str, arrays: Sequence[Array]) -> Decoder:
        kind = type(getattr(thing, name, None))
        metrics = any(isinstance(thing, one) and name == at for one, at in _METRICS)
        classes = {**self._classes, kind.__name__: kind}
        return Decoder(arrays, classes, None if metrics else self._paths)

    def _check_state(self, thing: Any, name: str, begun: _Begun | None) -> None:
        if is_fixed(type(thing), name):
            raise ValueError("the class has it")
        if begun is not None and begun.fault is not None:
            raise ValueError(begun.fault)
        plain = None if begun is None else begun.plain
        in_place = isinstance(plain, dict) and not _IN_PLACE.isdisjoint(plain)
        if not in_place and name not in written(self._callback, type(thing)):
            raise ValueError("only its constructor assigns it, so it is a setting")


def _as_value(attribute: Any, kept: Collection[int]) -> Value:
    encoder = Encoder(kept)
    try:
        plain = encoder.encode(attribute)
    except RecursionError:  # it holds itself
        return Value({"other": [type(attribute).__name__, id(attribute)]}, [], [attribute])
    return Value(plain, encoder.arrays, encoder.others)


def _variables_as_value(found: Sequence[Any]) -> Value:
    arrays = [np.asarray(read(v) if isinstance(v, keras.Variable) else v.numpy()) for v in found]
    return Value(len(arrays), arrays)


def _hashes(value: Value) -> list[Any]:
    return [
        (array.dtype, array.shape, hashlib.sha256(array.tobytes()).digest())
        for array in value.arrays
    ]
