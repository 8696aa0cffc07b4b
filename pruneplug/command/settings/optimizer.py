"""Which optimizer is used."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pruneplug.command.settings.checks import require, require_fraction, require_positive

if TYPE_CHECKING:
    import keras


@dataclass
class OptimizerSettings(ABC):
    """Which optimizer is used; one subclass for each file of `conf/optimizer`."""

    name: str
    learning_rate: float

    def __post_init__(self) -> None:
        require_positive("optimizer.learning_rate", self.learning_rate)

    @abstractmethod
    def build(self) -> "keras.optimizers.Optimizer":
        """Build the optimizer."""


@dataclass
class AdamSettings(OptimizerSettings):
    """Adam."""

    def build(self) -> "keras.optimizers.Optimizer":
        """Build the optimizer."""
        import keras

        return keras.optimizers.Adam(self.learning_rate)


@dataclass
class SgdSettings(OptimizerSettings):
    """Stochastic gradient descent."""

    momentum: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require_fraction("optimizer.momentum", self.momentum)

    def build(self) -> "keras.optimizers.Optimizer":
        """Build the optimizer."""
        import keras

        return keras.optimizers.SGD(self.learning_rate, self.momentum)


@dataclass
class AdamWSettings(OptimizerSettings):
    """Adam with decoupled weight decay."""

    weight_decay: float

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = self.weight_decay >= 0
        require(fits, "optimizer.weight_decay", "be at least 0", self.weight_decay)

    def build(self) -> "keras.optimizers.Optimizer":
        """Build the optimizer."""
        import keras

        return keras.optimizers.AdamW(self.learning_rate, self.weight_decay)


OPTIMIZERS = {"adam": AdamSettings, "sgd": SgdSettings, "adamw": AdamWSettings}
