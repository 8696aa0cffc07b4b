"""How the sparsity is shared out among the weights."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pruneplug.command.settings.checks import require, require_fraction

if TYPE_CHECKING:
    from pruneplug.pruning.allocation import Allocation


@dataclass
class AllocationSettings(ABC):
    """How the sparsity is shared out; one subclass for each file of `conf/allocation`."""

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

    @abstractmethod
    def build(self) -> "Allocation":
        """Build the allocation."""


@dataclass
class UniformSettings(AllocationSettings):
    """The same sparsity for each weight."""

    def build(self) -> "Allocation":
        """Build the allocation."""
        from pruneplug.pruning.allocation import UniformAllocation

        return UniformAllocation(self.overrides or {})


@dataclass
class GlobalSettings(AllocationSettings):
    """The smallest magnitudes of all weights together."""

    def build(self) -> "Allocation":
        """Build the allocation."""
        from pruneplug.pruning.allocation import GlobalAllocation

        return GlobalAllocation(self.overrides or {})


@dataclass
class ErkSettings(AllocationSettings):
    """Large weights get more of it than small ones."""

    def build(self) -> "Allocation":
        """Build the allocation."""
        from pruneplug.pruning.allocation import ERKAllocation

        return ERKAllocation(self.overrides or {})


ALLOCATIONS = {"uniform": UniformSettings, "global": GlobalSettings, "erk": ErkSettings}
