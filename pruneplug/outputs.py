"""What a finished run leaves in its folder, and what it says of itself."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pruneplug.folders import write_text
from pruneplug.tracking import Tracker, pictures

if TYPE_CHECKING:
    import keras

    from pruneplug.report import SparsityReport
    from pruneplug.training import TrainingResult

MODEL = "model.keras"
LAYERS = "layers.csv"
CURVES = "sparsity_curves.png"
FINAL = "final_sparsity.png"
SUMMARY = "summary.json"
CONFIG = "config.yaml"
JOURNAL = "journal.jsonl"
COLUMNS = ("name", "shape", "target", "sparsity", "kept", "skipped")


def measure(
    path: Path, report: SparsityReport, targets: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    """Count the zeros of each pruned weight in a stripped model's file.

    Args:
        path: The `.keras` file.
        report: Names the layers to look at.
        targets: The sparsity asked of each weight by its name.

    Returns:
        `sparsity` (fraction of zeros), `target`, `shape` and `kept` (number of values that are
        not zero) by `<layer>/<weight>`.
    """
    import keras

    stripped = dict(_weights(keras.saving.load_model(path, compile=False), report))
    return {name: _count(stripped[name], target) for name, target in targets.items()}


def _weights(model: keras.Model, report: SparsityReport) -> Iterator[tuple[str, Any]]:
    """Yield name and values of the weights of all layers that the report names."""
    import keras

    from pruneplug.registry import prunable_weights

    layers = {weight.name.partition("/")[0] for weight in report.weights}
    for layer in model._flatten_layers(include_self=False):
        if layer.name in layers:
            for name, weight in prunable_weights(layer):
                yield f"{layer.name}/{name}", keras.ops.convert_to_numpy(weight)


def _count(values: Any, target: float) -> dict[str, Any]:
    kept = int((values != 0).sum())
    sparsity = (values.size - kept) / values.size
    return {"sparsity": sparsity, "target": target, "shape": list(values.shape), "kept": kept}


def total_sparsity(layers: Mapping[str, Mapping[str, Any]]) -> float:
    """Return the fraction of zeros over all measured weights together; 0 for none."""
    size = sum(math.prod(layer["shape"]) for layer in layers.values())
    return 1.0 - sum(layer["kept"] for layer in layers.values()) / size if size else 0.0


def write_outputs(
    folder: Path,
    result: TrainingResult,
    dense: keras.Model,
    targets: Mapping[str, float],
    tracker: Tracker,
) -> dict[str, Any]:
    """Write the stripped model, the layer table, the pictures and the summary.

    Args:
        folder: The run folder.
        result: What the training gave.
        dense: The model before pruning, for its size.
        targets: The sparsity asked of each weight by its name.
        tracker: Gets the files as artifacts; what it says of itself goes into the summary.

    Returns:
        The summary, as `summary.json` holds it.

    Raises:
        OSError: If a file cannot be written.
    """
    from pruneplug.export import model_sizes

    model = folder / MODEL
    result.model.save(model)
    layers = measure(model, result.report, targets)
    summary = {
        "steps": result.steps,
        "metrics": result.metrics,
        "sparsity": {"total": total_sparsity(layers), "layers": layers},
        "size": asdict(model_sizes(dense, model)),
        "model": str(model),
    }
    _write_table(folder / LAYERS, layers, result.report)
    _draw(folder, layers)
    summary = write_summary(folder, summary, tracker)
    for name in (CONFIG, MODEL, LAYERS, CURVES, FINAL, SUMMARY):
        if (folder / name).exists():
            tracker.log_artifact(folder / name)
    return summary


def write_summary(folder: Path, summary: Mapping[str, Any], tracker: Tracker) -> dict[str, Any]:
    """Write `summary.json`, with what the tracker says of itself, and return its content."""
    content = {**summary, "mlflow": tracker.describe()}
    write_text(folder / SUMMARY, json.dumps(content, indent=2) + "\n")
    return content


def _write_table(path: Path, layers: Mapping[str, Any], report: SparsityReport) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        for name, values in layers.items():
            table.writerow({"name": name, **values})
        for skipped in report.skipped:
            table.writerow({"name": skipped.layer, "skipped": skipped.reason})


def _draw(folder: Path, layers: Mapping[str, Mapping[str, Any]]) -> None:
    rows = [{"name": name, **values} for name, values in layers.items()]
    pictures.final_sparsity(rows, folder / FINAL)
    # Without a journal (tracking=none) there is no history to draw.
    if (folder / JOURNAL).exists():
        pictures.sparsity_curves(folder / JOURNAL, folder / CURVES)
