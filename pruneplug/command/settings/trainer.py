"""How long and in which pieces the network is trained."""

import math
from dataclasses import dataclass
from pathlib import Path

from pruneplug.command.settings.checks import require, require_count

RESUME_WORDS = ("auto", "never")
# With no epochs given: so many, unless they would make more steps than these.
AUTOMATIC_EPOCHS = 40
AUTOMATIC_STEPS = 17_000


@dataclass
class TrainerSettings:
    """How long and in which pieces the network is trained."""

    epochs: int | None
    """Passes over the data; None: 40, or as many as make 17,000 steps."""
    batch_size: int
    checkpoint_steps: int | None
    """Steps between two checkpoints; None: the end of each epoch."""
    checkpoint_minutes: float | None
    """Minutes after which a checkpoint is due too; None: never."""
    keep_checkpoints: int
    """Newest checkpoints to keep, besides the best."""
    keep_minutes: float | None
    """One checkpoint in so many minutes is kept for good; None: none."""
    resume: str
    """auto: go on from the run folder's last checkpoint; never; or a checkpoint's path."""
    force_resume: bool
    """Resume in spite of other settings, and take what fits."""
    deterministic: bool
    """Use the same order of additions every time, on a GPU too."""

    def __post_init__(self) -> None:
        if self.epochs is not None:
            require_count("trainer.epochs", self.epochs)
        require_count("trainer.batch_size", self.batch_size)
        require_count("trainer.keep_checkpoints", self.keep_checkpoints)
        if self.checkpoint_steps is not None:
            require_count("trainer.checkpoint_steps", self.checkpoint_steps)
        for name in ("checkpoint_minutes", "keep_minutes"):
            minutes = getattr(self, name)
            require(minutes is None or minutes > 0, f"trainer.{name}", "be above 0", minutes)
        known = self.resume in RESUME_WORDS or Path(self.resume).exists()
        require(known, "trainer.resume", "be auto, never or an existing path", self.resume)

    def planned_epochs(self, examples: int) -> int:
        """Return the passes over the data; with none given, enough for small data and large."""
        if self.epochs is not None:
            return self.epochs
        return min(max(AUTOMATIC_STEPS // self._steps_per_epoch(examples), 1), AUTOMATIC_EPOCHS)

    def planned_steps(self, examples: int) -> int:
        """Return the optimizer steps of the whole training."""
        return self.planned_epochs(examples) * self._steps_per_epoch(examples)

    def _steps_per_epoch(self, examples: int) -> int:
        return math.ceil(examples / self.batch_size)  # the last batch may be small
