"""The network of a run, pruned as its settings say."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pruneplug.command.settings import Settings
from pruneplug.pruning.allocation import Allocation, Prunable
from pruneplug.pruning.schedules import FieldSchedule

if TYPE_CHECKING:
    import keras

    from pruneplug.command.sensitivity import Candidate

# A sparsity that is closer than this to the one asked for comes from rounding to whole weights.
_NEAR = 0.01


def prune(settings: Settings, dense: keras.Model, schedule: FieldSchedule) -> keras.Model:
    """Return the model to train, which shares its weights with the dense one.

    Raises:
        ValueError: If a layer cannot be pruned, or not in this shape, and the policy does not
            leave it out; if the overrides of the allocation name nothing or leave no room; or if
            there is nothing to prune at all.
    """
    from pruneplug.command.sensitivity import candidates
    from pruneplug.pruning.prune import prune_low_magnitude

    block = settings.block
    allocation = settings.allocation.build()
    pruned = prune_low_magnitude(
        dense,
        schedule,
        block.size,
        block.pooling,
        pruning_policy=settings.policy.build(),
        # What is done once, at step 1, asks no schedule whether it is wanted.
        sparsity_m_by_n=block.build_m_by_n() if settings.sparsity else None,
        allocation=allocation,
    )
    weights = candidates(pruned)
    if weights:
        _tell_reach(_reach(weights, allocation, schedule.target), schedule.target)
    elif schedule.target:
        raise ValueError(_nothing_to_prune(pruned))
    return pruned


def _reach(weights: Sequence[Candidate], allocation: Allocation, final: float) -> float:
    """Return the total sparsity of the masks to `final` of the weights as they are."""
    from pruneplug.pruning import masks, variables

    shapes = [tuple(weight.variable.shape) for weight in weights]
    units = [weight.pattern.units(shape) for weight, shape in zip(weights, shapes, strict=True)]

    def scores(index: int) -> Any:
        return weights[index].pattern.scores(variables.read(weights[index].variable))

    prunable = [
        Prunable(weight.name, shape, count)
        for weight, shape, count in zip(weights, shapes, units, strict=True)
    ]
    kept = allocation.kept(prunable, final, 1.0, scores)
    left = sum(
        masks.count(weight.pattern.mask(scores(i), kept[i], shapes[i])[0])
        for i, weight in enumerate(weights)
    )
    return 1.0 - left / sum(map(math.prod, shapes))


def _tell_reach(reach: float, final: float) -> None:
    """Warn where blocks, groups or layers are too few to come near the sparsity asked for."""
    if reach < final - _NEAR:
        warnings.warn(
            f"A pruning schedule asks for a sparsity of {final:g}, and these layers can only come "
            f"to {reach:.4f}: each keeps one block at least, and groups are pruned by whole "
            "weights. Take smaller blocks, or another sparsity.",
            stacklevel=2,
        )


def _nothing_to_prune(pruned: keras.Model) -> str:
    from pruneplug.pruning.inspection import sparsity_report

    reasons = [f"{skipped.layer}: {skipped.reason}" for skipped in sparsity_report(pruned).skipped]
    return (
        f"The model must have weights to prune; got none ({'; '.join(reasons)}). Change policy or "
        "block, or train without pruning: sparsity=0."
    )
