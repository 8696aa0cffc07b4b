"""A scan as files: a table, a heat map, and the settings it suggests."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import matplotlib
import numpy as np
import yaml
from matplotlib.figure import Figure

from pruneplug.command.folder import SCAN, SCAN_PICTURE, SUGGESTION
from pruneplug.command.sensitivity.sensitivity import Sensitivity
from pruneplug.process.files import replacing, write_csv, write_text

COLUMNS = ("weight", "asked", "sparsity", "accuracy", "drop")
_DPI = 120
# Dollar signs in names and settings are no formulas.
_AS_IT_IS = matplotlib.rc_context({"text.parse_math": False})
# Below this, the heat map shows no red: small differences are noise.
_LEAST_SCALE = 0.05


def write_scan(result: Sensitivity, tolerance: float, folder: Path) -> list[Path]:
    """Write a scan.

    Args:
        result: The scan.
        tolerance: Accuracy that a weight alone may cost, as a fraction.
        folder: Where to.

    Returns:
        The files: `sensitivity.csv`, `sensitivity.png`, `sensitivity.yaml`.

    Raises:
        OSError: If a file cannot be written.
    """
    files = [folder / name for name in (SCAN, SCAN_PICTURE, SUGGESTION)]
    _write_csv(result, files[0])
    with replacing(files[1]) as png:
        heat_map(result, png)
    write_text(files[2], suggestion(result, tolerance))
    return files


def suggestion(result: Sensitivity, tolerance: float) -> str:
    """Write the suggested overrides as YAML, ready for an experiment file."""
    settings = {"allocation": {"overrides": result.suggest(tolerance)}}
    return (
        "# @package _global_\n"
        f"# The highest sparsity scanned at which each weight alone costs at most "
        f"{100 * tolerance:g} points\n# of validation accuracy, without training on. As a file "
        "of conf/experiment, or of a folder given by\n# --config-dir FOLDER (in FOLDER/experiment),"
        f" it is chosen by experiment=<its name>.\n{yaml.safe_dump(settings, sort_keys=False)}"
    )


@_AS_IT_IS
def heat_map(result: Sensitivity, png: Path) -> None:
    """Draw the accuracy lost, a row for each weight and a column for each sparsity.

    Args:
        result: The scan.
        png: The picture to write.
    """
    rows, columns = result.weights, result.sparsities
    drops = {(cell.weight, cell.asked): result.drop(cell) for cell in result.cells}
    grid = np.array([[100 * drops[row, column] for column in columns] for row in rows])
    size = (3.2 + 0.9 * len(columns), 1.8 + 0.4 * len(rows))
    figure = Figure(figsize=(max(size[0], 7.0), size[1]), layout="constrained")
    axes = figure.add_subplot(title="Accuracy lost when one weight alone is pruned")
    scale = max(float(grid.max()), 100 * _LEAST_SCALE)
    image = axes.imshow(grid, cmap="YlOrRd", vmin=0, vmax=scale, aspect="auto")
    for (row, column), value in np.ndenumerate(grid):
        color = "white" if value > 0.6 * scale else "black"
        text = f"{value + 0.0:.1f}"
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=8)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.set_xticks(range(len(columns)), [f"{100 * c:g} %" for c in columns], fontsize=8)
    axes.set_xlabel(f"sparsity of the weight (the dense model reaches {result.baseline:.1%})")
    figure.colorbar(image, label="points lost")
    figure.savefig(png, dpi=_DPI)


def _write_csv(result: Sensitivity, path: Path) -> None:
    rows = [{**asdict(cell), "drop": result.drop(cell)} for cell in result.cells]
    write_csv(path, COLUMNS, rows)
