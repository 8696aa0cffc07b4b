"""From settings to the objects they describe: one table of names for each group of `conf/`.

TensorFlow is imported by what a function builds, not by these modules.
"""

from pruneplug.command.builders.pruning import prune
from pruneplug.command.builders.running import (
    build_data,
    build_loss,
    build_model,
    build_optimizer,
    build_tracker,
    epochs,
    open_tracker,
    planned_steps,
)
from pruneplug.command.builders.timing import build_schedule, make_schedule

__all__ = [
    "build_data",
    "build_loss",
    "build_model",
    "build_optimizer",
    "build_schedule",
    "build_tracker",
    "epochs",
    "make_schedule",
    "open_tracker",
    "planned_steps",
    "prune",
]
