"""What a finished run leaves in its folder, and what it says of itself."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pruneplug.folders import write_text
from pruneplug.tracking import Tracker, pictures

if TYPE_CHECKING:
    import keras

    from pruneplug.report import SparsityReport
    from pruneplug.sparsity import WeightSparsity
    from pruneplug.training import TrainingResult

MODEL = "model.keras"
LAYERS = "layers.csv"
CURVES = "sparsity_curves.png"
FINAL = "final_sparsity.png"
SUMMARY = "summary.json"
CONFIG = "config.yaml"
JOURNAL = "journal.jsonl"
COLUMNS = ("name", "shape", "target", "sparsity", "kept", "skipped")


def write_outputs(
    folder: Path, result: TrainingResult, dense: keras.Model, tracker: Tracker
) -> dict[str, Any]:
    """Write the stripped model, the layer table, the pictures and the summary.

    Args:
        folder: The run folder.
        result: What the training gave.
        dense: The model before pruning, for its size.
        tracker: Gets the files as artifacts; what it says of itself goes into the summary.

    Returns:
        The summary, as `summary.json` holds it.

    Raises:
        OSError: If a file cannot be written.
    """
    from pruneplug.export import model_sizes

    model = folder / MODEL
    result.model.save(model)
    layers = {weight.name: _row(weight, result.targets) for weight in result.report.weights}
    summary = {
        "steps": result.steps,
        "metrics": result.metrics,
        "sparsity": {"total": result.report.total, "layers": layers},
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


def _row(weight: WeightSparsity, targets: Mapping[str, float]) -> dict[str, Any]:
    target = targets[weight.name]
    shape, kept = list(weight.shape), weight.kept
    return {"sparsity": weight.sparsity, "target": target, "shape": shape, "kept": kept}


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
