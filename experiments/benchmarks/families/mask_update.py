"""One mask update: ours, TFMOT's, and one pass over the same memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import tensorflow as tf
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_impl

import pruneplug
from pruneplug.pruning.masks import topk_mask
from pruneplug.pruning.ranking import kept_count

from ..effort import Effort
from ..figure import Figure, Results, Target
from ..measure import interleave, ratios, scaled, seconds
from ..peers import SPARSITY, reference
from ..weights import normal, stacked, update_window

SIDE = 4000  # 16 million weights in one matrix
TENSORS, TENSOR_SIDE = 50, 566  # and in fifty


def measure(effort: Effort) -> Results:
    """Measure one large tensor against TFMOT, then many under both allocations."""
    results = Results()
    _one_tensor(effort, results)
    _many_tensors(effort, results)
    return results


def _one_tensor(effort: Effort, results: Results) -> None:
    weights = normal((SIDE, SIDE))
    kept = kept_count(weights.size, SPARSITY)
    samples = interleave(
        {
            "mask": partial(seconds, lambda: topk_mask(weights, kept)),
            "update": update_window(stacked(1, SIDE), SPARSITY),
            "TFMOT mask": partial(seconds, _tfmot_mask(weights)),
            "TFMOT update": _tfmot_update(weights),
            "memory pass": partial(seconds, _memory_pass(weights)),
        },
        effort.rounds,
    )
    results.samples |= scaled(samples, 1e3, "16 M weights, ms")
    results.figures += [
        Figure.of(
            "mask of 16 M weights: TFMOT / ours",
            ratios(samples, "TFMOT mask", "mask"),
            target=Target(30, at_least=True),
            note="2943 ms in TFMOT before",
        ),
        Figure.of(
            "mask of 16 M weights: ours / one memory pass",
            ratios(samples, "mask", "memory pass"),
            "passes",
            Target(8),
            note="a pass reads and writes every weight once (np.copyto, one thread)",
        ),
        Figure.of(
            "whole update of 16 M weights: TFMOT / ours",
            ratios(samples, "TFMOT update", "update"),
            note="mask computed, stored and applied: Pruner.advance",
        ),
        Figure.of(
            "whole update of 16 M weights: ours / one memory pass",
            ratios(samples, "update", "memory pass"),
            "passes",
        ),
    ]


def _many_tensors(effort: Effort, results: Results) -> None:
    allocations: dict[str, pruneplug.Allocation] = {
        "local": pruneplug.UniformAllocation(),
        "global": pruneplug.GlobalAllocation(),
    }
    windows = {
        name: update_window(stacked(TENSORS, TENSOR_SIDE), SPARSITY, allocation)
        for name, allocation in allocations.items()
    }
    samples = interleave(windows, effort.rounds)
    results.samples |= scaled(samples, 1e3, "50 tensors, ms")
    results.figures.append(
        Figure.of(
            "update of 50 tensors, 16 M weights: global / local allocation",
            ratios(samples, "global", "local"),
            target=Target(1.5),
        )
    )


def _tfmot_mask(weights: np.ndarray) -> Callable[[], object]:
    pruning = _tfmot([])
    variable = tf.Variable(weights)
    compute: Callable[[], object] = tf.function(lambda: pruning._maybe_update_block_mask(variable))
    return compute


def _tfmot_update(weights: np.ndarray) -> Callable[[], float]:
    variable, mask, threshold = tf.Variable(weights), tf.Variable(weights), tf.Variable(0.0)
    pruning = _tfmot([(variable, mask, threshold)])

    def update() -> None:
        with tf.control_dependencies([pruning.conditional_mask_update()]):
            pruning.weight_mask_op()

    compiled = tf.function(update)

    def window() -> float:
        variable.assign(weights)
        return seconds(compiled)

    return window


def _tfmot(variables: list[tuple[tf.Variable, tf.Variable, tf.Variable]]) -> pruning_impl.Pruning:
    schedule = reference.ConstantSparsity(SPARSITY, 0, frequency=1)
    return pruning_impl.Pruning(lambda: tf.constant(1), variables, schedule, (1, 1), "AVG")


def _memory_pass(weights: np.ndarray) -> Callable[[], object]:
    target = np.empty_like(weights)
    return lambda: np.copyto(target, weights)
