"""Prune Keras 3 models while they train."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from pruneplug.pruning.backend import on_tensorflow, require_tensorflow

if TYPE_CHECKING:
    from pruneplug.pruning.allocation import Allocation as Allocation
    from pruneplug.pruning.allocation import ERKAllocation as ERKAllocation
    from pruneplug.pruning.allocation import GlobalAllocation as GlobalAllocation
    from pruneplug.pruning.allocation import UniformAllocation as UniformAllocation
    from pruneplug.pruning.callbacks import PruningSummaries as PruningSummaries
    from pruneplug.pruning.callbacks import UpdatePruningStep as UpdatePruningStep
    from pruneplug.pruning.inspection import sparsity_report as sparsity_report
    from pruneplug.pruning.known_layers import register_prunable as register_prunable
    from pruneplug.pruning.masks import is_pruned_m_by_n as is_pruned_m_by_n
    from pruneplug.pruning.patterns import MByN as MByN
    from pruneplug.pruning.policies import AllOf as AllOf
    from pruneplug.pruning.policies import ByName as ByName
    from pruneplug.pruning.policies import KeepEndsDense as KeepEndsDense
    from pruneplug.pruning.policies import MinimumSize as MinimumSize
    from pruneplug.pruning.policies import PruneForLatencyOnXNNPack as PruneForLatencyOnXNNPack
    from pruneplug.pruning.policies import PruningPolicy as PruningPolicy
    from pruneplug.pruning.policies import SkipUnsupported as SkipUnsupported
    from pruneplug.pruning.prune import prune_low_magnitude as prune_low_magnitude
    from pruneplug.pruning.prune import prune_scope as prune_scope
    from pruneplug.pruning.prune import strip_pruning as strip_pruning
    from pruneplug.pruning.pruner import Pruner as Pruner
    from pruneplug.pruning.registry import PrunableLayer as PrunableLayer
    from pruneplug.pruning.schedules import ConstantSparsity as ConstantSparsity
    from pruneplug.pruning.schedules import CosineSparsity as CosineSparsity
    from pruneplug.pruning.schedules import ExponentialSparsity as ExponentialSparsity
    from pruneplug.pruning.schedules import LinearSparsity as LinearSparsity
    from pruneplug.pruning.schedules import MultiStepSparsity as MultiStepSparsity
    from pruneplug.pruning.schedules import OneShotSparsity as OneShotSparsity
    from pruneplug.pruning.schedules import PolynomialDecay as PolynomialDecay
    from pruneplug.pruning.schedules import PruningSchedule as PruningSchedule
    from pruneplug.pruning.wrapper import PruneLowMagnitude as PruneLowMagnitude
    from pruneplug.pruning.wrapper import collect_prunable_layers as collect_prunable_layers
    from pruneplug.training.ending import TrainingResult as TrainingResult
    from pruneplug.training.track_training import TrackTraining as TrackTraining
    from pruneplug.training.trainer import Trainer as Trainer

_HOME = {
    "AllOf": "pruning.policies",
    "Allocation": "pruning.allocation",
    "ByName": "pruning.policies",
    "ConstantSparsity": "pruning.schedules",
    "CosineSparsity": "pruning.schedules",
    "ERKAllocation": "pruning.allocation",
    "ExponentialSparsity": "pruning.schedules",
    "GlobalAllocation": "pruning.allocation",
    "KeepEndsDense": "pruning.policies",
    "LinearSparsity": "pruning.schedules",
    "MByN": "pruning.patterns",
    "MinimumSize": "pruning.policies",
    "MultiStepSparsity": "pruning.schedules",
    "OneShotSparsity": "pruning.schedules",
    "PolynomialDecay": "pruning.schedules",
    "PrunableLayer": "pruning.registry",
    "PruneForLatencyOnXNNPack": "pruning.policies",
    "PruneLowMagnitude": "pruning.wrapper",
    "Pruner": "pruning.pruner",
    "PruningPolicy": "pruning.policies",
    "PruningSchedule": "pruning.schedules",
    "PruningSummaries": "pruning.callbacks",
    "SkipUnsupported": "pruning.policies",
    "TrackTraining": "training.track_training",
    "Trainer": "training.trainer",
    "TrainingResult": "training.ending",
    "UniformAllocation": "pruning.allocation",
    "UpdatePruningStep": "pruning.callbacks",
    "collect_prunable_layers": "pruning.wrapper",
    "is_pruned_m_by_n": "pruning.masks",
    "prune_low_magnitude": "pruning.prune",
    "prune_scope": "pruning.prune",
    "register_prunable": "pruning.known_layers",
    "sparsity_report": "pruning.inspection",
    "strip_pruning": "pruning.prune",
}

__all__ = sorted(_HOME)  # derived from the one table


def __getattr__(name: str) -> Any:
    # The command answers --help without TensorFlow, so nothing heavy is imported before it is
    # asked for. Whatever is, our classes become known to Keras with it.
    if name not in _HOME:
        raise AttributeError(f"module 'pruneplug' has no attribute {name!r}")
    require_tensorflow()
    importlib.import_module("pruneplug.pruning.prune")
    return getattr(importlib.import_module(f"pruneplug.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__


if "keras" in sys.modules and on_tensorflow():
    # Keras is loaded already, so this is cheap, and files with pruned layers load at once. Another
    # backend is refused when a name is asked for: Hydra imports this package in every app.
    importlib.import_module("pruneplug.pruning.prune")
