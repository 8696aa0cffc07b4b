"""When a mask update is due, and how sparse it must be.

A schedule is a pure function of the training step: nothing of it is traced, and nothing but the
standard library is needed to ask it.
"""

from pruneplug.schedules.base import PruningSchedule, are_alike
from pruneplug.schedules.ramps import (
    CosineSparsity,
    ExponentialSparsity,
    LinearSparsity,
    PolynomialDecay,
)
from pruneplug.schedules.steps import ConstantSparsity, MultiStepSparsity, OneShotSparsity

__all__ = [
    "BUILT_IN",
    "ConstantSparsity",
    "CosineSparsity",
    "ExponentialSparsity",
    "LinearSparsity",
    "MultiStepSparsity",
    "OneShotSparsity",
    "PolynomialDecay",
    "PruningSchedule",
    "are_alike",
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
