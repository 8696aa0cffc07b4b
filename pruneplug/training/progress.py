"""One line that shows how far training is."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Column

_PLAIN_PERIOD = 10.0
# On a narrower terminal a bar would leave the line no room.
_WIDE = 100


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
    """Shows a `Standing` with a bar in place on a terminal, as a line every 10 s elsewhere.

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
        self._bars = self._begun(0)
        self._printed = 0.0

    def start(self, step: int) -> None:
        """Begin at `step`."""
        self._bars = self._begun(step)
        self._printed = self._clock()
        if self._console.is_terminal:
            self._bars.start()

    def update(self, standing: Standing) -> None:
        """Show where the run is."""
        (task,) = self._bars.tasks
        # Given to `update`, a total that is new to the bar would make it forget when it began.
        task.total = standing.total
        self._bars.update(task.id, completed=standing.step)
        line = _line(standing, task)
        if self._console.is_terminal:
            self._bars.update(task.id, description=line, visible=True, refresh=True)
        elif self._clock() - self._printed >= _PLAIN_PERIOD or standing.step == standing.total:
            self._printed = self._clock()
            self._console.print(line, highlight=False)

    def stop(self) -> None:
        """Leave the last line standing."""
        if self._console.is_terminal:
            self._bars.stop()

    def _begun(self, step: int) -> Bars:
        """Make the bar, which also knows the rate; hidden until its total is known."""
        wide = self._console.width >= _WIDE
        text = Column(no_wrap=wide)
        bars = Bars(
            *([BarColumn(bar_width=None)] if wide else []),
            TextColumn("{task.description}", markup=False, table_column=text),
            console=self._console,
            auto_refresh=False,
            get_time=self._clock,
            # The rate is that of the last thousand updates: a step may outlast any period.
            speed_estimate_period=math.inf,
        )
        task = bars.add_task("", total=None, completed=step, visible=False)
        bars.advance(task, 0)  # the rate counts from here
        return bars


def _line(standing: Standing, task: Task) -> str:
    return (
        f"step {standing.step}/{standing.total}  {task.speed or 0:.0f} steps/s  "
        f"loss {standing.loss:.4f}  "
        f"sparsity {standing.sparsity:.1%} -> {standing.target:.1%}  "
        f"{TimeRemainingColumn().render(task)} left"
    )


def loss_of(outputs: Mapping[str, Any] | None) -> float:
    """Return the loss among what a step returns, NaN where a step of one's own returns none."""
    loss = outputs.get("loss") if isinstance(outputs, Mapping) else None
    return float("nan" if loss is None else loss)
