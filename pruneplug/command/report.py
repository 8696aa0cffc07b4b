"""`python -m pruneplug.report RUNS`: compare runs, from their folder or from MLflow."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from pruneplug.command.comparison import Report, read_runs, write_report
from pruneplug.command.terminal import USAGE

DESCRIPTION = """\
Compare runs: ranking, accuracy against sparsity with the dense baseline and the Pareto front,
sparsity of each weight over the steps, and sizes. Runs that differ in their seed only are one
group, with mean and standard deviation. Writes report.html, its pictures and CSV tables.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code: 0 done, 2 a mistake in what was given."""
    parser = argparse.ArgumentParser(
        prog="python -m pruneplug.report",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", help="folder of a run or a sweep, or name of an MLflow experiment")
    parser.add_argument("--out", type=Path, help="folder of the report (default: in the runs')")
    parser.add_argument("--uri", help="MLflow store; default as in training")
    given = parser.parse_args(arguments)
    try:
        report = _report(given.runs, given.out, given.uri)
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return USAGE
    # A file or a pipe has no width of its own.
    show(report, Console(width=None if sys.stdout.isatty() else 160))
    return 0


def show(report: Report, console: Console) -> None:
    """Print the ranking, the answer, and where the page is."""
    table = Table(title="Ranking", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in dict.fromkeys(name for row in report.rows for name in row):
        table.add_column(column, justify="right", overflow="fold")
    for row in report.rows:
        table.add_row(*(row.get(str(column.header), "") for column in table.columns))
    # What stands in brackets is part of a setting or a name, and no markup.
    console.print(table, markup=False)
    for line in (report.verdict, *report.notes):
        console.print(line, highlight=False, markup=False)
    console.print(f"report {report.page}", soft_wrap=True, highlight=False, markup=False)


def _report(source: str, out: Path | None, uri: str | None) -> Report:
    if Path(source).is_dir():
        folder = Path(source)
        runs, unfinished = read_runs(folder)
        return write_report(runs, unfinished, str(folder.absolute()), out or folder / "report")
    # Imported here: MLflow takes seconds, and folders do without it.
    from pruneplug.command.comparison.from_mlflow import read_experiment

    runs, damaged = read_experiment(source, uri)
    name = re.sub(r"[^\w.-]+", "_", source)
    return write_report(runs, damaged, f"MLflow experiment {source}", out or Path(f"report_{name}"))
