"""Runs side by side: how much can be pruned before it hurts."""

from pruneplug.command.comparison.runs import Run, read_runs
from pruneplug.command.comparison.writing import Report, write_report

__all__ = ["Report", "Run", "read_runs", "write_report"]
