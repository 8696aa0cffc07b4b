"""What the command shows of a finished run."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from pruneplug.pruning.inspection import Skipped


def print_summary(
    summary: Mapping[str, Any], skipped: Iterable[Skipped], folder: Path, console: Console
) -> None:
    """Print the layer table and the summary.

    Args:
        summary: As `summary.json` holds it.
        skipped: The layers that were not pruned.
        folder: The run folder.
        console: Where to.
    """
    console.print(layer_table(summary["sparsity"]["layers"], skipped, "Sparsity by layer"))
    for name, value in _summary_lines(summary, folder):
        # Paths and commands stay in one piece on any width, so that they can be copied.
        console.print(f"{name:<20} {value}", soft_wrap=True, highlight=False, markup=False)


def layer_table(
    layers: Mapping[str, Mapping[str, Any]], skipped: Iterable[Skipped], title: str
) -> Table:
    """Lay out shape, target, sparsity and kept values of each weight, and what is skipped."""
    table = Table(title=title, title_justify="left")
    table.add_column("weight", overflow="fold")
    table.add_column("shape", overflow="fold")
    for column in ("target", "sparsity", "kept"):
        table.add_column(column, justify="right")
    for name, layer in layers.items():
        shape = "x".join(map(str, layer["shape"]))
        target, sparsity = f"{layer['target']:.4f}", f"{layer['sparsity']:.4f}"
        table.add_row(name, shape, target, sparsity, f"{layer['kept']:,}")
    for layer_skipped in skipped:
        table.add_row(layer_skipped.layer, f"[dim]{layer_skipped.reason}[/dim]", "-", "-", "-")
    return table


def _summary_lines(summary: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, str]]:
    metrics, size, mlflow = summary["metrics"], summary["size"], summary["mlflow"]
    yield "steps", f"{summary['steps']:,}"
    yield "sparsity", f"{summary['sparsity']['total']:.4f}"
    for name in ("val_accuracy", "test_accuracy"):
        if name in metrics:
            label = name.replace("val_", "validation_").replace("_", " ")
            yield label, f"{metrics[name]:.4f}"
    yield "dense size", f"{size['dense_bytes']:,} bytes"
    yield "stripped size", f"{size['stripped_bytes']:,} bytes"
    yield "gzip size", f"{size['gzip_bytes']:,} bytes"
    yield "model", summary["model"]
    yield "run folder", str(folder)
    if mlflow:
        yield "MLflow run", mlflow.get("run_id", "not sent yet")
        yield "to look at it", _look(mlflow["tracking_uri"])


def _look(uri: str) -> str:
    """Say how to see a store: a server has its own pages."""
    return uri if uri.startswith("http") else f"mlflow ui --backend-store-uri {shlex.quote(uri)}"
