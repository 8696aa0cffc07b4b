"""Pictures of a comparison as PNG files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from pruneplug.command.comparison.groups import SPARSITY, baseline
from pruneplug.command.comparison.runs import TEST, VALIDATION

_DPI = 120
# Dollar signs in names and settings are no formulas.
_AS_IT_IS = matplotlib.rc_context({"text.parse_math": False})
_COLORS = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#66ccee", "#ccbb44", "#bbbbbb")
_FRONT, _DENSE = "#f2c14e", "#444444"
_LEGEND_GROUPS = 24


@_AS_IT_IS
def accuracy_against_sparsity(groups: pd.DataFrame, png: Path) -> None:
    """Draw what pruning costs: accuracy of each group over its sparsity.

    Bars show the standard deviation over seeds. Hollow marks are the accuracy on the test data;
    the Pareto front goes by the validation data, which choices are made on.
    """
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.add_subplot(title="Accuracy against sparsity")
    _draw_front(axes, groups)
    _draw_baseline(axes, baseline(groups))
    for rank, (series, own) in enumerate(groups.sort_values(SPARSITY).groupby("series")):
        _draw_series(axes, own, series, _COLORS[rank % len(_COLORS)])
    axes.plot([], [], "o", color="grey", mfc="none", ms=5, label="on test data")
    axes.set_xlabel("sparsity (zeros among the pruned weights)")
    axes.set_ylabel("validation accuracy")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    figure.savefig(png, dpi=_DPI)


@_AS_IT_IS
def layer_curves(groups: pd.DataFrame, png: Path) -> None:
    """Draw the sparsity of each weight in training, all runs in one field for each weight."""
    groups = _by_sparsity(groups)
    curves = [run.curves for own in groups["runs"] for run in own]
    weights = [w for w in dict.fromkeys(name for own in curves for name in own) if w != "total"]
    columns = max(min(3, len(weights)), 1)
    rows = max(-(-len(weights) // columns), 1)
    figure = Figure(figsize=(1 + 3.4 * columns, 1.4 + 2.3 * rows), layout="constrained")
    fields = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat
    for weight, axes in zip(weights, fields, strict=False):
        axes.set_title(weight, fontsize=9)
        _draw_weight(axes, weight, groups)
    for axes in list(fields)[len(weights) :]:
        axes.set_visible(False)
    figure.suptitle("Sparsity of each weight while training")
    figure.supxlabel("training step", fontsize=9)
    _legend(figure, len(groups))
    figure.savefig(png, dpi=_DPI)


@_AS_IT_IS
def sizes(groups: pd.DataFrame, png: Path) -> None:
    """Draw the bytes of each group's model, compressed, beside those of the dense file."""
    groups = _by_sparsity(groups)
    figure = Figure(figsize=(9, 1.6 + 0.32 * len(groups)), layout="constrained")
    axes = figure.add_subplot(title="Size of the model's file")
    places = range(len(groups))
    for height, name, label, color in (
        (0.75, "stripped_bytes", "stripped", "#dddddd"),
        (0.45, "gzip_bytes", "stripped and compressed (gzip)", _COLORS[0]),
    ):
        axes.barh(places, groups[name], height=height, color=color, label=label)
    dense = groups["dense_bytes"].max()
    axes.axvline(dense, color=_DENSE, linestyle="--", linewidth=1, label="before pruning")
    axes.set_yticks(places, groups["label"], fontsize=8)
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.xaxis.set_major_formatter(EngFormatter("B"))
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.savefig(png, dpi=_DPI)


def _draw_front(axes: Axes, groups: pd.DataFrame) -> None:
    front = groups[groups["pareto"]].sort_values(SPARSITY)
    style: dict[str, Any] = {"color": _FRONT, "alpha": 0.5, "zorder": 1}
    # A front of one point is no line.
    line = {"linewidth": 9, "markersize": 14, "label": "Pareto front", **style}
    axes.plot(front[SPARSITY], front[VALIDATION], "o-", **line)


def _draw_baseline(axes: Axes, dense: pd.Series | None) -> None:
    if dense is None:
        return
    mean, std = dense[VALIDATION], dense[f"{VALIDATION}_std"]
    label = f"dense baseline {mean:.1%}"
    axes.axhline(mean, color=_DENSE, linestyle="--", linewidth=1.2, label=label)
    if not pd.isna(std):
        axes.axhspan(mean - std, mean + std, color=_DENSE, alpha=0.08, linewidth=0)


def _draw_series(axes: Axes, groups: pd.DataFrame, label: str, color: str) -> None:
    x, spread = groups[SPARSITY], groups[f"{VALIDATION}_std"].fillna(0)
    style: dict[str, Any] = {"color": color, "linewidth": 1.2, "capsize": 3, "markersize": 6}
    name = label or "pruned while training"
    axes.errorbar(x, groups[VALIDATION], spread, fmt="o-", label=name, **style)
    axes.plot(x, groups[TEST], "o", color=color, markerfacecolor="none", markersize=5, alpha=0.8)


def _draw_weight(axes: Axes, weight: str, groups: pd.DataFrame) -> None:
    for rank, (name, runs) in enumerate(zip(groups["label"], groups["runs"], strict=True)):
        place = rank / max(len(groups) - 1, 1)
        color = matplotlib.colormaps["viridis"](0.92 * place)
        for index, run in enumerate(runs):
            points = run.curves.get(weight, [])
            steps, sparsities = zip(*points, strict=True) if points else ((), ())
            label = name if index == 0 else None
            axes.step(steps, sparsities, where="post", color=color, linewidth=1.4, label=label)
    axes.set_ylim(-0.02, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)


def _legend(figure: Figure, groups: int) -> None:
    """Show the colors once; so many that they would hide the picture are left to the table."""
    if figure.axes and groups <= _LEGEND_GROUPS:
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", fontsize=8, frameon=False)


def _by_sparsity(groups: pd.DataFrame) -> pd.DataFrame:
    return groups.sort_values([SPARSITY, "label"])
