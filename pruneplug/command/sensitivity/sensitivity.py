"""What a scan has measured, and what it suggests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """One weight pruned alone.

    Args:
        weight: "<layer>/<weight>".
        asked: The sparsity asked for, in [0, 1).
        sparsity: The fraction of zeros it came to, in [0, 1).
        accuracy: Of the model with this weight pruned.
    """

    weight: str
    asked: float
    sparsity: float
    accuracy: float


@dataclass(frozen=True)
class Sensitivity:
    """A scan of a model.

    Args:
        baseline: Accuracy of the model as it was trained.
        cells: A cell for each weight and sparsity.
    """

    baseline: float
    cells: Sequence[Cell]

    @property
    def weights(self) -> list[str]:
        """The weights, in the order of the model."""
        return list(dict.fromkeys(cell.weight for cell in self.cells))

    @property
    def sparsities(self) -> list[float]:
        """The sparsities asked for, ascending."""
        return sorted({cell.asked for cell in self.cells})

    def drop(self, cell: Cell) -> float:
        """Return the accuracy that a cell has lost; below 0 if it has gained."""
        return self.baseline - cell.accuracy

    def suggest(self, tolerance: float) -> dict[str, float]:
        """Return the highest sparsity of each weight up to which no more is lost than tolerated.

        Weights are scanned one at a time: pruned together, and trained on, they behave
        differently. It is a start, not an optimum.

        Args:
            tolerance: Accuracy that each weight alone may cost, as a fraction.
        """
        return {weight: self._highest(weight, tolerance) for weight in self.weights}

    def _highest(self, weight: str, tolerance: float) -> float:
        highest = 0.0
        own = [cell for cell in self.cells if cell.weight == weight]
        for cell in sorted(own, key=lambda cell: cell.asked):
            if self.drop(cell) > tolerance:
                break
            highest = cell.asked
        return highest
