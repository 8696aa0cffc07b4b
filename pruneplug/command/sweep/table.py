"""The table at the end of a sweep, for people and as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pruneplug.command.sweep.jobs import JobRecord

COLUMNS = (
    "job", "overrides", "status", "val_accuracy", "test_accuracy", "sparsity", "gzip_bytes",
    "folder",
)  # fmt: skip


def rows(records: Sequence[JobRecord], sweep: Path) -> list[dict[str, Any]]:
    """Return a row for each job; what a job has not measured is not in it."""
    return [_row(record, sweep) for record in records]


def _row(record: JobRecord, sweep: Path) -> dict[str, Any]:
    row = {
        "job": record.number,
        "overrides": record.overrides,
        "status": record.status,
        "folder": str(record.folder.relative_to(sweep)),
    }
    summary = record.summary()
    if summary:
        metrics, size = summary["metrics"], summary["size"]
        row |= {name: metrics.get(name) for name in ("val_accuracy", "test_accuracy")}
        row |= {"sparsity": summary["sparsity"]["total"], "gzip_bytes": size["gzip_bytes"]}
    return row


def print_table(table: Sequence[dict[str, Any]], console: Console) -> None:
    """Print the rows; what all jobs have in common is left out of their overrides."""
    words = [set(row["overrides"].split()) for row in table]
    common = set.intersection(*words) if len(words) > 1 else set()
    shown = Table(title="Jobs of the sweep", title_justify="left")
    shown.add_column("job", justify="right")
    shown.add_column("overrides", overflow="fold")
    shown.add_column("status", overflow="fold")
    for column in ("validation", "test", "sparsity", "gzip bytes"):
        shown.add_column(column, justify="right")
    for row in table:
        numbers = [_number(row.get(name)) for name in COLUMNS[3:7]]
        own = " ".join(word for word in row["overrides"].split() if word not in common)
        shown.add_row(str(row["job"]), own, row["status"], *numbers)
    console.print(shown, markup=False)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
