"""The data sets the command offers, one file each, named as in `conf/data/`."""

from pruneplug.data.base import Arrays, Splits, split_validation

__all__ = ["Arrays", "Splits", "split_validation"]
