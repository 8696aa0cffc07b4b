"""Step time, pruned over dense, of the two networks."""

from __future__ import annotations

import os
from functools import partial

import keras
import numpy as np
import tf_keras

from .. import networks, peers
from ..effort import Effort
from ..figure import Figure, Results, Target
from ..measure import Samples, fastest, interleave, ratios, scaled, seconds
from ..peers import SPARSITY
from ..turnstile import Turnstile, epochs_for
from ..weights import copying_window, masking_window, passes_window, update_window

# As many as lie between two updates at the default frequency: each window has its update.
WINDOW = 100
FREQUENCIES = (100, 10)

_NETWORKS = {"CNN": networks.cnn, "MLP": networks.mlp}
_PRUNED = {"CNN": Target(1.03), "MLP": Target(1.05)}
_TRAINER = {"CNN": Target(0.95), "MLP": Target(0.85)}
_KNOWN = {"CNN": "TFMOT 1.28 before", "MLP": "TFMOT 1.46 before"}


def measure(effort: Effort) -> Results:
    """Measure both networks."""
    results = Results()
    for network in _NETWORKS:
        samples = _samples(network, effort.rounds)
        updates = _updates(network, effort.rounds)
        for frequency in FREQUENCIES:
            results.figures += _figures(network, frequency, samples, updates)
        results.samples |= scaled(samples, 1e3 / WINDOW, f"{network}, ms a step")
        results.samples |= scaled(updates, 1e3, f"{network}, ms an update")
    return results


def _samples(network: str, rounds: int) -> Samples:
    build = _NETWORKS[network]
    fits: dict[str, tuple[type, peers.Fit]] = {
        "tf_keras dense": (tf_keras.callbacks.Callback, peers.legacy_dense(build, WINDOW))
    }
    for jit in (False, True):
        fits[f"Keras dense, {_jit(jit)}"] = (
            keras.callbacks.Callback,
            peers.keras_dense(build, WINDOW, jit),
        )
    for frequency in FREQUENCIES:
        for name, base, fit in _pruned(build, frequency):
            fits[f"{name}, frequency {frequency}"] = (base, fit)
    windows = {name: Turnstile(*peer, rounds).window for name, peer in fits.items()}
    loop = peers.trainers_loop(build, WINDOW, epochs_for(rounds))
    return interleave(windows | {"Trainer's loop, dense": partial(seconds, loop)}, rounds)


def _updates(network: str, rounds: int) -> Samples:
    """Measure what updates and masking cost, and the least that they could."""
    model = _NETWORKS[network](keras)
    windows = {
        "copying": copying_window(model),
        "passes": passes_window(model),
        "update": update_window(model, SPARSITY),
        "masking": masking_window(_NETWORKS[network](keras)),
    }
    return interleave(windows, 3 * rounds)


def _pruned(build: peers.Build, frequency: int) -> list[tuple[str, type, peers.Fit]]:
    ours = keras.callbacks.Callback
    return [
        ("TFMOT", tf_keras.callbacks.Callback, peers.tfmot_pruned(build, WINDOW, frequency)),
        ("Trainer", ours, peers.trainer(build, WINDOW, frequency)),
        *(
            (f"Keras pruned, {_jit(jit)}", ours, peers.keras_pruned(build, WINDOW, jit, frequency))
            for jit in (False, True)
        ),
    ]


def _jit(jit: bool) -> str:
    return "jit on" if jit else "jit off"


def _figures(network: str, frequency: int, samples: Samples, updates: Samples) -> list[Figure]:
    dense = fastest(samples, [f"Keras dense, {_jit(jit)}" for jit in (False, True)])
    names = [f"Keras pruned, {_jit(jit)}, frequency {frequency}" for jit in (False, True)]
    pruned = fastest(samples, names)
    trainer, tfmot = f"Trainer, frequency {frequency}", f"TFMOT, frequency {frequency}"
    at = f"{network}, frequency {frequency}"
    step = _milliseconds(samples[dense]) / WINDOW
    loop = _milliseconds(samples["Trainer's loop, dense"]) / WINDOW / step
    updating, least = _cost(updates, "update", "passes", frequency * step)
    # XLA masks while the optimizer writes.
    masks = _jit(False) in pruned
    masking, least_masking = _cost(updates, "masking", "copying", step) if masks else ("", 0.0)
    return [
        Figure.of(
            f"step time, {at}: pruned / dense, Keras fit",
            ratios(samples, pruned, dense),
            target=_PRUNED[network],
            note=f"{pruned.split(',')[1].strip()} / {dense.split(',')[1].strip()}; of a dense step "
            f"of {step:.3g} ms, updates take {updating}"
            + (f", and masking takes {masking}" if masks else ""),
            floor=1 + least + least_masking,
        ),
        Figure.of(
            f"step time, {at}: Trainer / dense Keras fit",
            ratios(samples, trainer, dense),
            target=_TRAINER[network],
            note="the Trainer's default setting; its loop takes "
            f"{loop:.3f} when nothing is pruned, and updates take {updating}",
            floor=loop + least,
        ),
        Figure.of(
            f"step time, {at}: TFMOT / dense tf_keras",
            ratios(samples, tfmot, "tf_keras dense"),
            note=_KNOWN[network],
        ),
        Figure.of(f"step time, {at}: TFMOT / Trainer", ratios(samples, tfmot, trainer)),
    ]


def _cost(updates: Samples, name: str, memory: str, step: float) -> tuple[str, float]:
    """Return what something takes of a step, in words, and the least it could take.

    That is what memory would allow all cores together, which operations that run one by one, each
    over all of a part, do not reach.
    """
    least = _milliseconds(updates[memory]) / len(os.sched_getaffinity(0)) / step
    taken = _milliseconds(updates[name]) / step
    return f"{taken:.3f} (in separate operations; {least:.3f} at the speed of memory)", least


def _milliseconds(samples: list[float]) -> float:
    return 1e3 * float(np.median(samples))
