"""What is measured: a number with its spread, and the target it is held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Target:
    """The bound that a figure has to meet.

    Args:
        bound: The number itself, in the figure's unit.
        at_least: Whether larger is better.
    """

    bound: float
    at_least: bool = False

    def reached(self, value: float) -> bool:
        """Tell whether `value` meets the bound."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'at least' if self.at_least else 'at most'} {self.bound:g}"


@dataclass(frozen=True)
class Figure:
    """One row of the table.

    Args:
        name: What was measured.
        value: The median.
        low: The first quartile.
        high: The third quartile.
        unit: "x" for a ratio, else "ms", "s", "B", ...
        target: None for a number that explains another one.
        note: What the reader must know to judge it.
        floor: The least (or, if larger is better, the most) it could come to, from what was
            measured in the same run; None where it is not needed.
    """

    name: str
    value: float
    low: float
    high: float
    unit: str = "x"
    target: Target | None = None
    note: str = ""
    floor: float | None = None

    @classmethod
    def of(
        cls,
        name: str,
        samples: Sequence[float],
        unit: str = "x",
        target: Target | None = None,
        note: str = "",
        floor: float | None = None,
    ) -> Figure:
        """Reduce samples to their median and quartiles."""
        low, middle, high = np.percentile(np.asarray(samples, float), [25, 50, 75])
        return cls(name, float(middle), float(low), float(high), unit, target, note, floor)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Figure:
        """Rebuild a figure from `dataclasses.asdict`'s answer."""
        target = fields["target"]
        return cls(**{**fields, "target": None if target is None else Target(**target)})

    @property
    def verdict(self) -> str:
        """Whether the target is reached, "" without one."""
        if self.target is None:
            return ""
        return "reached" if self.target.reached(self.value) else "NOT reached"


@dataclass(frozen=True)
class Curve:
    """A cost that grows.

    Args:
        name: What was measured.
        axis: What it grows with.
        x: Along the axis.
        y: The cost, in `unit`.
        unit: Of `y`.
    """

    name: str
    axis: str
    x: list[float]
    y: list[float]
    unit: str

    @property
    def slope(self) -> float:
        """Exponent of the growth: d log y / d log x over the upper half of the points."""
        points = [(x, y) for x, y in zip(self.x, self.y, strict=True) if y > 0]
        points = points[len(points) // 2 :] if len(points) > 3 else points
        if len(points) < 2:
            return float("nan")
        x, y = np.log(np.array(points)).T
        return float(np.polyfit(x, y, 1)[0])


@dataclass
class Results:
    """What a family of figures came to.

    Args:
        figures: The rows of the table.
        curves: The lines of the growth pictures.
        samples: Raw numbers by what was measured, the unit in its name.
    """

    figures: list[Figure] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    samples: dict[str, list[float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Results:
        """Rebuild results from `to_dict`'s answer."""
        return cls(
            [Figure.from_dict(figure) for figure in fields["figures"]],
            [Curve(**curve) for curve in fields["curves"]],
            fields["samples"],
        )
