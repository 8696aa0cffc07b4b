"""A comparison as files: tables, pictures, and a page with both."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pruneplug.comparison import pictures
from pruneplug.comparison.groups import Comparison, compare
from pruneplug.comparison.page import page
from pruneplug.comparison.runs import Run
from pruneplug.comparison.tables import layers_table, ranking, readable, runs_table, verdict

PAGE = "report.html"
TABLES = ("ranking.csv", "runs.csv", "layers.csv")
PICTURES = {
    "accuracy.png": "Accuracy against sparsity",
    "sizes.png": "Sizes",
    "layers.png": "Sparsity of each weight while training",
}


@dataclass(frozen=True)
class Report:
    """A report that was written.

    Args:
        folder: Holds `report.html`, and its tables and pictures as files.
        verdict: The answer in a sentence.
        rows: The ranking as text, the best first.
    """

    folder: Path
    verdict: str
    rows: Sequence[Mapping[str, str]]

    @property
    def page(self) -> Path:
        """The page."""
        return self.folder / PAGE


def write_report(
    runs: Sequence[Run], unfinished: Sequence[str], source: str, folder: Path
) -> Report:
    """Compare runs and write what comes of it.

    Args:
        runs: At least one.
        unfinished: Names of the runs that are missing.
        source: Where the runs were read.
        folder: Made if it does not exist; files of an earlier report are replaced.

    Raises:
        OSError: If a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    comparison = compare(runs)
    tables = (ranking(comparison), runs_table(runs), layers_table(runs))
    for name, rows in zip(TABLES, tables, strict=True):
        _write_csv(folder / name, rows)
    _draw(comparison, folder)
    report = Report(folder, verdict(comparison), readable(comparison))
    figures = {heading: folder / name for name, heading in PICTURES.items()}
    notes = [f"Not finished, and not in here: {', '.join(unfinished)}."] if unfinished else []
    title = f"Comparison of {len(runs)} run{'s' if len(runs) != 1 else ''}"
    text = page(title, source, report.verdict, report.rows, figures, notes)
    report.page.write_text(text, encoding="utf-8")
    return report


def _draw(comparison: Comparison, folder: Path) -> None:
    draw = (pictures.accuracy_against_sparsity, pictures.sizes, pictures.layer_curves)
    for name, function in zip(PICTURES, draw, strict=True):
        function(comparison, folder / name)


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        columns = dict.fromkeys(name for row in rows for name in row)
        table = csv.DictWriter(file, list(columns))
        table.writeheader()
        table.writerows(rows)
