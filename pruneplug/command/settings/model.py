"""Which network is trained."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pruneplug.command.settings.checks import (
    require,
    require_count,
    require_counts,
    require_fraction,
)

if TYPE_CHECKING:
    import keras

    from pruneplug.command.data import Splits


@dataclass
class ModelSettings(ABC):
    """Which network is trained; one subclass for each file of `conf/model`."""

    name: str

    def build(self, splits: "Splits") -> "keras.Model":
        """Build or load the network and check that it fits the data.

        Raises:
            OSError: If a file is missing.
            ValueError: If a file is malformed or the network does not fit the data.
        """
        from pruneplug.command.models import check_output

        model = self._build(splits.input_shape, splits.num_classes)
        check_output(model, splits)
        return model

    @abstractmethod
    def _build(self, shape: tuple[int, ...], classes: int) -> "keras.Model":
        """Build or load the network."""


@dataclass
class MlpSettings(ModelSettings):
    """A fully connected network."""

    hidden: list[int]
    """Units of each hidden layer."""
    dropout: float
    """Share of each hidden layer's outputs dropped in training, in [0, 1)."""

    def __post_init__(self) -> None:
        require_counts("model.hidden", self.hidden)
        require_fraction("model.dropout", self.dropout)

    def _build(self, shape: tuple[int, ...], classes: int) -> "keras.Model":
        from pruneplug.command.models import mlp

        return mlp.build(shape, classes, self.hidden, self.dropout)


@dataclass
class CnnSettings(ModelSettings):
    """A small convolutional network."""

    filters: list[int]
    """Filters of each convolution."""
    hidden: int
    """Units of the dense layer behind the convolutions."""
    dropout: float
    """Share of that layer's inputs dropped in training, in [0, 1)."""

    def __post_init__(self) -> None:
        require_counts("model.filters", self.filters)
        require_count("model.hidden", self.hidden)
        require_fraction("model.dropout", self.dropout)

    def _build(self, shape: tuple[int, ...], classes: int) -> "keras.Model":
        from pruneplug.command.models import cnn

        return cnn.build(shape, classes, self.filters, self.hidden, self.dropout)


@dataclass
class ResnetSettings(ModelSettings):
    """A small residual network."""

    filters: list[int]
    """Filters of each stage; at least one stage."""
    blocks: int
    """Residual blocks in every stage."""

    def __post_init__(self) -> None:
        require(bool(self.filters), "model.filters", "name at least one stage", self.filters)
        require_counts("model.filters", self.filters)
        require_count("model.blocks", self.blocks)

    def _build(self, shape: tuple[int, ...], classes: int) -> "keras.Model":
        from pruneplug.command.models import resnet

        return resnet.build(shape, classes, self.filters, self.blocks)


@dataclass
class SavedSettings(ModelSettings):
    """A model read from a `.keras` file."""

    path: str

    def _build(self, shape: tuple[int, ...], classes: int) -> "keras.Model":
        from pruneplug.command.models import saved

        return saved.load(self.path)


MODELS = {
    "mlp": MlpSettings,
    "cnn": CnnSettings,
    "resnet": ResnetSettings,
    "saved": SavedSettings,
}
