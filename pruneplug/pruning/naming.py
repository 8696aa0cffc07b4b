"""Graphs with pruned layers, which are asked by two names: the dense model's and the wrappers'."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import keras

from pruneplug.pruning.keras_internals import Functional
from pruneplug.pruning.wrapper import PruneLowMagnitude


class LayersByEitherName(keras.Model):
    """Finds a pruned layer by its wrapper's name and by its own."""

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """Return a layer by its name, or its wrapper's, or by its index."""
        known = {layer.name for layer in self.layers}
        if name not in known:
            name = {w.layer.name: w.name for w in _wrappers(self)}.get(name, name)
        return super().get_layer(name, index)


class _BothNames(LayersByEitherName):
    """Takes losses, metrics and targets by the names of outputs and of their wrappers."""

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile as any model, with losses, metrics and weights by either name."""
        given = {name: _by_output(self, value) for name, value in kwargs.items()}
        super().compile(*(_by_output(self, value) for value in args), **given)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as a loaded model was, which Keras leaves to classes with a `compile`."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the loss, of targets by either name."""
        y, sample_weight = _by_output(self, y), _by_output(self, sample_weight)
        return super().compute_loss(x, y, y_pred, sample_weight, training=training)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Return the metrics, of targets by either name."""
        y, sample_weight = _by_output(self, y), _by_output(self, sample_weight)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Train as any model, with callbacks that monitor a metric by either name."""
        given = inspect.signature(super().fit).bind(*args, **kwargs).arguments.get("callbacks")
        rename_monitors(keras.tree.flatten(getattr(given, "callbacks", given)), self)
        return super().fit(*args, **kwargs)


@keras.saving.register_keras_serializable("pruneplug", "PrunedFunctional")
class PrunedFunctional(_BothNames, Functional):
    """A Functional model with pruned layers."""

    dense_class = Functional


@keras.saving.register_keras_serializable("pruneplug", "PrunedSequential")
class PrunedSequential(_BothNames, keras.Sequential):
    """A Sequential model with pruned layers."""

    dense_class = keras.Sequential


# The classes of pruned models, by those of the dense ones; for others see `in_place`.
PRUNED: dict[type, type] = {Functional: PrunedFunctional, keras.Sequential: PrunedSequential}

for _dense, _pruned in PRUNED.items():
    # What is shown of a model; and Keras' old h5 format knows no other name of its class.
    _pruned.__name__ = _dense.__name__


def rename_monitors(callbacks: Iterable[Any], model: keras.Model) -> None:
    """Let callbacks monitor metrics by the names that these have in the logs of a model."""
    for callback in callbacks:
        if isinstance(getattr(callback, "monitor", None), str):
            callback.monitor = metric_name(model, callback.monitor)


def metric_name(model: keras.Model, name: str) -> str:
    """Return the name that a metric, or "val_" and it, has in the logs.

    Args:
        model: The model that is trained.
        name: The metric's name, with the output's name or that of the wrapper in it.
    """
    start = "val_" if name.startswith("val_") else ""
    metric = name.removeprefix(start)
    for other, output in _output_names(model).items():
        if metric.startswith(f"{other}_"):
            return f"{start}{output}{metric.removeprefix(other)}"
    return name


def _by_output(model: keras.Model, values: Any) -> Any:
    """Return a dict by names of outputs by those that the outputs bear; all else as it is."""
    if not isinstance(values, Mapping):
        return values
    names = _output_names(model)
    return {names.get(key, key): value for key, value in values.items()}


def _output_names(model: keras.Model) -> dict[str, str]:
    """Return, by the other name that it could have, the name of each output of a wrapper."""
    bear = getattr(model, "output_names", None) or []
    pairs = [(wrapper.name, wrapper.layer.name) for wrapper in _wrappers(model)]
    pairs += [(name, other) for other, name in pairs]
    return {other: name for other, name in pairs if name in bear and other not in bear}


def _wrappers(model: keras.Model) -> list[PruneLowMagnitude]:
    return [layer for layer in model.layers if isinstance(layer, PruneLowMagnitude)]
