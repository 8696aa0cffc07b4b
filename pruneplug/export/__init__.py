"""What is left of pruning when training is over."""

from pruneplug.export.sizes import Sizes, model_sizes

__all__ = ["Sizes", "model_sizes"]
