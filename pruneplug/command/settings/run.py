"""All settings of one run."""

from dataclasses import asdict, dataclass, fields
from typing import Any, TypeAlias

from pruneplug.command.settings import groups, pruning
from pruneplug.command.settings.checks import require, require_fraction

Param: TypeAlias = str | int | float | bool

# One row for each YAML file with settings of its own: group, name, and the type of its content.
SCHEMAS: dict[str, dict[str, type]] = {
    "model": {
        "mlp": groups.MlpSettings,
        "cnn": groups.CnnSettings,
        "resnet": groups.ResnetSettings,
        "saved": groups.SavedSettings,
    },
    "data": {
        "digits": groups.DigitsSettings,
        "fashion_mnist": groups.FashionMnistSettings,
        "npz": groups.NpzSettings,
    },
    "schedule": {
        "constant": pruning.ConstantSettings,
        "polynomial": pruning.PolynomialSettings,
        "linear": pruning.RampSettings,
        "exponential": pruning.RampSettings,
        "cosine": pruning.RampSettings,
        "one_shot": pruning.OneShotSettings,
        "multi_step": pruning.MultiStepSettings,
    },
    "policy": {
        "all": pruning.PolicySettings,
        "skip": pruning.PolicySettings,
        "xnnpack": pruning.PolicySettings,
        "keep_ends": pruning.KeepEndsSettings,
        "by_name": pruning.ByNameSettings,
    },
    "allocation": {
        "uniform": pruning.AllocationSettings,
        "global": pruning.AllocationSettings,
        "erk": pruning.AllocationSettings,
    },
    "optimizer": {
        "adam": groups.AdamSettings,
        "sgd": groups.SgdSettings,
        "adamw": groups.AdamWSettings,
    },
    "tracking": {
        "mlflow": groups.MlflowSettings,
        "journal": groups.TrackingSettings,
        "none": groups.TrackingSettings,
    },
}


@dataclass
class Settings:
    """Everything one run needs.

    Raises:
        ValueError: If a value is out of its range.
    """

    sparsity: float
    """Fraction of zeros at the end of the schedule, in [0, 1); 0 trains the dense baseline."""
    seed: int
    model: groups.ModelSettings
    data: groups.DataSettings
    schedule: pruning.ScheduleSettings
    block: pruning.BlockSettings
    policy: pruning.PolicySettings
    allocation: pruning.AllocationSettings
    sensitivity: pruning.SensitivitySettings
    optimizer: groups.OptimizerSettings
    trainer: groups.TrainerSettings
    tracking: groups.TrackingSettings

    def __post_init__(self) -> None:
        require_fraction("sparsity", self.sparsity)
        require(0 <= self.seed < 2**31, "seed", "lie in [0, 2147483648)", self.seed)
        for group, schemas in SCHEMAS.items():
            name = getattr(self, group).name
            untouched = schemas.get(name) is type(getattr(self, group))
            require(untouched, f"{group}.name", f"stay as {group}=<name> sets it", name)
        self._check_m_by_n()

    def _check_m_by_n(self) -> None:
        """Refuse what has no effect beside groups, above all where they are pruned at once."""
        pattern, allocation = self.block.m_by_n, self.allocation
        scanned = self.sensitivity.sparsities
        rule = "be [] beside block.m_by_n, whose groups have one sparsity"
        require(pattern is None or not scanned, "sensitivity.sparsities", rule, scanned)
        if pattern is None or self.block.scheduled or self.sparsity == 0:
            return
        rule = f"beside block.m_by_n={pattern}, unless block.scheduled=true"
        uniform = allocation.name == "uniform"
        require(uniform, "allocation", f"be uniform {rule}", allocation.name)
        plain, given = not allocation.overrides, allocation.overrides
        require(plain, "allocation.overrides", f"be null {rule}; a policy leaves layers out", given)
        share = pattern[0] / pattern[1]
        fits = self.sparsity >= share
        require(fits, "sparsity", f"be 0, or at least {share:g} {rule}", self.sparsity)


def options(group: Any) -> dict[str, Any]:
    """Return a group's settings without its name, as keyword arguments for what it configures."""
    return {field.name: getattr(group, field.name) for field in fields(group)[1:]}


def flatten(settings: Settings) -> dict[str, Param]:
    """List all settings by dotted name, e.g. `trainer.epochs`, as a tracker's parameters."""
    flat: dict[str, Param] = {}
    for key, value in asdict(settings).items():
        leaves = value.items() if isinstance(value, dict) else ((None, value),)
        for name, leaf in leaves:
            plain = leaf if isinstance(leaf, str | int | float | bool) else str(leaf)
            flat[f"{key}.{name}" if name else key] = plain
    return flat
