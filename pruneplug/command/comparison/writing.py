"""A comparison as files: tables, pictures, and a page with both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pruneplug.command.comparison import pictures
from pruneplug.command.comparison.groups import compare
from pruneplug.command.comparison.page import page
from pruneplug.command.comparison.runs import Run
from pruneplug.command.comparison.tables import layers_table, ranking, readable, runs_table, verdict
from pruneplug.command.folder import PAGE
from pruneplug.process.files import replacing, write_csv, write_text

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
        notes: What else is to be known.
    """

    folder: Path
    verdict: str
    rows: Sequence[Mapping[str, str]]
    notes: Sequence[str]

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
        unfinished: Names of the runs that are missing, perhaps with what is wrong.
        source: Where the runs were read.
        folder: Made if it does not exist; files of an earlier report are replaced.

    Raises:
        OSError: If a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    groups = compare(runs)
    tables = (ranking(groups), runs_table(runs), layers_table(runs))
    for name, rows in zip(TABLES, tables, strict=True):
        columns = dict.fromkeys(column for row in rows for column in row)
        write_csv(folder / name, list(columns), rows)
    _draw(groups, folder)
    notes = [f"Not finished, and not in here: {', '.join(unfinished)}."] if unfinished else []
    report = Report(folder, verdict(groups), readable(groups), notes)
    figures = {heading: folder / name for name, heading in PICTURES.items()}
    title = f"Comparison of {len(runs)} run{'s' if len(runs) != 1 else ''}"
    text = page(title, source, report.verdict, report.rows, figures, notes)
    write_text(report.page, text)
    return report


def _draw(groups: pd.DataFrame, folder: Path) -> None:
    draw = (pictures.accuracy_against_sparsity, pictures.sizes, pictures.layer_curves)
    for name, function in zip(PICTURES, draw, strict=True):
        with replacing(folder / name) as png:
            function(groups, png)
