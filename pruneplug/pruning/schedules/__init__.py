"""When a mask update is due, and how sparse it must be.

A schedule is a pure function of the training step: nothing of it is traced, and nothing but the
standard library is needed to ask it.
"""

from pruneplug.pruning.schedules.base import FieldSchedule, PruningSchedule, Schedule
from pruneplug.pruning.schedules.custom import AskedSchedule, are_alike, as_schedule
from pruneplug.pruning.schedules.ramps import (
    CosineSparsity,
    ExponentialSparsity,
    LinearSparsity,
    PolynomialDecay,
)
from pruneplug.pruning.schedules.steps import ConstantSparsity, MultiStepSparsity, OneShotSparsity

__all__ = [
    "BUILT_IN",
    "AskedSchedule",
    "ConstantSparsity",
    "CosineSparsity",
    "ExponentialSparsity",
    "FieldSchedule",
    "LinearSparsity",
    "MultiStepSparsity",
    "OneShotSparsity",
    "PolynomialDecay",
    "PruningSchedule",
    "Schedule",
    "are_alike",
    "as_schedule",
]

BUILT_IN = (
    ConstantSparsity,
    PolynomialDecay,
    LinearSparsity,
    ExponentialSparsity,
    CosineSparsity,
    MultiStepSparsity,
    OneShotSparsity,
)
