"""Runs that differ in nothing but their seed are one group; groups are what is compared."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pruneplug.command.comparison.runs import VALIDATION, Run
from pruneplug.command.flat import decisive

SPARSITY = "sparsity"


class Statistic(NamedTuple):
    """A value over the runs of a group; `std` is the sample standard deviation, NaN for one run."""

    mean: float
    std: float


@dataclass(frozen=True)
class Group:
    """Runs with equal settings but for the seed.

    Args:
        settings: Those in which the groups of a comparison differ.
        runs: At least one.
    """

    settings: Mapping[str, Any]
    runs: tuple[Run, ...]

    @property
    def label(self) -> str:
        """The settings as one writes them on the command line."""
        return _written(self.settings) or "all runs"

    @property
    def series(self) -> str:
        """The settings without the sparsity: groups that share them form one curve."""
        return _written({k: v for k, v in self.settings.items() if k != SPARSITY})

    @property
    def dense(self) -> bool:
        """Whether the runs were asked for no sparsity."""
        return all(float(run.settings.get(SPARSITY, 1.0)) == 0 for run in self.runs)

    @property
    def seeds(self) -> list[int]:
        """The seeds of its runs."""
        return sorted(run.seed for run in self.runs)

    def statistic(self, name: str) -> Statistic:
        """Return mean and spread of a measured value; NaN if a run has not measured it."""
        values = [float(run.measured.get(name, math.nan)) for run in self.runs]
        spread = statistics.stdev(values) if len(values) > 1 else math.nan
        return Statistic(statistics.fmean(values), spread)


@dataclass(frozen=True)
class Comparison:
    """Groups, the best first, and what stands out among them.

    Args:
        groups: In order of their validation accuracy.
    """

    groups: tuple[Group, ...]

    @property
    def baseline(self) -> Group | None:
        """The best group without pruning; one whose accuracy is no number is none."""
        known = (group for group in self.groups if not math.isnan(_mean(group, VALIDATION)))
        return next((group for group in known if group.dense), None)

    @property
    def front(self) -> tuple[Group, ...]:
        """The Pareto front: groups that no other beats in both sparsity and accuracy.

        A diverged one, whose accuracy is no number, has no place there.
        """
        # Rounding to whole weights and blocks makes no sparsity better than another.
        sparsities = [round(_mean(group, SPARSITY), 3) for group in self.groups]
        accuracies = [_mean(group, VALIDATION) for group in self.groups]
        points = list(zip(sparsities, accuracies, strict=True))
        return tuple(
            group
            for group, point in zip(self.groups, points, strict=True)
            if not any(map(math.isnan, point)) and not any(_beats(other, point) for other in points)
        )

    def drop(self, group: Group) -> float:
        """Return the validation accuracy lost against the baseline; NaN without one."""
        if self.baseline is None:
            return math.nan
        return _mean(self.baseline, VALIDATION) - _mean(group, VALIDATION)


def compare(runs: Sequence[Run]) -> Comparison:
    """Group runs and rank them.

    Args:
        runs: At least one.
    """
    keys = _differing(runs)
    members: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        members.setdefault(tuple(run.settings.get(key, "") for key in keys), []).append(run)
    groups = [
        Group({key: value for key, value in zip(keys, values, strict=True) if value != ""}, (*own,))
        for values, own in members.items()
    ]
    return Comparison(tuple(sorted(groups, key=_rank)))


def _written(settings: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={as_text(value)}" for key, value in settings.items())


def as_text(value: object) -> str:
    """Write a setting as on the command line: 0.0 is 0."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _differing(runs: Sequence[Run]) -> list[str]:
    """Name the settings in which runs differ, the sparsity first."""
    names = dict.fromkeys(name for run in runs for name in decisive(run.settings))
    differing = [
        name
        for name in names
        if name != "seed" and len({run.settings.get(name) for run in runs}) > 1
    ]
    # Where the choice itself differs (schedule.name), what only one of them has says nothing more.
    named = {name.partition(".")[0] for name in differing if name.endswith(".name")}
    return [
        name
        for name in differing
        if name.endswith(".name")
        or name.partition(".")[0] not in named
        or all(name in run.settings for run in runs)
    ]


def _rank(group: Group) -> tuple[float, float]:
    """Sort by accuracy, then by sparsity; a run that measured nothing goes last."""
    accuracy = _mean(group, VALIDATION)
    return (math.inf if math.isnan(accuracy) else -accuracy, -_mean(group, SPARSITY))


def _mean(group: Group, name: str) -> float:
    return group.statistic(name).mean


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] >= other[0] and one[1] >= other[1]
