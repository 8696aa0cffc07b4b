"""Pictures of a comparison as PNG files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from pruneplug.command.comparison.groups import SPARSITY, Comparison, Group
from pruneplug.command.comparison.runs import TEST, VALIDATION

_DPI = 120
# Dollar signs in names and settings are no formulas.
_AS_IT_IS = matplotlib.rc_context({"text.parse_math": False})
_COLORS = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#66ccee", "#ccbb44", "#bbbbbb")
_FRONT, _DENSE = "#f2c14e", "#444444"
_LEGEND_GROUPS = 24


@_AS_IT_IS
def accuracy_against_sparsity(comparison: Comparison, png: Path) -> None:
    """Draw what pruning costs: accuracy of each group over its sparsity.

    Bars show the standard deviation over seeds. Hollow marks are the accuracy on the test data;
    the Pareto front goes by the validation data, which choices are made on.
    """
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.add_subplot(title="Accuracy against sparsity")
    _draw_front(axes, comparison)
    _draw_baseline(axes, comparison.baseline)
    ordered = sorted(comparison.groups, key=lambda g: (g.series, g.statistic(SPARSITY).mean))
    for rank, (series, groups) in enumerate(groupby(ordered, lambda group: group.series)):
        _draw_series(axes, list(groups), series, _COLORS[rank % len(_COLORS)])
    axes.plot([], [], "o", color="grey", mfc="none", ms=5, label="on test data")
    axes.set_xlabel("sparsity (zeros among the pruned weights)")
    axes.set_ylabel("validation accuracy")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    figure.savefig(png, dpi=_DPI)


@_AS_IT_IS
def layer_curves(comparison: Comparison, png: Path) -> None:
    """Draw the sparsity of each weight in training, all runs in one field for each weight."""
    groups = _by_sparsity(comparison)
    curves = [run.curves for group in groups for run in group.runs]
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
def sizes(comparison: Comparison, png: Path) -> None:
    """Draw the bytes of each group's model, compressed, beside those of the dense file."""
    groups = _by_sparsity(comparison)
    figure = Figure(figsize=(9, 1.6 + 0.32 * len(groups)), layout="constrained")
    axes = figure.add_subplot(title="Size of the model's file")
    places = range(len(groups))
    for height, name, label, color in (
        (0.75, "stripped_bytes", "stripped", "#dddddd"),
        (0.45, "gzip_bytes", "stripped and compressed (gzip)", _COLORS[0]),
    ):
        values = [group.statistic(name).mean for group in groups]
        axes.barh(places, values, height=height, color=color, label=label)
    dense = max(group.statistic("dense_bytes").mean for group in groups)
    axes.axvline(dense, color=_DENSE, linestyle="--", linewidth=1, label="before pruning")
    axes.set_yticks(places, [group.label for group in groups], fontsize=8)
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.xaxis.set_major_formatter(EngFormatter("B"))
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.savefig(png, dpi=_DPI)


def _draw_front(axes: Axes, comparison: Comparison) -> None:
    front = sorted(comparison.front, key=lambda group: group.statistic(SPARSITY).mean)
    x = [group.statistic(SPARSITY).mean for group in front]
    y = [group.statistic(VALIDATION).mean for group in front]
    style: dict[str, Any] = {"color": _FRONT, "alpha": 0.5, "zorder": 1}
    # A front of one point is no line.
    axes.plot(x, y, "o-", linewidth=9, markersize=14, label="Pareto front", **style)


def _draw_baseline(axes: Axes, baseline: Group | None) -> None:
    if baseline is None:
        return
    mean, std = baseline.statistic(VALIDATION)
    label = f"dense baseline {mean:.1%}"
    axes.axhline(mean, color=_DENSE, linestyle="--", linewidth=1.2, label=label)
    if not math.isnan(std):
        axes.axhspan(mean - std, mean + std, color=_DENSE, alpha=0.08, linewidth=0)


def _draw_series(axes: Axes, groups: Sequence[Group], label: str, color: str) -> None:
    x = [group.statistic(SPARSITY).mean for group in groups]
    validation = [group.statistic(VALIDATION) for group in groups]
    spread = [0.0 if math.isnan(value.std) else value.std for value in validation]
    style: dict[str, Any] = {"color": color, "linewidth": 1.2, "capsize": 3, "markersize": 6}
    name = label or "pruned while training"
    axes.errorbar(x, [v.mean for v in validation], spread, fmt="o-", label=name, **style)
    test = [group.statistic(TEST).mean for group in groups]
    axes.plot(x, test, "o", color=color, markerfacecolor="none", markersize=5, alpha=0.8)


def _draw_weight(axes: Axes, weight: str, groups: Sequence[Group]) -> None:
    for rank, group in enumerate(groups):
        place = rank / max(len(groups) - 1, 1)
        color = matplotlib.colormaps["viridis"](0.92 * place)
        for index, run in enumerate(group.runs):
            points = run.curves.get(weight, [])
            steps, sparsities = zip(*points, strict=True) if points else ((), ())
            label = group.label if index == 0 else None
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


def _by_sparsity(comparison: Comparison) -> list[Group]:
    return sorted(comparison.groups, key=lambda g: (g.statistic(SPARSITY).mean, g.label))
