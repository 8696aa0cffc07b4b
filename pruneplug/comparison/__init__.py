"""Runs side by side: how much can be pruned before it hurts."""

from pruneplug.comparison.runs import Run, read_runs
from pruneplug.comparison.writing import Report, write_report

__all__ = ["Report", "Run", "read_runs", "write_report"]
