"""The summary of a finished run, and the files that it leaves with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pruneplug.command import pictures
from pruneplug.command.folder import CONFIG, CURVES, FINAL, JOURNAL, LAYERS, MODEL, SUMMARY
from pruneplug.process.files import read_json, replacing, write_csv, write_json
from pruneplug.tracking import Tracker

if TYPE_CHECKING:
    import keras

    from pruneplug.pruning.inspection import SparsityReport
    from pruneplug.pruning.sparsity import WeightSparsity
    from pruneplug.training.ending import TrainingResult

COLUMNS = ("name", "shape", "target", "sparsity", "kept", "skipped")


def write_results(
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
    with replacing(model) as aside:
        result.model.save(aside)
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
    write_json(folder / SUMMARY, content)
    return content


def _row(weight: WeightSparsity, targets: Mapping[str, float]) -> dict[str, Any]:
    target = targets[weight.name]
    shape, kept = list(weight.shape), weight.kept
    return {"sparsity": weight.sparsity, "target": target, "shape": shape, "kept": kept}


def read_summary(folder: Path) -> dict[str, Any]:
    """Read the `summary.json` of a run.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is damaged.
    """
    path = folder / SUMMARY
    content = read_json(path)
    try:
        sparsity = content["sparsity"]
        numbers = [*content["metrics"].values(), *content["size"].values(), sparsity["total"]]
        content["metrics"]["val_accuracy"], content["size"]["gzip_bytes"]
        for layer in sparsity["layers"].values():
            numbers += [layer["sparsity"], layer["target"], layer["kept"], *layer["shape"]]
        if not all(isinstance(number, int | float) for number in numbers):
            raise TypeError("number everywhere")
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} must be a run's summary; got no {error}.") from error
    return content


def _write_table(path: Path, layers: Mapping[str, Any], report: SparsityReport) -> None:
    rows = [{"name": name, **values} for name, values in layers.items()]
    skipped = [{"name": part.layer, "skipped": part.reason} for part in report.skipped]
    write_csv(path, COLUMNS, [*rows, *skipped])


def _draw(folder: Path, layers: Mapping[str, Mapping[str, Any]]) -> None:
    rows = [{"name": name, **values} for name, values in layers.items()]
    with replacing(folder / FINAL) as png:
        pictures.draw_final_sparsity(rows, png)
    # Without a journal (tracking=none) there is no history to draw.
    if (folder / JOURNAL).exists():
        with replacing(folder / CURVES) as png:
            pictures.draw_sparsity_curves(folder / JOURNAL, png)
