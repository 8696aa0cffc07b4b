"""The best model among those that have reached their target sparsity."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pruneplug.training.records import Array


@dataclass
class Best:
    """Remembers the best epoch's step, metrics and weights.

    Args:
        monitor: Name of the metric to compare, such as "val_loss". Accuracy, AUC and F1 count
            as better when higher, everything else when lower.
    """

    monitor: str
    step: int | None = None
    logs: dict[str, float] = field(default_factory=dict)
    weights: list[Array] = field(default_factory=list)

    def offer(
        self, step: int, logs: Mapping[str, float], weights: Callable[[], Sequence[Array]]
    ) -> bool:
        """Take an epoch's result if it beats the best one so far.

        Args:
            step: Optimizer steps taken.
            logs: The epoch's metrics.
            weights: Reads the weights; called only when they are taken.

        Returns:
            True if it was taken.
        """
        value = logs.get(self.monitor, math.nan)
        if math.isnan(value) or (self.step is not None and not self._better(value)):
            return False
        self.step, self.logs, self.weights = step, dict(logs), list(weights())
        return True

    def save(self) -> dict[str, Any]:
        """Return step and metrics, fit for JSON."""
        return {"step": self.step, "logs": self.logs}

    def restore(self, state: Mapping[str, Any], weights: Sequence[Array]) -> None:
        """Bring back what `save` returned, with the weights of that step."""
        self.step, self.logs, self.weights = state["step"], dict(state["logs"]), list(weights)

    def _better(self, value: float) -> bool:
        best = self.logs[self.monitor]
        return value > best if higher_is_better(self.monitor) else value < best


def higher_is_better(monitor: str) -> bool:
    """Tell a metric's direction by its name, as Keras does.

    Example:
        >>> higher_is_better("val_accuracy"), higher_is_better("val_loss")
        (True, False)
    """
    return any(word in monitor.lower() for word in ("acc", "auc", "f1", "precision", "recall"))
