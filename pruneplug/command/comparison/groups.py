"""Runs that differ in nothing but their seed are one group; groups are what is compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

import pandas as pd

from pruneplug.command.comparison.runs import TEST, VALIDATION, Run
from pruneplug.command.flat_settings import decisive

SPARSITY = "sparsity"
MEASURED = (VALIDATION, TEST, SPARSITY, "gzip_bytes", "stripped_bytes", "dense_bytes")


def compare(runs: Sequence[Run]) -> pd.DataFrame:
    """Group runs and rank them.

    Args:
        runs: At least one.

    Returns:
        A row for each group, the best first, with the columns

        - `runs`: those in it;
        - `settings`: those in which the groups differ; `label`: these as one writes them on the
          command line; `series`: the label without the sparsity, since groups that share it form
          one curve;
        - `dense`: whether no sparsity was asked for;
        - for each measured value its mean, NaN if a run has not measured it, and `<name>_std`, the
          sample standard deviation, NaN for one run;
        - `drop`: validation accuracy lost against the best dense group, NaN without one;
        - `pareto`: whether no other group beats it in both sparsity and accuracy.
    """
    keys = _differing(runs)
    settings = [{key: run.settings.get(key, "") for key in keys} for run in runs]
    number, _ = pd.factorize(pd.Series([tuple(own.values()) for own in settings]))
    measured = pd.DataFrame([run.measured for run in runs], columns=MEASURED, dtype=float)
    groups = measured.groupby(number)
    # Python's mean and deviation are exact. Those of pandas may differ in the last digit where
    # the values do not, and that digit would decide who stands on the front.
    table = groups.agg(mean).join(groups.agg(_spread).add_suffix("_std"))
    table["runs"] = pd.Series(runs).groupby(number).agg(tuple)
    table["settings"] = pd.Series(settings).groupby(number).first()
    table["label"] = [_written(own) or "all runs" for own in table["settings"]]
    table["series"] = [_written({**own, SPARSITY: ""}) for own in table["settings"]]
    table["dense"] = [float(own[0].settings.get(SPARSITY, 1)) == 0 for own in table["runs"]]
    # A group that diverged or measured nothing goes last.
    table = table.sort_values([VALIDATION, SPARSITY], ascending=False, ignore_index=True)
    table["drop"] = table.loc[table["dense"], VALIDATION].max() - table[VALIDATION]
    table["pareto"] = _front(table)
    return table


def baseline(table: pd.DataFrame) -> pd.Series | None:
    """Return the best group without pruning; one whose accuracy is no number is none."""
    dense = table[table["dense"] & table[VALIDATION].notna()]
    return None if dense.empty else dense.iloc[0]


def as_text(value: object) -> str:
    """Write a setting as on the command line: 0.0 is 0."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _front(table: pd.DataFrame) -> pd.Series:
    # Rounding to whole weights and blocks makes no sparsity better than another.
    points = table[[SPARSITY, VALIDATION]].round({SPARSITY: 3})
    beaten = [
        ((points >= point).all(axis=1) & (points > point).any(axis=1)).any()
        for _, point in points.iterrows()
    ]
    return points.notna().all(axis=1) & ~pd.Series(beaten)


def _spread(values: pd.Series) -> float:
    return stdev(values) if len(values) > 1 and values.notna().all() else math.nan


def _written(settings: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={as_text(value)}" for key, value in settings.items() if value != "")


def _differing(runs: Sequence[Run]) -> list[str]:
    """Name the settings in which runs differ, the sparsity first."""
    settings = pd.DataFrame([decisive(run.settings) for run in runs], dtype=object)
    differing = [
        name for name in settings.columns[settings.nunique(dropna=False) > 1] if name != "seed"
    ]
    # Where the choice itself differs (schedule.name), what only one of them has says nothing more.
    named = {name.partition(".")[0] for name in differing if name.endswith(".name")}
    return [
        name
        for name in differing
        if name.endswith(".name")
        or name.partition(".")[0] not in named
        or settings[name].notna().all()
    ]
