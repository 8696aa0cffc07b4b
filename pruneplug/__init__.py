"""Prune Keras 3 models while they train."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from pruneplug.backend import on_tensorflow, require_tensorflow

if TYPE_CHECKING:
    from pruneplug.allocation import Allocation as Allocation
    from pruneplug.allocation import ERKAllocation as ERKAllocation
    from pruneplug.allocation import GlobalAllocation as GlobalAllocation
    from pruneplug.allocation import UniformAllocation as UniformAllocation
    from pruneplug.callbacks import PruningSummaries as PruningSummaries
    from pruneplug.callbacks import UpdatePruningStep as UpdatePruningStep
    from pruneplug.masks import is_pruned_m_by_n as is_pruned_m_by_n
    from pruneplug.patterns import MByN as MByN
    from pruneplug.policies import AllOf as AllOf
    from pruneplug.policies import ByName as ByName
    from pruneplug.policies import KeepEndsDense as KeepEndsDense
    from pruneplug.policies import MinimumSize as MinimumSize
    from pruneplug.policies import PruneForLatencyOnXNNPack as PruneForLatencyOnXNNPack
    from pruneplug.policies import PruningPolicy as PruningPolicy
    from pruneplug.policies import SkipUnsupported as SkipUnsupported
    from pruneplug.prune import prune_low_magnitude as prune_low_magnitude
    from pruneplug.prune import prune_scope as prune_scope
    from pruneplug.prune import strip_pruning as strip_pruning
    from pruneplug.pruner import Pruner as Pruner
    from pruneplug.registry import PrunableLayer as PrunableLayer
    from pruneplug.registry import register_prunable as register_prunable
    from pruneplug.report import sparsity_report as sparsity_report
    from pruneplug.schedules import ConstantSparsity as ConstantSparsity
    from pruneplug.schedules import CosineSparsity as CosineSparsity
    from pruneplug.schedules import ExponentialSparsity as ExponentialSparsity
    from pruneplug.schedules import LinearSparsity as LinearSparsity
    from pruneplug.schedules import MultiStepSparsity as MultiStepSparsity
    from pruneplug.schedules import OneShotSparsity as OneShotSparsity
    from pruneplug.schedules import PolynomialDecay as PolynomialDecay
    from pruneplug.schedules import PruningSchedule as PruningSchedule
    from pruneplug.training import Trainer as Trainer
    from pruneplug.training import TrainingResult as TrainingResult
    from pruneplug.training.track import TrackTraining as TrackTraining
    from pruneplug.wrapper import PruneLowMagnitude as PruneLowMagnitude
    from pruneplug.wrapper import collect_prunable_layers as collect_prunable_layers

_HOME = {
    "AllOf": "policies",
    "Allocation": "allocation",
    "ByName": "policies",
    "ConstantSparsity": "schedules",
    "CosineSparsity": "schedules",
    "ERKAllocation": "allocation",
    "ExponentialSparsity": "schedules",
    "GlobalAllocation": "allocation",
    "KeepEndsDense": "policies",
    "LinearSparsity": "schedules",
    "MByN": "patterns",
    "MinimumSize": "policies",
    "MultiStepSparsity": "schedules",
    "OneShotSparsity": "schedules",
    "PolynomialDecay": "schedules",
    "PrunableLayer": "registry",
    "PruneForLatencyOnXNNPack": "policies",
    "PruneLowMagnitude": "wrapper",
    "Pruner": "pruner",
    "PruningPolicy": "policies",
    "PruningSchedule": "schedules",
    "PruningSummaries": "callbacks",
    "SkipUnsupported": "policies",
    "TrackTraining": "training.track",
    "Trainer": "training",
    "TrainingResult": "training",
    "UniformAllocation": "allocation",
    "UpdatePruningStep": "callbacks",
    "collect_prunable_layers": "wrapper",
    "is_pruned_m_by_n": "masks",
    "prune_low_magnitude": "prune",
    "prune_scope": "prune",
    "register_prunable": "registry",
    "sparsity_report": "report",
    "strip_pruning": "prune",
}

__all__ = sorted(_HOME)  # derived from the one table


def __getattr__(name: str) -> Any:
    # The command answers --help without TensorFlow, so nothing heavy is imported before it is
    # asked for. Whatever is, our classes become known to Keras with it.
    if name not in _HOME:
        raise AttributeError(f"module 'pruneplug' has no attribute {name!r}")
    require_tensorflow()
    importlib.import_module("pruneplug.prune")
    return getattr(importlib.import_module(f"pruneplug.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__


if "keras" in sys.modules and on_tensorflow():
    # Keras is loaded already, so this is cheap, and files with pruned layers load at once. Another
    # backend is refused when a name is asked for: Hydra imports this package in every app.
    importlib.import_module("pruneplug.prune")
