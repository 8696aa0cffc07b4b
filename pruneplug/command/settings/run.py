"""All settings of one run."""

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from pruneplug.command.flat_settings import Param, flatten
from pruneplug.command.settings.allocation import ALLOCATIONS, AllocationSettings
from pruneplug.command.settings.block import BlockSettings
from pruneplug.command.settings.checks import require, require_fraction
from pruneplug.command.settings.data import DATA_SETS, DataSettings
from pruneplug.command.settings.model import MODELS, ModelSettings
from pruneplug.command.settings.optimizer import OPTIMIZERS, OptimizerSettings
from pruneplug.command.settings.policy import POLICIES, PolicySettings
from pruneplug.command.settings.schedule import SCHEDULES, ScheduleSettings
from pruneplug.command.settings.sensitivity import SensitivitySettings
from pruneplug.command.settings.tracking import TRACKING, TrackingSettings
from pruneplug.command.settings.trainer import TrainerSettings
from pruneplug.pruning.schedules import FieldSchedule

# For each group the type of what stands in each of its files.
SCHEMAS: dict[str, Mapping[str, type]] = {
    "model": MODELS,
    "data": DATA_SETS,
    "schedule": SCHEDULES,
    "policy": POLICIES,
    "allocation": ALLOCATIONS,
    "optimizer": OPTIMIZERS,
    "tracking": TRACKING,
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
    model: ModelSettings
    data: DataSettings
    schedule: ScheduleSettings
    block: BlockSettings
    policy: PolicySettings
    allocation: AllocationSettings
    sensitivity: SensitivitySettings
    optimizer: OptimizerSettings
    trainer: TrainerSettings
    tracking: TrackingSettings

    def __post_init__(self) -> None:
        require_fraction("sparsity", self.sparsity)
        require(0 <= self.seed < 2**31, "seed", "lie in [0, 2147483648)", self.seed)
        for group, schemas in SCHEMAS.items():
            name = getattr(self, group).name
            untouched = schemas.get(name) is type(getattr(self, group))
            require(untouched, f"{group}.name", f"stay as {group}=<name> sets it", name)
        self._check_m_by_n()

    def flat(self) -> dict[str, Param]:
        """Return all settings by dotted name, as a tracker's parameters."""
        return flatten(asdict(self))

    @property
    def final_sparsity(self) -> float:
        """The sparsity that the schedule ends at; groups have one of their own."""
        if self.block.m_by_n is None:
            return self.sparsity
        zeros, group = self.block.m_by_n
        return min(self.sparsity, zeros / group)

    def build_schedule(self, planned: int) -> FieldSchedule:
        """Build the schedule of a training of so many steps; warn where its end is not as asked.

        Raises:
            ValueError: If it would end before it begins, or change nothing in these steps.
        """
        if self.final_sparsity < self.sparsity:
            groups = ",".join(map(str, self.block.m_by_n or ()))
            warnings.warn(
                f"block.m_by_n=[{groups}] prunes to {self.final_sparsity:g}, less than the "
                f"sparsity={self.sparsity:g} that is asked for.",
                stacklevel=2,
            )
        return self.schedule.build(self.final_sparsity, planned)

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
