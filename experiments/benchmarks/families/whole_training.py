"""A whole training, from `compile` to its last step: TFMOT's time over ours."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from .. import networks, peers
from ..effort import Effort
from ..figure import Figure, Results, Target
from ..measure import Samples, interleave, ratios, scaled, seconds

EPOCH = 100
FREQUENCY = 100
_LOOP = "Trainer's loop, dense"
_NETWORKS = {"CNN": networks.cnn, "MLP": networks.mlp}
_TARGETS = {"CNN": Target(1.3, at_least=True), "MLP": Target(2.0, at_least=True)}


def measure(effort: Effort) -> Results:
    """Train both networks in both libraries, by turns."""
    results = Results()
    for network, build in _NETWORKS.items():
        samples = _samples(build, effort)
        results.figures.append(
            Figure.of(
                f"whole training, {network}, {effort.steps} steps: TFMOT / Trainer",
                ratios(samples, "TFMOT", "Trainer"),
                target=_TARGETS[network],
                note=f"frequency {FREQUENCY}, tracing and compilation included; the floor is the "
                "Trainer's loop with nothing pruned",
                floor=float(np.median(ratios(samples, "TFMOT", _LOOP))),
            )
        )
        results.samples |= scaled(samples, 1.0, f"{network}, s")
    return results


def _samples(build: peers.Build, effort: Effort) -> Samples:
    epochs = effort.steps // EPOCH
    makers: dict[str, Callable[[], peers.Fit]] = {
        "TFMOT": lambda: peers.tfmot_pruned(build, EPOCH, FREQUENCY),
        "Trainer": lambda: peers.trainer(build, EPOCH, FREQUENCY),
        _LOOP: lambda: _dense_loop(build, epochs),
    }
    # TensorFlow starts its threads with the first training of a process.
    for make in makers.values():
        _train(make, 1)
    return interleave(
        {name: partial(_train, make, epochs) for name, make in makers.items()},
        effort.trainings,
        warm_up=0,
    )


def _dense_loop(build: peers.Build, epochs: int) -> peers.Fit:
    epoch = peers.trainers_loop(build, EPOCH, epochs)
    return lambda _, epochs: [epoch() for _ in range(epochs)]


def _train(make: Callable[[], peers.Fit], epochs: int) -> float:
    fit = make()
    return seconds(partial(fit, [], epochs))
