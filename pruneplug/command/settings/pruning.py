"""What may be configured of the pruning, and within which ranges.

The fields carry no defaults: the values live in `conf/`, where users look for them.
"""

from dataclasses import dataclass
from typing import Any

from pruneplug.command.settings.checks import (
    require,
    require_fraction,
    require_point,
    require_positive,
    require_word,
)

POOLINGS = ("AVG", "MAX")


@dataclass
class ScheduleSettings:
    """Which schedule is used; one subclass for each file of `conf/schedule`."""

    name: str


# Apart from its base class because OmegaConf 2.3 cannot merge into a field whose declared type has
# Union fields; into one of a base type it can.
@dataclass
class TimedSettings(ScheduleSettings):
    """When masks are updated; the sparsity itself is the top-level knob.

    A point of the training is an int (steps) or a float in [0, 1] (a fraction of the planned
    steps).
    """

    begin: int | float
    end: int | float | None
    """None: the end of the training."""
    frequency: int | float | None
    """Steps between two updates; None: a fiftieth of the way from begin to end, at most 100."""

    def __post_init__(self) -> None:
        for field, least in (("begin", 0), ("end", 0), ("frequency", 1)):
            require_point(f"schedule.{field}", getattr(self, field), least)
        # 1 and 1.0 are worlds apart, and hardly anybody means the one that these two stand for.
        rule = "be 1.0 for the end of the training, or whole steps from 2 on"
        require(not (self.end == 1 and isinstance(self.end, int)), "schedule.end", rule, self.end)
        rule = "be 1 for an update in every step, or a fraction below 1"
        whole = isinstance(self.frequency, float) and self.frequency == 1
        require(not whole, "schedule.frequency", rule, self.frequency)


@dataclass
class ConstantSettings(TimedSettings):
    """The full sparsity from the first update on."""


@dataclass
class RampSettings(TimedSettings):
    """A sparsity that rises along a curve: linear, exponential or cosine."""

    initial: float
    """Sparsity of the first update, in [0, 1)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_fraction("schedule.initial", self.initial)


@dataclass
class PolynomialSettings(RampSettings):
    """A sparsity that rises along a polynomial curve."""

    power: float
    """Exponent of the curve; 3 rises fast first."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive("schedule.power", self.power)


@dataclass
class OneShotSettings(ScheduleSettings):
    """The full sparsity in a single update."""

    step: int | float
    """The update: steps, or a fraction of the planned ones."""

    def __post_init__(self) -> None:
        require_point("schedule.step", self.step, least=1)


@dataclass
class MultiStepSettings(ScheduleSettings):
    """A sparsity that rises in chosen updates."""

    steps: list[int | float]
    """The updates, ascending: steps, or fractions of the planned ones."""
    shares: list[float]
    """The sparsity after each, as a share of the final one in [0, 1]; the last is 1."""

    def __post_init__(self) -> None:
        for step in self.steps:
            require_point("schedule.steps", step, least=1)
        require(bool(self.steps), "schedule.steps", "name at least one update", self.steps)
        pairs = len(self.shares) == len(self.steps)
        require(pairs, "schedule.shares", f"be as many as steps {self.steps}", self.shares)
        fits = self.shares[-1] == 1 and all(0 <= share <= 1 for share in self.shares)
        require(fits, "schedule.shares", "lie in [0, 1] and end with 1", self.shares)


@dataclass
class BlockSettings:
    """The shape in which weights are pruned."""

    size: list[int]
    """Rows and columns of a block; [1, 1] prunes single weights."""
    pooling: str
    """How a block is judged: by the AVG or the MAX of its magnitudes."""
    m_by_n: list[int] | None
    """How many zeros in how many consecutive weights; it takes the place of blocks."""
    scheduled: bool
    """Whether m_by_n follows the schedule; else it is done once, at step 1."""

    def __post_init__(self) -> None:
        fits = len(self.size) == 2 and min(self.size) >= 1
        require(fits, "block.size", "be two whole numbers of at least 1, as [2,3]", self.size)
        require_word("block.pooling", self.pooling, POOLINGS)
        if self.m_by_n is not None:
            fits = len(self.m_by_n) == 2 and 1 <= self.m_by_n[0] < self.m_by_n[1]
            require(fits, "block.m_by_n", "be [m,n] with 1 <= m < n, as [2,4]", self.m_by_n)
            beside = f"beside block.m_by_n={self.m_by_n}, which takes the place of blocks"
            require(self.size == [1, 1], "block.size", f"be [1,1] {beside}", self.size)
            require(self.pooling == "AVG", "block.pooling", f"stay AVG {beside}", self.pooling)


@dataclass
class PolicySettings:
    """Which layers take part; one subclass for each file of `conf/policy` with keys of its own."""

    name: str


@dataclass
class KeepEndsSettings(PolicySettings):
    """The first and the last layer that could be pruned stay dense."""

    first: bool
    last: bool


@dataclass
class ByNameSettings(PolicySettings):
    """Layers are chosen by patterns of their names, as in a shell."""

    only: list[str]
    exclude: list[str]


@dataclass
class AllocationSettings:
    """How the sparsity is shared out among the weights."""

    name: str
    # On the command line Hydra adds no key to a typed dict; it replaces a value of any type.
    overrides: Any
    """Sparsity by name, or pattern of names, of layers or weights; None: none."""

    def __post_init__(self) -> None:
        fits = isinstance(self.overrides, dict | None)
        require(fits, "allocation.overrides", "be as {conv*:0.9,head:0.0}", self.overrides)
        for pattern, sparsity in (self.overrides or {}).items():
            key = f"allocation.overrides.{pattern}"
            require(isinstance(sparsity, int | float), key, "be a number", sparsity)
            require_fraction(key, sparsity)


@dataclass
class SensitivitySettings:
    """What is found out about a trained model by pruning each of its weights alone."""

    sparsities: list[float]
    """At which each weight is pruned; none: no scan."""
    tolerance: float
    """Validation accuracy that a weight alone may cost in the suggestion, as a fraction."""

    def __post_init__(self) -> None:
        fits = all(0 <= sparsity < 1 for sparsity in self.sparsities)
        require(fits, "sensitivity.sparsities", "lie in [0, 1)", self.sparsities)
        require_fraction("sensitivity.tolerance", self.tolerance)
