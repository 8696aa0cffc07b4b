"""The best model among those that have reached their target sparsity."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pruneplug.training.records import Array

Direction = Literal["min", "max"]


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
