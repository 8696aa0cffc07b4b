"""Peak memory of a training, and what an update of the masks needs on top."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial

from ..effort import Effort
from ..figure import Figure, Results, Target
from ..measure import interleave, ratios

VARIANTS = ("dense", "pruned", "tfmot")


def measure(effort: Effort) -> Results:
    """Train each variant in a process of its own."""
    reports: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}

    def run(name: str) -> float:
        reports[name].append(_child(name))
        return reports[name][-1]["peak"]

    windows = {name: partial(run, name) for name in VARIANTS}
    samples = interleave(windows, effort.trainings, warm_up=0)
    ours = reports["pruned"]
    return Results(
        [
            *(
                Figure.of(
                    f"peak memory, MLP of 20 M weights: {title} / dense Keras",
                    ratios(samples, name, "dense"),
                    note="whole process, libraries included",
                )
                for name, title in (("pruned", "pruned"), ("tfmot", "TFMOT"))
            ),
            Figure.of(
                "steady extra memory of masks",
                [report["bytes_a_weight"] for report in ours],
                "B a weight",
                Target(1.0001),
                note="from the variables: masks, thresholds, counters; the last few are 0.0001 B",
            ),
            Figure.of(
                "steady extra memory of masks, TFMOT",
                [report["bytes_a_weight"] for report in reports["tfmot"]],
                "B a weight",
            ),
            Figure.of(
                "peak of a mask update above what was there / the largest tensor",
                [report["update"] / report["largest"] for report in ours],
                "tensors",
                Target(1.0),
                note="resident memory; the new masks of all tensors are a part of it",
            ),
        ],
        samples={f"{name} [peak, B]": values for name, values in samples.items()},
    )


def _child(variant: str) -> dict[str, float]:
    command = [sys.executable, "-m", "experiments.benchmarks.memory_child", variant]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    report: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return report
