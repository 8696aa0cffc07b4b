"""Which layers of a model take part, and the reason when one does not."""

from pruneplug.policies.base import AllOf, PruningPolicy
from pruneplug.policies.rules import ByName, KeepEndsDense, MinimumSize, SkipUnsupported
from pruneplug.policies.xnnpack import PruneForLatencyOnXNNPack

__all__ = [
    "AllOf",
    "ByName",
    "KeepEndsDense",
    "MinimumSize",
    "PruneForLatencyOnXNNPack",
    "PruningPolicy",
    "SkipUnsupported",
]
