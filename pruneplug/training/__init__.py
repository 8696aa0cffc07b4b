"""The Trainer and its parts, each concern in a file of its own."""

from pruneplug.training.ending import TrainingResult
from pruneplug.training.progress import Progress
from pruneplug.training.trainer import Trainer

__all__ = ["Progress", "Trainer", "TrainingResult"]
