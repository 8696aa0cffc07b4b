"""In what two runs differ, line by line, by names that their user knows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_NOTHING = "nothing"
_SHOWN = 20
_SETTINGS_FIRST: Mapping[str, Any] = {"settings": {}}
# How Keras writes an object down: what it is shows in its class, what it was made with in these.
_WRITTEN = re.compile(r"\.config\b")
_REMARKS = (".module", ".registered_name", ".build_config")
_NAMES = {
    "settings.": "",
    "pruning.0.pruning_schedule.": "schedule.",
    "pruning.0.": "",
    "data.batch_size": "trainer.batch_size",
    "data.seed": "seed",
}


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what differs between the identities of two runs, by name.

    Args:
        there: Of a checkpoint.
        here: Of the run that is to resume from it.

    Returns:
        The values there and here; the user's own settings first.

    Example:
        >>> there = {"seed": 1, "settings": {"sparsity": 0.8}, "data": {"batch_size": 32}}
        >>> here = {"seed": 1, "settings": {"sparsity": 0.9}, "data": {"batch_size": 32}}
        >>> differences(there, here)
        {'sparsity': (0.8, 0.9)}
    """
    one, other = (dict(_leaves({**_SETTINGS_FIRST, **identity})) for identity in (there, here))
    found: dict[str, tuple[Any, Any]] = {}
    for path in {**one, **other}:
        values = one.get(path, _NOTHING), other.get(path, _NOTHING)
        if values[0] != values[1]:
            # What Keras makes of a setting has its name, and says no more.
            found.setdefault(_name(path), values)
    told = {name: values for name, values in found.items() if not name.endswith(_REMARKS)}
    return told or found


def as_lines(found: Mapping[str, tuple[Any, Any]]) -> str:
    """Write differences one a line, the first of many."""
    lines = [
        f"\n- {name}: {there} in the checkpoint, {here} now"
        for name, (there, here) in found.items()
    ]
    more = f"\n- and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return "".join(lines[:_SHOWN]) + more


def _name(path: str) -> str:
    path = _WRITTEN.sub("", path)
    prefix = next((prefix for prefix in _NAMES if path.startswith(prefix)), None)
    return path if prefix is None else _NAMES[prefix] + path.removeprefix(prefix)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what mappings, and lists of them, hold at last, each with its path."""
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        value = dict(enumerate(value))
    if not isinstance(value, Mapping):
        yield path, value
        return
    for key, held in value.items():
        yield from _leaves(held, f"{path}.{key}" if path else str(key))
