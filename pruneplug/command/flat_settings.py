"""Settings by dotted name, and which of them make a run what it is."""

from collections.abc import Mapping
from typing import Any, TypeAlias

Param: TypeAlias = str | int | float | bool

# Where a run is seen and what it goes on from, not what it computes.
_PLACES = ("tracking.", "trainer.resume")
# What may change while a run goes on: how long it trains, and what is looked at besides.
_OPEN = ("trainer.", "tracking.", "sensitivity.")


def flatten(settings: Mapping[str, Any]) -> dict[str, Param]:
    """List settings by dotted name, e.g. `trainer.epochs`, as a tracker's parameters.

    Args:
        settings: Those of a run by group, or by name where they are in none.
    """
    flat: dict[str, Param] = {}
    for group, value in settings.items():
        leaves = value.items() if isinstance(value, Mapping) else ((None, value),)
        for name, leaf in leaves:
            plain = leaf if isinstance(leaf, str | int | float | bool) else str(leaf)
            flat[f"{group}.{name}" if name else group] = plain
    return flat


def decisive(flat: Mapping[str, Param]) -> dict[str, Param]:
    """Return the settings that decide what a run computes."""
    return {name: value for name, value in flat.items() if not name.startswith(_PLACES)}


def binding(flat: Mapping[str, Param]) -> dict[str, Param]:
    """Return the settings that a run and the one that resumes it must share."""
    return {
        name: value
        for name, value in flat.items()
        if not (name.startswith(_OPEN) or name.endswith(".path"))  # where things lie may change
    }
