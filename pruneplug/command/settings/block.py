"""The shape in which weights are pruned."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pruneplug.command.settings.checks import require, require_word

if TYPE_CHECKING:
    from pruneplug.pruning.patterns import MByN

POOLINGS = ("AVG", "MAX")


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

    def build_m_by_n(self) -> "MByN | None":
        """Build the pattern of groups; None where blocks are pruned."""
        if self.m_by_n is None:
            return None
        from pruneplug.pruning.patterns import MByN

        zeros, group = self.m_by_n
        return MByN(zeros, group, scheduled=self.scheduled)
