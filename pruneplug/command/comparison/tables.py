"""The numbers of a comparison as rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pruneplug.command.comparison.groups import MEASURED, SPARSITY, as_text, baseline
from pruneplug.command.comparison.runs import TEST, VALIDATION, Run

# With less than this lost, pruning counts as free of cost.
TOLERANCE = 0.01


def ranking(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a row for each group, the best first; exact values, NaN where there is none."""
    columns = [column for name in MEASURED for column in (name, f"{name}_std")]
    return [
        {
            "rank": rank,
            **{f"setting {key}": value for key, value in group["settings"].items()},
            "runs": len(group["runs"]),
            "seeds": " ".join(map(str, sorted(run.seed for run in group["runs"]))),
            **{column: group[column] for column in (*columns, "drop", "pareto")},
        }
        for rank, group in enumerate(table.to_dict("records"), 1)
    ]


def runs_table(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return a row for each run: name, seed and what was measured."""
    return [
        {"run": run.name, "seed": run.seed}
        | {name: run.measured.get(name, math.nan) for name in MEASURED}
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


def readable(table: pd.DataFrame) -> list[dict[str, str]]:
    """Return the ranking as text for people: percentages with their spread, sizes in kB."""
    return [
        {
            "rank": f"{rank}{' *' if group['pareto'] else ''}",
            **{key: as_text(value) for key, value in group["settings"].items()},
            "runs": str(len(group["runs"])),
            "validation": percent(group, VALIDATION),
            "lost": _number(100 * group["drop"], "+.1f"),
            "test": percent(group, TEST),
            "zeros": percent(group, SPARSITY),
            "compressed": _number(group["gzip_bytes"] / 1000, ",.1f", " kB"),
        }
        for rank, group in enumerate(table.to_dict("records"), 1)
    ]


def percent(group: Mapping[str, Any], name: str) -> str:
    """Write a fraction as a percentage, with its spread if there is one, e.g. "97.2 ± 0.4 %"."""
    std = group[f"{name}_std"]
    spread = "" if math.isnan(std) or round(100 * std, 1) == 0 else f" ± {100 * std:.1f}"
    return _number(100 * group[name], ".1f", f"{spread} %")


def verdict(table: pd.DataFrame) -> str:
    """Answer the question: how much can be pruned before it hurts?"""
    free = baseline(table)
    if free is None:
        return "No run without pruning (sparsity=0) is here to compare with."
    dense = f"the dense {percent(free, VALIDATION)}"
    pruned = table[~table["dense"] & (table["drop"] <= TOLERANCE)]
    if pruned.empty:
        return f"No pruned group comes within {100 * TOLERANCE:.0f} point of {dense}."
    # Of those that differ by no more than the rounding to whole weights, the first is the best.
    best = pruned.loc[pruned[SPARSITY].round(3).idxmax()]
    return (
        f"{percent(best, SPARSITY)} of the weights can be zero within {100 * TOLERANCE:.0f} point "
        f"of {dense} validation accuracy: {best['label']} reaches {percent(best, VALIDATION)}."
    )


def _number(value: float, form: str, unit: str = "") -> str:
    return "-" if math.isnan(value) else f"{value:{form}}{unit}"
