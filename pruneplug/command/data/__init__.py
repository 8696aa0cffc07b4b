"""The data sets the command offers, one file each, named as in `conf/data/`."""

from pruneplug.command.data.base import Arrays, Splits, split_validation

__all__ = ["Arrays", "Splits", "split_validation"]
