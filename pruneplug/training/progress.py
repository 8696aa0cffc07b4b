"""One line that shows how far training is."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

_PLAIN_PERIOD = 10.0


@dataclass(frozen=True)
class Standing:
    """How far a run is.

    Args:
        step: Steps taken.
        total: Steps planned.
        loss: Mean loss of the epoch so far.
        sparsity: Fraction of zeros in the pruned weights together.
        target: The sparsity that the schedule ends at.
    """

    step: int
    total: int
    loss: float
    sparsity: float
    target: float


class Progress:
    """Shows a `Standing` in place on a terminal, as a line every 10 s elsewhere.

    Args:
        console: Where to write; by default the standard error stream, so that a script's output
            stays its own.
        clock: Returns the time in seconds.
    """

    def __init__(
        self, console: Console | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._live: Live | None = None
        self._begun = (0.0, 0)
        self._printed = 0.0

    def start(self, step: int) -> None:
        """Begin at `step`."""
        self._begun = (self._clock(), step)
        self._printed = self._begun[0]
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()

    def update(self, standing: Standing) -> None:
        """Show where the run is."""
        line = self._line(standing)
        if self._live is not None:
            self._live.update(Text(line), refresh=True)
        elif self._clock() - self._printed >= _PLAIN_PERIOD or standing.step == standing.total:
            self._printed = self._clock()
            self._console.print(line, highlight=False)

    def stop(self) -> None:
        """Leave the last line standing."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _line(self, standing: Standing) -> str:
        begun, first = self._begun
        rate = (standing.step - first) / max(self._clock() - begun, 1e-9)
        left = (standing.total - standing.step) / rate if rate else 0.0
        return (
            f"step {standing.step}/{standing.total}  {rate:.0f} steps/s  "
            f"loss {standing.loss:.4f}  "
            f"sparsity {standing.sparsity:.1%} -> {standing.target:.1%}  "
            f"{_duration(left)} left"
        )


def loss_of(outputs: Mapping[str, Any] | None) -> float:
    """Return the loss among what a step returns, NaN where a step of one's own returns none."""
    loss = outputs.get("loss") if isinstance(outputs, Mapping) else None
    return float("nan" if loss is None else loss)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
