"""Which layers take part."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pruneplug.pruning.policies import PruningPolicy


@dataclass
class PolicySettings(ABC):
    """Which layers take part; one subclass for each file of `conf/policy`."""

    name: str

    @abstractmethod
    def build(self) -> "PruningPolicy":
        """Build the policy."""


@dataclass
class AllSettings(PolicySettings):
    """All layers that can be pruned; one that cannot be is an error."""

    def build(self) -> "PruningPolicy":
        """Build the policy."""
        from pruneplug.pruning.policies import AllOf

        return AllOf()


@dataclass
class SkipSettings(PolicySettings):
    """All layers that can be pruned; the others are left out."""

    def build(self) -> "PruningPolicy":
        """Build the policy."""
        from pruneplug.pruning.policies import SkipUnsupported

        return SkipUnsupported()


@dataclass
class XnnpackSettings(PolicySettings):
    """The layers that XNNPACK's sparse inference accelerates."""

    def build(self) -> "PruningPolicy":
        """Build the policy."""
        from pruneplug.pruning.policies import PruneForLatencyOnXNNPack

        return PruneForLatencyOnXNNPack()


@dataclass
class KeepEndsSettings(PolicySettings):
    """The first and the last layer that could be pruned stay dense."""

    first: bool
    last: bool

    def build(self) -> "PruningPolicy":
        """Build the policy."""
        from pruneplug.pruning.policies import KeepEndsDense

        return KeepEndsDense(self.first, self.last)


@dataclass
class ByNameSettings(PolicySettings):
    """Layers are chosen by patterns of their names, as in a shell."""

    only: list[str]
    exclude: list[str]

    def build(self) -> "PruningPolicy":
        """Build the policy."""
        from pruneplug.pruning.policies import ByName

        return ByName(self.only, self.exclude)


POLICIES = {
    "all": AllSettings,
    "skip": SkipSettings,
    "xnnpack": XnnpackSettings,
    "keep_ends": KeepEndsSettings,
    "by_name": ByNameSettings,
}
