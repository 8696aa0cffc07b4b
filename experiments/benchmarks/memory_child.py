"""One training in a process of its own, which prints how much memory it took.

Usage: python -m experiments.benchmarks.memory_child dense|pruned|tfmot
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

import keras  # before anything sets TF_USE_LEGACY_KERAS
import numpy as np

from .networks import BATCH, dense_net

INPUTS, HIDDEN = 784, [4096, 4096]
STEPS, FREQUENCY, SPARSITY = 6, 2, 0.8


def main() -> None:
    """Train, and print a JSON object."""
    report = {"dense": _dense, "pruned": _pruned, "tfmot": _tfmot}[sys.argv[1]]()
    print(json.dumps(report))


def _dense() -> dict[str, float]:
    model = dense_net(keras, INPUTS, HIDDEN)
    _fit(model, [])
    return {"peak": _peak()}


def _pruned() -> dict[str, float]:
    import pruneplug

    schedule = pruneplug.ConstantSparsity(SPARSITY, 0, frequency=FREQUENCY)
    model = pruneplug.prune_low_magnitude(dense_net(keras, INPUTS, HIDDEN), schedule)
    _fit(model, [pruneplug.UpdatePruningStep()])
    report = {"peak": _peak()}
    pruner = pruneplug.Pruner(model)
    pruner.start()
    weights = [weight for layer in pruner.layers for weight, _, _ in layer.pruning_vars]
    extra = sum(
        sum(map(_bytes, layer.variables)) - sum(map(_bytes, layer.layer.variables))
        for layer in pruner.layers
    )
    before = _reset_peak()
    pruner.advance(FREQUENCY)
    return report | {
        "update": _high_water() - before,
        "largest": max(_bytes(weight) for weight in weights),
        "bytes_a_weight": extra / sum(int(np.prod(weight.shape)) for weight in weights),
    }


def _tfmot() -> dict[str, float]:
    import tensorflow_model_optimization as tfmot
    import tf_keras

    sparsity = tfmot.sparsity.keras
    schedule = sparsity.ConstantSparsity(SPARSITY, 0, frequency=FREQUENCY)
    dense = dense_net(tf_keras, INPUTS, HIDDEN)
    model = sparsity.prune_low_magnitude(dense, schedule)
    _fit(model, [sparsity.UpdatePruningStep()])
    kernels = [layer.pruning_vars for layer in model.layers if hasattr(layer, "pruning_vars")]
    extra = sum(_bytes(mask) + _bytes(threshold) for v in kernels for _, mask, threshold in v)
    return {
        "peak": _peak(),
        "bytes_a_weight": extra / sum(int(np.prod(w.shape)) for v in kernels for w, _, _ in v),
    }


def _fit(model: Any, callbacks: list[Any]) -> None:
    x = np.zeros((STEPS * BATCH, INPUTS), np.float32)
    x += np.random.default_rng(0).standard_normal(x.shape, np.float32)
    y = np.arange(len(x)) % 10
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=BATCH, callbacks=callbacks, verbose=0)


def _bytes(variable: Any) -> int:
    size = np.dtype(getattr(variable.dtype, "as_numpy_dtype", variable.dtype)).itemsize
    return int(np.prod(variable.shape) * size)


def _peak() -> int:
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024


def _reset_peak() -> int:
    """Let Linux forget the peak so far; return the resident bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return _high_water()


def _high_water() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
