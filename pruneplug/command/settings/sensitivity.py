"""What is found out about a trained model by pruning each of its weights alone."""

from dataclasses import dataclass

from pruneplug.command.settings.checks import require, require_fraction


@dataclass
class SensitivitySettings:
    """What is found out about a trained model by pruning each of its weights alone."""

    sparsities: list[float]
    """At which each weight is pruned; none: no scan."""
    tolerance: float
    """Validation accuracy that a weight alone may cost in the suggestion, as a fraction."""

    def __post_init__(self) -> None:
        fits = all(0 <= sparsity < 1 for sparsity in self.sparsities)
        require(fits, "sensitivity.sparsities", "lie in [0, 1)", self.sparsities)
        require_fraction("sensitivity.tolerance", self.tolerance)
