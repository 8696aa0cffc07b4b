"""Which layers of a model take part."""

from __future__ import annotations

from abc import ABC, abstractmethod

import keras


class PruningPolicy(ABC):
    """Decides layer by layer what `prune_low_magnitude` wraps in a model."""

    @abstractmethod
    def allow_pruning(self, layer: keras.layers.Layer) -> bool:
        """Return whether this layer may be pruned."""

    @abstractmethod
    def ensure_model_supports_pruning(self, model: keras.Model) -> None:
        """Raise ValueError when the model does not fit this policy."""
