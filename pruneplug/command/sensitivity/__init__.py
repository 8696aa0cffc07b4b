"""Which layers can be pruned most: each alone, in a model that is trained already."""

from pruneplug.command.sensitivity.scan import Candidate, candidates, scan
from pruneplug.command.sensitivity.sensitivity import Cell, Sensitivity
from pruneplug.command.sensitivity.writing import write_scan

__all__ = ["Candidate", "Cell", "Sensitivity", "candidates", "scan", "write_scan"]
