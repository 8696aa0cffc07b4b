"""Which layers of a model take part, and the reason when one does not."""

from pruneplug.pruning.policies.base import AllOf, PruningPolicy
from pruneplug.pruning.policies.rules import ByName, KeepEndsDense, MinimumSize, SkipUnsupported
from pruneplug.pruning.policies.xnnpack import PruneForLatencyOnXNNPack

__all__ = [
    "AllOf",
    "ByName",
    "KeepEndsDense",
    "MinimumSize",
    "PruneForLatencyOnXNNPack",
    "PruningPolicy",
    "SkipUnsupported",
]
