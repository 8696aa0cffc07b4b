"""The best model among those that have reached their target sparsity, and by which metric."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Literal

import keras

from pruneplug.pruning import keras_internals
from pruneplug.training.checkpoints.arrays import Array

Direction = Literal["min", "max"]
Mode = Literal["auto", "min", "max"]


@dataclass
class Best:
    """Remembers the best epoch's step, metrics and weights.

    Args:
        monitor: Name of the metric to compare, such as "val_loss".
        direction: Whether it is better when it is lower, or higher.
    """

    monitor: str
    direction: Direction = "min"
    step: int | None = None
    logs: dict[str, float] = field(default_factory=dict)
    weights: list[Array] = field(default_factory=list)

    def offer(
        self, step: int, logs: dict[str, float], weights: Callable[[], Sequence[Array]]
    ) -> bool:
        """Take an epoch's result if it beats the best one so far.

        Args:
            step: Optimizer steps taken.
            logs: The epoch's metrics; not copied, since callbacks may add to them.
            weights: Reads the weights; called only when they are taken.

        Returns:
            True if it was taken.
        """
        value = logs.get(self.monitor, math.nan)
        if math.isnan(value) or (self.step is not None and not self._better(value)):
            return False
        self.step, self.logs, self.weights = step, logs, list(weights())
        return True

    def save(self) -> dict[str, Any]:
        """Return step and metrics, fit for JSON."""
        return {"step": self.step, "logs": self.logs}

    def restore(self, state: Mapping[str, Any], weights: Sequence[Array]) -> None:
        """Bring back what `save` returned, with the weights of that step."""
        self.step, self.logs, self.weights = state["step"], dict(state["logs"]), list(weights)

    def _better(self, value: float) -> bool:
        best = self.logs[self.monitor]
        return value > best if self.direction == "max" else value < best


def check_mode(mode: str) -> None:
    """Refuse a direction that is none.

    Raises:
        ValueError: With what is allowed.
    """
    if mode not in ("auto", "min", "max"):
        raise ValueError(f"mode must be 'auto', 'min' or 'max'; got mode={mode!r}.")


def direction(
    model: keras.Model, monitor: str, mode: Mode, train: Set[str], validation: Set[str] | None
) -> Direction:
    """Return whether a metric is better when it is lower or higher, as Keras' callbacks find out.

    Args:
        model: Compiled, with its metrics built.
        monitor: The metric's name in the logs.
        mode: "auto" asks the metric.
        train: Names of the metrics of training.
        validation: Names of those of the validation; None without one.

    Raises:
        ValueError: If no epoch will have the metric, or nothing tells its direction.
    """
    if validation is None and monitor.startswith("val_"):
        return "min"  # without validation there is no best model, only a last one
    names = {*train, *(f"val_{name}" for name in validation or ())}
    if names and monitor not in names:
        raise ValueError(f"monitor must be one of {sorted(names)}; got monitor={monitor!r}.")
    if mode != "auto":
        return mode
    return _ask(model, monitor)


def _ask(model: keras.Model, monitor: str) -> Direction:
    name = monitor.removeprefix("val_")
    known = dict(_directions(model))
    if name not in known:
        raise ValueError(
            f"mode must be 'min' or 'max' for a metric that does not say which is better; got "
            f"monitor={monitor!r} and mode='auto'. Keras knows it of {sorted(known)}."
        )
    return known[name]


def _directions(model: keras.Model) -> Iterator[tuple[str, Direction]]:
    """Yield the metrics that have a direction, by their names in the logs."""
    yield "loss", "min"
    compiled = [(metric.name, metric) for metric in model.metrics]
    if (losses := keras_internals.compiled_loss(model)) is not None:
        yield from ((metric.name, "min") for metric in losses.metrics)
    if (metrics := keras_internals.compiled_metrics(model)) is not None and metrics.built:
        # Named by output and numbered, in the order of the metrics.
        compiled += zip(metrics.result(), metrics.metrics, strict=True)
    for name, metric in compiled:
        # Keras' own callbacks read it, and metrics of one's own may set it.
        said = keras_internals.metric_direction(metric)
        if said is not None:
            yield name, "max" if said == "up" else "min"
