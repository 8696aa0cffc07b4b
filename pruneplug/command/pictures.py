"""Pictures of a run's sparsity as PNG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from pruneplug.tracking.curves import Curve, read_curves

_TOTAL = "total"
_LEGEND_ROWS = 26
_BAR_COLOR, _TARGET_COLOR = "#4477aa", "#cc3311"
_DPI = 120
# Dollar signs in names and settings are no formulas.
_AS_IT_IS = matplotlib.rc_context({"text.parse_math": False})


@_AS_IT_IS
def draw_sparsity_curves(journal: Path, png: Path) -> None:
    """Draw the sparsity of each pruned weight over the steps of a journal's last run.

    A dot marks the step at which a weight reached the sparsity that it ended with. Lines are
    drawn from thick to thin, so that those which lie on each other can all be seen.

    Args:
        journal: the journal's path.
        png: the picture to write.
    """
    curves = read_curves(journal)
    columns = -(-(len(curves) + 1) // _LEGEND_ROWS)
    figure = Figure(figsize=(8 + 2.2 * columns, 5.5), layout="constrained")
    axes = figure.add_subplot(title="Sparsity of each pruned weight while training")
    total = curves.pop(_TOTAL, [])
    thickest = 5.0 if len(curves) <= 8 else 3.0
    for rank, (name, points) in enumerate(curves.items()):
        place = rank / max(len(curves) - 1, 1)
        color = matplotlib.colormaps["turbo"](0.05 + 0.9 * place)
        width = thickest - (thickest - 1.2) * place
        _draw_curve(axes, points, label=name, color=color, linewidth=width)
    _draw_curve(axes, total, label="all weights", color="black", linestyle=":")
    axes.plot([], [], "o", color="grey", markersize=5, label="final sparsity reached")
    axes.set_xlabel("training step")
    axes.set_ylabel("sparsity (zeros among the weights)")
    axes.set_ylim(-0.02, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), ncols=columns, fontsize=7)
    figure.savefig(png, dpi=_DPI)


@_AS_IT_IS
def draw_final_sparsity(rows: Sequence[Mapping[str, Any]], png: Path) -> None:
    """Draw the final sparsity of each pruned weight as a bar, with a mark at its target.

    Args:
        rows: one mapping for each weight, with its `name`, and its `sparsity` and `target` as
            fractions.
        png: the picture to write.
    """
    figure = Figure(figsize=(8, 1.6 + 0.24 * len(rows)), layout="constrained")
    axes = figure.add_subplot(title="Final sparsity of each pruned weight")
    places = range(len(rows))
    reached = [float(row["sparsity"]) for row in rows]
    axes.barh(places, reached, height=0.7, color=_BAR_COLOR, label="sparsity")
    for place, value in zip(places, reached, strict=True):
        axes.text(1.02, place, f"{value:.1%}", va="center", fontsize=8)
    targets = [float(row["target"]) for row in rows]
    axes.plot(targets, places, "|", color=_TARGET_COLOR, ms=13, mew=2, label="target")
    axes.set_yticks(places, [str(row["name"]) for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1.12)
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("sparsity (zeros among the weights)")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower right", ncols=2, fontsize=8, frameon=False)
    figure.savefig(png, dpi=_DPI)


def _draw_curve(axes: Axes, points: Curve, **style: Any) -> None:
    if not points:
        return
    steps, sparsities = zip(*points, strict=True)
    axes.step(steps, sparsities, where="post", **style)
    reached = next(point for point in points if point[1] >= sparsities[-1])
    axes.plot(*reached, "o", color=style["color"], markersize=5)
