"""The data sets of the command: `from pruneplug.data import digits`."""

from pruneplug.command.data import Arrays, Splits, digits, fashion_mnist, npz, split_validation

__all__ = ["Arrays", "Splits", "digits", "fashion_mnist", "npz", "split_validation"]
