"""What belongs to a callback: the objects that it holds, and what its code assigns."""

import csv
import dis
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager
from enum import Enum
from functools import cache, partial
from inspect import unwrap
from logging import Logger
from pathlib import Path, PurePath
from threading import Thread
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import keras
import tensorflow as tf

# What runs before the first step, in a run that resumes too.
_SETUP = {"__init__", "__new__", "__post_init__", "set_params", "set_model", "on_train_begin"}
_BASE = frozenset(vars(keras.callbacks.Callback()))
_WITH_VARIABLES = (keras.layers.Layer, keras.optimizers.Optimizer, keras.metrics.Metric)
# Writers, threads, functions, losses.
_MADE_ANEW = (
    csv.DictWriter, type(csv.writer(sys.stdout)), tf.summary.SummaryWriter,
    keras.utils.Progbar, Thread, Logger, ModuleType, type,
    FunctionType, BuiltinFunctionType, MethodType, partial,
    tf.types.experimental.PolymorphicFunction, keras.losses.Loss,
    keras.optimizers.schedules.LearningRateSchedule,
)  # fmt: skip

_OWN = __name__.partition(".")[0]
_PACKAGES = {"site-packages", "dist-packages"}


def made_anew(value: Any) -> bool:
    """Tell whether an object is one that a run opens or makes itself, and no state."""
    if isinstance(value, _MADE_ANEW):
        return True
    # Open files, locks and whatever else libraries let one enter and leave. (Python 3.11 lets one
    # enter a path, to no effect.)
    entered = isinstance(value, AbstractContextManager) and not isinstance(value, PurePath)
    return entered and _is_library(_root(type(value)))


def things(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Return the callback and the objects that it holds, which keep their place; by path.

    They are what has attributes or variables of its own. A path is like `stats.rows[0]`, and that
    of the callback itself is empty.
    """
    found: dict[str, Any] = {}
    seen: set[int] = set()
    own = _root(type(callback))
    pending = deque([("", callback)])
    while pending:
        path, value = pending.popleft()
        if id(value) in seen:
            continue
        if _is_thing(value, own):
            seen.add(id(value))
            found[path] = value
            if variables(value) is None:
                inside = attributes(value).items()
                pending.extend((f"{path}.{name}" if path else name, item) for name, item in inside)
        elif type(value) in (list, tuple, dict):
            seen.add(id(value))
            items = value.items() if type(value) is dict else enumerate(value)
            pending.extend((f"{path}[{key!r}]", item) for key, item in items)
    return found


def variables(thing: Any) -> list[Any] | None:
    """Return the variables of what is nothing but variables; None for other things."""
    if isinstance(thing, keras.Variable | tf.Variable):
        return [thing]
    if isinstance(thing, keras.random.SeedGenerator):
        return [thing.state]
    return list(thing.variables) if isinstance(thing, _WITH_VARIABLES) else None


def attributes(thing: Any) -> dict[str, Any]:
    """Return the attributes of an object, and what its classes hold for it as containers."""
    shared = {
        name: value
        for kind in reversed(_classes(type(thing)))
        for name, value in vars(kind).items()
        if type(value) in (list, dict, set) and not name.startswith("__")
    }
    own = {**shared, **vars(thing)}
    # What Keras gives to every callback is the training itself.
    without = _BASE if isinstance(thing, keras.callbacks.Callback) else frozenset()
    return {name: value for name, value in own.items() if name not in without}


def written(callback: keras.callbacks.Callback, kind: Any) -> frozenset[str]:
    """Return the attributes that the code of a callback assigns, other than in setting it up.

    All others hold what the constructor has made of its arguments.

    Args:
        callback: Of its own functions, such as those of a `LambdaCallback`, all code counts.
        kind: The class of the callback, or of an object that it holds.
    """
    functions = [value for value in vars(callback).values() if isinstance(value, FunctionType)]
    stored = {name for f in functions for code in _codes(f) for name in _stores(code)}
    own: Any = type(callback)
    return _written(kind) | _written(own) | stored


@cache
def _written(kind: type) -> frozenset[str]:
    return frozenset(
        name
        for parent in _classes(kind)
        for method, member in vars(parent).items()
        for code in _codes(member, nested=method in _SETUP)
        for name in _stores(code)
    )


def is_fixed(kind: type, name: str) -> bool:
    """Tell whether an attribute is none that a checkpoint may set: a method, or Python's own."""
    member = getattr(kind, name, None)
    base = _BASE if issubclass(kind, keras.callbacks.Callback) else frozenset()
    return name.startswith("__") or name in base or hasattr(member, "__get__")


def _classes(kind: type) -> list[type]:
    return [c for c in kind.__mro__ if c not in (object, keras.callbacks.Callback)]


def _is_thing(value: Any, own: str) -> bool:
    if isinstance(value, keras.callbacks.Callback) or variables(value) is not None:
        return True
    if not hasattr(value, "__dict__") or made_anew(value) or isinstance(value, Enum):
        return False
    # What libraries keep in their objects is theirs, and a pruner or tracker is saved elsewhere.
    root = _root(type(value))
    return root != _OWN and (root == own or not _is_library(root))


def _root(kind: type) -> str:
    return kind.__module__.partition(".")[0]


@cache
def _is_library(root: str) -> bool:
    path = getattr(sys.modules.get(root), "__file__", None) or ""
    return root in sys.stdlib_module_names or bool({*Path(path).parts} & _PACKAGES)


def _codes(member: Any, nested: bool = False) -> Iterator[CodeType]:
    """Yield the code of a method, property or function and of the functions inside it."""
    for function in (getattr(member, name, None) for name in ("fget", "fset", "__func__")):
        if function is not None:
            yield from _codes(function, nested)
    code = getattr(unwrap(member), "__code__", None) if callable(member) else None
    pending = [code] if isinstance(code, CodeType) else []
    while pending:
        one = pending.pop()
        if one is not code or not nested:
            yield one
        pending.extend(inner for inner in one.co_consts if isinstance(inner, CodeType))


def _stores(code: CodeType) -> Iterator[str]:
    return (step.argval for step in dis.get_instructions(code) if step.opname == "STORE_ATTR")


def classes_near(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Return what the module of a callback's class defines or imports, by name."""
    module = sys.modules.get(type(callback).__module__)
    return {} if module is None else dict(vars(module))
