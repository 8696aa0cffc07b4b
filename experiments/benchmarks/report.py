"""Results as a table and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from .figure import Curve, Figure, Results

COLUMNS = ("figure", "median", "quartiles", "to reach", "", "floor", "note")


def write_table(
    path: Path, results: Results, machine: Mapping[str, str], commands: Sequence[str]
) -> None:
    """Write a Markdown table, with all that is needed to measure it again."""
    called = ", then ".join(f"`{command}`" for command in commands)
    lines = ["# Benchmarks", "", f"Command: {called}", "", "| machine | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in machine.items()]
    lines += ["", _row(COLUMNS), "|---" * len(COLUMNS) + "|"]
    lines += [_row(_cells(figure)) for figure in results.figures]
    if results.curves:
        lines += ["", _row(("cost", "grows with", "exponent (upper half)")), "|---|---|---|"]
        lines += [_row((c.name, _range(c), f"{c.slope:.2f}")) for c in results.curves]
    lines += ["", "![figures and growth](results.png)", ""]
    path.write_text("\n".join(lines))


def draw(path: Path, results: Results) -> None:
    """Draw the figures with their targets, and the growth curves."""
    rows = [f for f in results.figures if f.target is not None and f.target.bound > 0]
    picture = Picture(figsize=(12, 3 + 0.3 * len(rows) + 4), layout="constrained")
    grid = picture.add_gridspec(2, 2, height_ratios=[max(len(rows), 4), 12])
    _draw_figures(picture.add_subplot(grid[0, :]), rows)
    for column, axis in enumerate(("weights", "layers")):
        curves = [curve for curve in results.curves if curve.axis == axis]
        _draw_growth(picture.add_subplot(grid[1, column]), axis, curves)
    picture.savefig(path, dpi=120)


def _draw_figures(axes: Axes, rows: list[Figure]) -> None:
    for height, figure in enumerate(reversed(rows)):
        assert figure.target is not None
        bound = figure.target.bound
        low, value, high = figure.low / bound, figure.value / bound, figure.high / bound
        color = "tab:green" if figure.target.reached(figure.value) else "tab:red"
        axes.plot([low, high], [height, height], color=color, linewidth=4, alpha=0.4)
        side = ">" if figure.target.at_least else "<"
        axes.plot([value], [height], marker=side, color=color)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_yticks(range(len(rows)), [figure.name for figure in reversed(rows)], fontsize=7)
    axes.set_xscale("log")
    axes.set_xlabel("value / target (> must lie right of the line, < left of it); bar: quartiles")


def _draw_growth(axes: Axes, axis: str, curves: list[Curve]) -> None:
    for curve in curves:
        y = np.where(np.array(curve.y) > 0, curve.y, np.nan)
        axes.loglog(curve.x, y, marker="o", label=f"{curve.name}: slope {curve.slope:.2f}")
    axes.set_xlabel(axis)
    axes.set_ylabel("ms")
    if curves:
        axes.legend(fontsize=7)


def _cells(figure: Figure) -> tuple[str, ...]:
    return (
        figure.name,
        f"{figure.value:.3g} {figure.unit}",
        f"{figure.low:.3g} to {figure.high:.3g}",
        "" if figure.target is None else str(figure.target),
        figure.verdict,
        "" if figure.floor is None else f"{figure.floor:.3g}",
        figure.note,
    )


def _range(curve: Curve) -> str:
    return f"{curve.axis}, {curve.x[0]:g} to {curve.x[-1]:g}"


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
