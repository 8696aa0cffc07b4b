"""Schedules, allocations and patterns in configurations, and so in Keras' files."""

from __future__ import annotations

from typing import Any

import keras

from pruneplug.pruning import allocation, patterns, schedules

# Keras files name their classes; without this, loading one would need a custom object scope.
for _class in (*schedules.BUILT_IN, *allocation.BUILT_IN, patterns.MByN):
    keras.saving.register_keras_serializable("pruneplug")(_class)


def save_schedule(schedule: schedules.Schedule) -> Any:
    """Return the configuration of a schedule.

    Raises:
        ValueError: It is a plain function, which Keras could not find again.
    """
    if not (hasattr(schedule, "get_config") or _is_registered(schedule)):
        raise ValueError(
            "A pruning schedule must be a PruningSchedule, or a function known to Keras, to be "
            f"saved with its model; got {schedule!r}. Derive a class from PruningSchedule, or "
            "decorate the function with @keras.saving.register_keras_serializable()."
        )
    return keras.saving.serialize_keras_object(schedule)


def describe_schedule(schedule: schedules.Schedule) -> Any:
    """Return what tells a schedule from others: its configuration, or the name of a function."""
    try:
        return save_schedule(schedule)
    except ValueError:
        named = schedule if hasattr(schedule, "__qualname__") else type(schedule)
        return f"{named.__module__}.{named.__qualname__}"


def load_schedule(config: Any, custom_objects: Any) -> schedules.Schedule:
    """Rebuild a schedule from `save_schedule`'s answer.

    Raises:
        ValueError: Its class is not registered with Keras.
    """
    try:
        schedule = keras.saving.deserialize_keras_object(config, custom_objects)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The pruning schedule's class must be known to Keras; got {config!r}. Decorate it "
            "with @keras.saving.register_keras_serializable(), or pass it in custom_objects."
        ) from error
    return check_schedule(schedule)


def check_schedule(schedule: Any) -> schedules.Schedule:
    """Return a schedule.

    Raises:
        ValueError: It cannot be asked.
    """
    if not callable(schedule) or isinstance(schedule, type):
        raise ValueError(
            f"pruning_schedule must be a PruningSchedule; got pruning_schedule={schedule!r}. A "
            "function of the step that answers whether an update is due, and its sparsity, will do."
        )
    return schedule  # type: ignore[no-any-return]  # checked as far as can be


def _is_registered(function: Any) -> bool:
    if not hasattr(function, "__name__"):
        return False
    name = keras.saving.get_registered_name(function)
    return keras.saving.get_registered_object(name) is function
