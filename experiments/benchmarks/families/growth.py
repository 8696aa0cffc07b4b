"""How the cost of pruning grows with the number of weights and of layers."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import pruneplug
from pruneplug.training.model.build import build_state
from pruneplug.training.steps.loop import StepLoop

from ..effort import Effort
from ..figure import Curve, Results
from ..measure import Samples, interleave, seconds
from ..networks import BATCH
from ..peers import SPARSITY
from ..weights import pruner_of, stacked, update_window

LAYERS = (1, 2, 5, 10, 20, 50, 100, 200)
WEIGHTS_IN_LAYERS = 10**6
MULTIPLE = 1000  # calls of `advance` between two updates that are timed together


def measure(effort: Effort) -> Results:
    """Measure both axes."""
    sizes = [10**n for n in range(4, 9) if 10**n <= effort.largest]
    depths = [depth for depth in LAYERS if depth <= effort.deepest]
    results = Results()
    _along("weights", sizes, lambda n: _at(1, math.isqrt(n), effort), results)
    _along(
        "layers",
        depths,
        lambda n: _at(n, math.isqrt(WEIGHTS_IN_LAYERS // n), effort),
        results,
    )
    return results


def _along(
    axis: str, points: Iterable[int], at: Callable[[int], Samples], results: Results
) -> None:
    measured = {point: at(point) for point in points}
    for name in next(iter(measured.values())):
        y = [float(np.median(samples[name])) for samples in measured.values()]
        results.curves.append(Curve(name, axis, [float(p) for p in measured], y, "ms"))
    for point, samples in measured.items():
        for name, values in samples.items():
            results.samples[f"growth, {point} {axis}: {name} [ms]"] = values


def _at(layers: int, side: int, effort: Effort) -> Samples:
    """Measure one model of `layers` square kernels."""
    idle = pruner_of(stacked(layers, side), SPARSITY, frequency=10**9)
    steps = max(1, min(100, 10**8 // (layers * side * side)))
    windows: dict[str, Callable[[], float]] = {
        "mask update": update_window(stacked(layers, side), SPARSITY),
        "advance between updates": partial(seconds, partial(_advance, idle)),
        "dense step": partial(seconds, _steps(stacked(layers, side), steps)),
        "pruned step": partial(seconds, _steps(_pruned(layers, side), steps)),
    }
    samples = interleave(windows, effort.rounds)
    parts = {"advance between updates": MULTIPLE, "dense step": steps, "pruned step": steps}
    result = {n: [1e3 * v / parts.get(n, 1) for v in values] for n, values in samples.items()}
    pairs = zip(result["pruned step"], result["dense step"], strict=True)
    result["step overhead of the masks"] = [pruned - dense for pruned, dense in pairs]
    gc.collect()
    return result


def _advance(pruner: pruneplug.Pruner) -> None:
    for _ in range(MULTIPLE):
        pruner.advance()


def _pruned(layers: int, side: int) -> keras.Model:
    schedule = pruneplug.ConstantSparsity(SPARSITY, 0, frequency=10**9)
    return pruneplug.prune_low_magnitude(stacked(layers, side), schedule)


class _SameBatch:
    """A feed whose every batch is the same one."""

    steps_per_epoch = 1

    def __init__(self, width: int) -> None:
        batch = np.random.default_rng(0).standard_normal((BATCH, width), np.float32)
        self._batch = tf.constant(batch)

    def next(self, index: Any) -> Any:
        """Return inputs and, as what they are to become, themselves."""
        return self._batch, self._batch


def _steps(model: keras.Model, steps: int) -> Callable[[], object]:
    """Return a call that trains `steps` steps in one compiled loop, pruned or not."""
    feed: Any = _SameBatch(model.input_shape[-1])
    model.compile("adam", "mse", jit_compile=True)
    build_state(model, feed)
    loop = StepLoop(model, feed, model.train_step)
    return lambda: loop.run(0, steps)
