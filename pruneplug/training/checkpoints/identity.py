"""What makes a run the run it is: what must be the same when it is resumed."""

import json
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import keras

from pruneplug.pruning import keras_internals
from pruneplug.pruning.masked_layer import MaskedLayer
from pruneplug.pruning.serialization import describe_schedule
from pruneplug.pruning.wrapper import PruneLowMagnitude
from pruneplug.training.feeds.base import Feed

# Items of a list that are written down one by one.
_LONG = 100


def identity(
    model: keras.Model,
    pruned: Iterable[PruneLowMagnitude],
    train: Feed,
    validation: Feed | None,
    seed: int,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Return, fit for JSON, what must not differ between a run and the one that resumes it.

    Args:
        model: Before its first step.
        pruned: Its pruned layers.
        train: What it is trained on.
        validation: What it is evaluated on.
        seed: Of everything random.
        settings: Whatever else makes the run what it is.
    """
    configs = [_pruning_config(layer) for layer in pruned]
    found = {
        "pruning": [config for i, config in enumerate(configs) if config not in configs[:i]],
        "model": _architecture(model),
        "loss": _described(getattr(model, "loss", None)),
        "optimizer": _unnamed(keras.optimizers.serialize(model.optimizer)),
        "data": dict(train.describe()),
        "validation": "none" if validation is None else _in_a_line(validation.describe()),
        "seed": seed,
        "steps_per_epoch": train.steps_per_epoch,
        "settings": dict(settings),
    }
    # As it will come back from the checkpoint.
    return dict(json.loads(json.dumps(found, default=str)))


def comparable(there: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the identity in a checkpoint and a run's own, as far as both say the same things.

    An older version may not know of all, and classes may have lain in other modules.
    """
    known = {key: value for key, value in own.items() if key in there}
    known["data"] = {key: value for key, value in known["data"].items() if key in there["data"]}
    return _by_registered_name(there), _by_registered_name(known)


def _by_registered_name(config: Any) -> Any:
    """Leave out in which module a class lies that Keras knows by a name of its own."""
    if isinstance(config, list):
        return [_by_registered_name(value) for value in config]
    if not isinstance(config, Mapping):
        return config
    registered = ">" in str(config.get("registered_name"))
    left = {key: value for key, value in config.items() if not (registered and key == "module")}
    return {key: _by_registered_name(value) for key, value in left.items()}


def _unnamed(config: Any) -> Any:
    """Leave out what things are called: Keras numbers them within a process."""
    if isinstance(config, list | tuple):
        return [_unnamed(value) for value in config]
    if not isinstance(config, dict):
        return config
    return {key: _unnamed(value) for key, value in config.items() if key != "name"}


def _pruning_config(layer: PruneLowMagnitude) -> dict[str, Any]:
    config = layer.get_pruning_config(describe_schedule)
    # Which weights are pruned shows in the variables of a checkpoint.
    for name in ("weight_names", "with_model"):
        del config[name]
    return config


def _architecture(model: keras.Model) -> dict[str, Any]:
    """Return the configuration of each layer, as far as it says it, numbered by its class."""
    numbers: Counter[str] = Counter()
    found = {}
    for layer in keras_internals.flatten_layers(model, include_self=False):
        # Of the pruning the identity tells besides, of a model inside its layers do.
        if isinstance(layer, MaskedLayer | keras.Model):
            continue
        kind = type(layer).__name__
        numbers[kind] += 1
        found[f"{kind} {numbers[kind]}"] = _layer_config(layer)
    return found


def _layer_config(layer: keras.layers.Layer) -> dict[str, Any]:
    try:
        config = layer.get_config()
    except (NotImplementedError, TypeError, ValueError):
        return {}  # a layer of the user's own that cannot be saved either
    if type(layer).__module__.startswith("keras."):
        config.pop("seed", None)  # Keras may draw it, and saves what its generators draw next
    return _described_config(config)


def _described_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out names, which Keras numbers within a process, and initial values.

    Those have no effect on a run that goes on.
    """
    found = {str(key): value for key, value in config.items()}
    return {
        key: _described(_policy(value) if key == "dtype" else value)
        for key, value in found.items()
        if key != "name" and not key.endswith("_initializer")
    }


def _policy(dtype: Any) -> Any:
    """Return the name of a dtype policy, which is all that there is to it."""
    return dtype["config"].get("name") if isinstance(dtype, Mapping) else dtype


def _described(value: Any) -> Any:
    """Return a value of a configuration or a loss, fit for JSON and the same in every process."""
    if isinstance(value, Mapping):
        code = value.get("class_name") == "__lambda__"  # it holds line numbers
        return "a lambda" if code else _described_config(value)
    if isinstance(value, list | tuple):
        items = [_described(item) for item in value]
        # A vocabulary, say, which every checkpoint would hold again.
        return items if len(items) <= _LONG else f"{len(items)} items, {_checksum(items)}"
    if isinstance(value, keras.losses.Loss):
        return f"{type(value).__name__} {_in_a_line(_described(value.get_config()))}"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return getattr(value, "__qualname__", type(value).__name__)


def _checksum(items: list[Any]) -> str:
    return f"{zlib.crc32(json.dumps(items).encode()):08x}"


def _in_a_line(config: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in config.items())
