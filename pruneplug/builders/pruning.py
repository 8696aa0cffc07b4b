"""Which weights are pruned, in which shape, and how much of each, from the settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from pruneplug.allocation import (
    Allocation,
    ERKAllocation,
    GlobalAllocation,
    Prunable,
    UniformAllocation,
)
from pruneplug.schedules import FieldSchedule
from pruneplug.settings import Settings, options

if TYPE_CHECKING:
    import keras

    from pruneplug.patterns import MByN
    from pruneplug.policies import PruningPolicy
    from pruneplug.report import SparsityReport

ALLOCATIONS: dict[str, Callable[..., Allocation]] = {
    "uniform": UniformAllocation,
    "global": GlobalAllocation,
    "erk": ERKAllocation,
}


def prune(settings: Settings, dense: keras.Model, schedule: FieldSchedule) -> keras.Model:
    """Return the model to train, which shares its weights with the dense one.

    Raises:
        ValueError: If a layer cannot be pruned, or not in this shape, and the policy does not
            leave it out; or if the overrides of the allocation name nothing or leave no room.
    """
    from pruneplug.prune import prune_low_magnitude

    block = settings.block
    allocation = ALLOCATIONS[settings.allocation.name](settings.allocation.overrides or {})
    pruned = prune_low_magnitude(
        dense,
        schedule,
        block.size,
        block.pooling,
        pruning_policy=build_policy(settings),
        sparsity_m_by_n=_m_by_n(settings),
        allocation=allocation,
    )
    _check_overrides(allocation, _prunable(pruned), schedule.target)
    return pruned


def build_policy(settings: Settings) -> PruningPolicy:
    """Build the policy."""
    from pruneplug import policies

    build: dict[str, Callable[..., PruningPolicy]] = {
        "all": policies.AllOf,
        "skip": policies.SkipUnsupported,
        "keep_ends": policies.KeepEndsDense,
        "by_name": policies.ByName,
        "xnnpack": policies.PruneForLatencyOnXNNPack,
    }
    return build[settings.policy.name](**options(settings.policy))


def targets(settings: Settings, report: SparsityReport, final: float) -> dict[str, float]:
    """Return the sparsity asked of each weight by its name.

    Args:
        settings: All settings.
        report: Of the pruned model at the end.
        final: What the schedule ends at.
    """
    own = _has_shares(settings) or _m_by_n(settings) is not None
    return {weight.name: weight.target if own else final for weight in report.weights}


def target_reached(settings: Settings, schedule: FieldSchedule, steps: int) -> bool:
    """Return whether the masks of a training of so many steps end at the final sparsity."""
    pattern = _m_by_n(settings)
    if pattern is not None and not pattern.scheduled:
        return True
    last = max(schedule.due_steps(0, steps + 1), default=0)
    return schedule.sparsity(last) == schedule.target


def _prunable(pruned: keras.Model) -> list[Prunable]:
    from pruneplug.wrapper import pruned_layers

    return [
        Prunable(f"{layer.layer.name}/{name}", weight.shape, layer.pattern.units(weight.shape))
        for layer in pruned_layers(pruned)
        for name, (weight, *_) in zip(layer.weight_names, layer.pruning_vars, strict=True)
        if weight.trainable
    ]


def _check_overrides(allocation: Allocation, weights: Sequence[Prunable], final: float) -> None:
    """Refuse before training what would be refused at the last update, or matches nothing."""
    for pattern in allocation.overrides:
        names = [weight.name for weight in weights]
        matchable = {*names, *(name.partition("/")[0] for name in names)}
        if not any(fnmatchcase(name, pattern) for name in matchable):
            raise ValueError(
                f"allocation.overrides must name pruned layers or weights; got {pattern!r}, and "
                f"the weights are {', '.join(names)}."
            )
    if weights:
        allocation.kept(weights, final, 1.0, lambda index: np.zeros(weights[index].units))


def _has_shares(settings: Settings) -> bool:
    return settings.allocation.name != "uniform" or bool(settings.allocation.overrides)


def _m_by_n(settings: Settings) -> MByN | None:
    """Return the pattern; what is done once, at step 1, asks no schedule whether it is wanted."""
    from pruneplug.patterns import MByN

    block = settings.block
    if block.m_by_n is None or settings.sparsity == 0:
        return None
    zeros, group = block.m_by_n
    return MByN(zeros, group, scheduled=block.scheduled)
