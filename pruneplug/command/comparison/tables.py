"""The numbers of a comparison as rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pruneplug.command.comparison.groups import SPARSITY, Comparison, Group, as_text
from pruneplug.command.comparison.runs import TEST, VALIDATION, Run

_MEASURED = (VALIDATION, TEST, SPARSITY, "gzip_bytes", "stripped_bytes", "dense_bytes")
# With less than this lost, pruning counts as free of cost.
TOLERANCE = 0.01


def ranking(comparison: Comparison) -> list[dict[str, Any]]:
    """Return a row for each group, the best first; exact values, NaN where there is none."""
    front = comparison.front
    rows = []
    for rank, group in enumerate(comparison.groups, 1):
        row = {"rank": rank, **{f"setting {key}": v for key, v in group.settings.items()}}
        row |= {"runs": len(group.runs), "seeds": " ".join(map(str, group.seeds))}
        for name in _MEASURED:
            row[name], row[f"{name}_std"] = group.statistic(name)
        rows.append(row | {"drop": comparison.drop(group), "pareto": group in front})
    return rows


def runs_table(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return a row for each run: name, seed and what was measured."""
    return [
        {"run": run.name, "seed": run.seed}
        | {name: run.measured.get(name, math.nan) for name in _MEASURED}
        for run in runs
    ]


def layers_table(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return a row for each pruned weight of each run."""
    return [
        {
            "run": run.name,
            "weight": name,
            "shape": "x".join(map(str, layer["shape"])),
            **{key: layer[key] for key in ("target", "sparsity", "kept")},
        }
        for run in runs
        for name, layer in run.layers.items()
    ]


def readable(comparison: Comparison) -> list[dict[str, str]]:
    """Return the ranking as text for people: percentages with their spread, sizes in kB."""
    return [
        {
            "rank": f"{rank}{' *' if group in comparison.front else ''}",
            **{key: as_text(value) for key, value in group.settings.items()},
            "runs": str(len(group.runs)),
            "validation": percent(group, VALIDATION),
            "lost": _points(comparison.drop(group)),
            "test": percent(group, TEST),
            "zeros": percent(group, SPARSITY),
            "compressed": _kilobytes(group),
        }
        for rank, group in enumerate(comparison.groups, 1)
    ]


def percent(group: Group, name: str) -> str:
    """Write a fraction as a percentage, with its spread if there is one, e.g. "97.2 ± 0.4 %"."""
    mean, std = group.statistic(name)
    if math.isnan(mean):
        return "-"
    spread = "" if math.isnan(std) or round(100 * std, 1) == 0 else f" ± {100 * std:.1f}"
    return f"{100 * mean:.1f}{spread} %"


def verdict(comparison: Comparison) -> str:
    """Answer the question: how much can be pruned before it hurts?"""
    baseline = comparison.baseline
    if baseline is None:
        return "No run without pruning (sparsity=0) is here to compare with."
    dense = f"the dense {percent(baseline, VALIDATION)}"
    pruned = [g for g in comparison.groups if not g.dense and comparison.drop(g) <= TOLERANCE]
    if not pruned:
        return f"No pruned group comes within {100 * TOLERANCE:.0f} point of {dense}."
    # Of those that differ by no more than the rounding to whole weights, the first is the best.
    best = max(pruned, key=lambda group: round(group.statistic(SPARSITY).mean, 3))
    return (
        f"{percent(best, SPARSITY)} of the weights can be zero within {100 * TOLERANCE:.0f} point "
        f"of {dense} validation accuracy: {best.label} reaches {percent(best, VALIDATION)}."
    )


def _points(drop: float) -> str:
    return "-" if math.isnan(drop) else f"{100 * drop:+.1f}"


def _kilobytes(group: Group) -> str:
    size = group.statistic("gzip_bytes").mean
    return "-" if math.isnan(size) else f"{size / 1000:,.1f} kB"
