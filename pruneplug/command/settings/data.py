"""Which data set is used."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pruneplug.command.settings.checks import require

if TYPE_CHECKING:
    from pruneplug.command.data import Splits


@dataclass
class DataSettings(ABC):
    """Which data set is used; one subclass for each file of `conf/data`."""

    name: str
    validation: float
    """Share of the training examples set aside for validation, in (0, 1)."""

    def __post_init__(self) -> None:
        fits = 0 < self.validation < 1
        require(fits, "data.validation", "lie between 0 and 1", self.validation)

    @abstractmethod
    def build(self, seed: int) -> "Splits":
        """Load the data set; the seed chooses its validation part.

        Raises:
            OSError: If a file is missing.
            ValueError: If a file is malformed.
        """


@dataclass
class DigitsSettings(DataSettings):
    """The 1,797 bundled 8x8 digits of scikit-learn."""

    def build(self, seed: int) -> "Splits":
        """Load the digits."""
        from pruneplug.command.data import digits

        return digits.load(self.validation, seed)


@dataclass
class FashionMnistSettings(DataSettings):
    """Fashion-MNIST: 70,000 images of 28x28."""

    path: str | None
    """Folder with the four IDX .gz files; None: where Debian's package puts them."""

    def build(self, seed: int) -> "Splits":
        """Load the images."""
        from pruneplug.command.data import fashion_mnist

        return fashion_mnist.load(self.path, self.validation, seed)


@dataclass
class NpzSettings(DataSettings):
    """Arrays `x_train, y_train, x_test, y_test` of a NumPy .npz file."""

    path: str
    scale: float | None
    """Factor on the inputs; None: 1/255 for bytes, 1 for anything else."""

    def build(self, seed: int) -> "Splits":
        """Load the arrays."""
        from pruneplug.command.data import npz

        return npz.load(self.path, self.validation, seed, self.scale)


DATA_SETS = {
    "digits": DigitsSettings,
    "fashion_mnist": FashionMnistSettings,
    "npz": NpzSettings,
}
