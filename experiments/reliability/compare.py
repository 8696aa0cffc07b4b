"""Compares two finished runs bit by bit."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pruneplug.tracking.journal import last_run, values
from pruneplug.training.checkpoints.checkpoint import Checkpoint, read_checkpoint


def differences(one: Path, other: Path) -> list[str]:
    """Name everything in which two run folders differ; [] if nothing does.

    Compared are all arrays of the final checkpoint (model with masks, thresholds and seed
    generators; optimizer; metrics; random states; callbacks), the facts beside them (epoch, logs,
    history, best epoch, Python's and NumPy's random states), every point of every metric, and the
    summary and layer table of the results.
    """
    first, second = (read_checkpoint(run / "checkpoints" / "final") for run in (one, other))
    found = [*_arrays(first, second), *_facts(first, second), *_points(one, other)]
    if _results(one) != _results(other):
        found.append("results: summary.json")
    if (one / "layers.csv").read_bytes() != (other / "layers.csv").read_bytes():
        found.append("results: layers.csv")
    return found


def measure(run: Path) -> dict[str, int]:
    """Count what `differences` compares."""
    checkpoint = read_checkpoint(run / "checkpoints" / "final")
    arrays = [array for section in checkpoint.sections.values() for _, array in section]
    points = sum(len(measured) for measured in _history(run).values())
    return {"arrays": len(arrays), "values": sum(array.size for array in arrays), "points": points}


def _arrays(one: Checkpoint, other: Checkpoint) -> Iterator[str]:
    if [*one.sections] != [*other.sections]:
        yield f"sections: {[*one.sections]} and {[*other.sections]}"
        return
    for name, arrays in one.sections.items():
        if len(arrays) != len(other.sections[name]):
            yield f"{name}: {len(arrays)} and {len(other.sections[name])} arrays"
        for (path, a), (path_b, b) in zip(arrays, other.sections[name], strict=False):
            same = (path, a.dtype, a.shape, a.tobytes()) == (path_b, b.dtype, b.shape, b.tobytes())
            if not same:
                yield f"{name}: {path}"


def _facts(one: Checkpoint, other: Checkpoint) -> Iterator[str]:
    for name in one.facts:
        # Text, because NaN is not equal to itself.
        if json.dumps(one.facts[name]) != json.dumps(other.facts[name]):
            yield f"facts: {name}"


def _points(one: Path, other: Path) -> Iterator[str]:
    first, second = _history(one), _history(other)
    for name in {**first, **second}:
        if first.get(name) != second.get(name):
            yield f"metric history: {name}"


def _history(run: Path) -> dict[str, list[tuple[int, str]]]:
    """Return step and value of every point by metric, in the order in which they were measured."""
    history: dict[str, list[tuple[int, str]]] = {}
    for entry in last_run(run / "journal.jsonl"):
        if entry["type"] == "metrics":
            for name, value in values(entry).items():
                history.setdefault(name, []).append((entry["step"], value.hex()))
    return history


def _results(run: Path) -> dict[str, Any]:
    # A model file holds the date it was saved at, so its compressed size varies.
    summary = json.loads((run / "summary.json").read_text())
    return {name: summary[name] for name in ("steps", "metrics", "sparsity")}
