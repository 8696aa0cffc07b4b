"""Kinds of values that are plain data once they are taken apart, and how each is made again."""

import datetime
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np

_FACTORIES = {kind.__name__: kind for kind in (int, float, bool, str, list, dict, set, tuple)}
_BIT_GENERATORS = {
    kind.__name__: kind
    for kind in (
        np.random.PCG64,
        np.random.PCG64DXSM,
        np.random.MT19937,
        np.random.Philox,
        np.random.SFC64,
    )
}


def _random(state: Any) -> Random:
    made = Random()
    made.setstate(state)
    return made


def _generator(content: Any) -> np.random.Generator:
    name, state = content
    bits = _BIT_GENERATORS[name]()
    bits.state = state
    return np.random.Generator(bits)


def _random_state(state: Any) -> np.random.RandomState:
    made = np.random.RandomState()
    made.set_state(state)
    return made


def _zone(moment: datetime.datetime) -> datetime.timedelta | None:
    if type(moment.tzinfo) not in (type(None), datetime.timezone):
        raise TypeError("A time zone must be a fixed one.")
    return moment.utcoffset()


def _datetime(content: Any) -> datetime.datetime:
    fields, fold, offset = content
    zone = None if offset is None else datetime.timezone(offset)
    return datetime.datetime(*fields).replace(fold=fold, tzinfo=zone)


KINDS: dict[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    set: (list, set),
    frozenset: (list, frozenset),
    deque: (lambda x: (list(x), x.maxlen), lambda x: deque(*x)),
    OrderedDict: (lambda x: list(x.items()), OrderedDict),
    Counter: (dict, Counter),
    defaultdict: (
        lambda x: (x.default_factory and x.default_factory.__name__, dict(x)),
        lambda x: defaultdict(x[0] and _FACTORIES[x[0]], x[1]),
    ),
    bytes: (lambda x: np.frombuffer(x, np.uint8), lambda x: x.tobytes()),
    bytearray: (lambda x: np.frombuffer(bytes(x), np.uint8), lambda x: bytearray(x.tobytes())),
    complex: (lambda x: (x.real, x.imag), lambda x: complex(*x)),
    range: (lambda x: (x.start, x.stop, x.step), lambda x: range(*x)),
    Fraction: (lambda x: (x.numerator, x.denominator), lambda x: Fraction(*x)),
    Decimal: (lambda x: tuple(x.as_tuple()), Decimal),
    datetime.timedelta: (
        lambda x: (x.days, x.seconds, x.microseconds),
        lambda x: datetime.timedelta(*x),
    ),
    datetime.date: (lambda x: (x.year, x.month, x.day), lambda x: datetime.date(*x)),
    datetime.datetime: (
        lambda x: ((*x.timetuple()[:6], x.microsecond), x.fold, _zone(x)),
        _datetime,
    ),
    Random: (Random.getstate, _random),
    np.random.Generator: (
        lambda x: (type(x.bit_generator).__name__, x.bit_generator.state),
        _generator,
    ),
    np.random.RandomState: (lambda x: x.get_state(legacy=False), _random_state),
}
"""How each kind is taken apart, and made again of what came of it."""


def fill(current: Any, made: Any) -> Any:
    """Give a random generator the state of another one, for all who share it; else return that."""
    if type(current) is not type(made):
        return made
    if isinstance(made, Random):
        current.setstate(made.getstate())
    elif isinstance(made, np.random.RandomState):
        current.set_state(made.get_state(legacy=False))
    elif isinstance(made, np.random.Generator) and (
        type(current.bit_generator) is type(made.bit_generator)
    ):
        current.bit_generator.state = made.bit_generator.state
    else:
        return made
    return current
