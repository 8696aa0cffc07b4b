"""The law: the masks are those of the schedule at the steps taken, or a warning says they are not.

Worked out anew from the reference's rules, without the engine: from the schedule's answers step by
step, and from the variables of the model.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import combinations
from typing import Any

import keras
import numpy as np

from pruneplug import PruneLowMagnitude
from pruneplug.pruning.allocation import GlobalAllocation, Prunable, UniformAllocation
from pruneplug.pruning.patterns import Block, MByN
from pruneplug.pruning.schedules import OneShotSparsity, PruningSchedule
from pruneplug.pruning.wrapper import pruned_layers

# Steps that no engine saw are counted beyond this.
SEEN = 2**40
FAR = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Weight:
    """A pruned weight as it stands."""

    name: str
    wrapper: PruneLowMagnitude
    variable: keras.Variable
    mask: np.ndarray

    @property
    def values(self) -> np.ndarray:
        return np.array(self.variable)

    @property
    def kept(self) -> int:
        return int(self.mask.sum())

    @property
    def prunable(self) -> Prunable:
        return Prunable(self.name, self.mask.shape, self.wrapper.pattern.units(self.mask.shape))

    @property
    def noted_steps(self) -> list[int]:
        """The updates that the masks of its layer say they are of."""
        return [int(keras.ops.convert_to_numpy(u)[0]) for u in self.wrapper.pruning_updates]

    def units_kept(self) -> int:
        """Count what is decided on; -1 if a block is kept in part."""
        pattern = self.wrapper.pattern
        if not isinstance(pattern, Block):
            return self.kept
        rows, columns = pattern.size
        blocks = [
            self.mask[i : i + rows, j : j + columns]
            for i in range(0, self.mask.shape[0], rows)
            for j in range(0, self.mask.shape[1], columns)
        ]
        whole = all(block.all() or not block.any() for block in blocks)
        return sum(bool(block.all()) for block in blocks) if whole else -1


@dataclass(frozen=True)
class Group:
    """The weights that follow one schedule together."""

    schedule: PruningSchedule
    weights: list[Weight]

    @property
    def target(self) -> float | None:
        """The sparsity that the schedule ends at; None if it does not state it."""
        return None if self.schedule.target is None else float(self.schedule(FAR)[1])

    @property
    def trained(self) -> list[Weight]:
        return [weight for weight in self.weights if weight.variable.trainable]

    @property
    def frozen(self) -> list[Weight]:
        return [weight for weight in self.weights if not weight.variable.trainable]

    @property
    def sparsity(self) -> float:
        """The fraction of zeros in what trains."""
        kept = sum(weight.kept for weight in self.trained)
        size = sum(weight.mask.size for weight in self.trained)
        return 1 - kept / size if size else 0.0

    def asked_at(self, due: int) -> float:
        return float(self.schedule(due)[1]) if due else 0.0

    def stands_at(self, due: int) -> bool:
        """Return whether the masks of what trains are those of the update at a step (0: none)."""
        if not due:
            return all(weight.mask.all() for weight in self.trained)
        sparsity = self.asked_at(due)
        if isinstance(self.trained[0].wrapper.pattern, MByN):
            return all(_groups_are_exact(weight, sparsity) for weight in self.trained)
        # Weights that were frozen since were updated together with those that still train.
        together = (
            [*self.trained, *others]
            for count in range(len(self.frozen) + 1)
            for others in combinations(self.frozen, count)
        )
        return any(self._counts_are_exact(weights, sparsity) for weights in together)

    def _counts_are_exact(self, weights: Sequence[Weight], sparsity: float) -> bool:
        kept = [weight.units_kept() for weight in weights]
        prunable = [weight.prunable for weight in weights]
        allocation = weights[0].wrapper.allocation
        if isinstance(allocation, GlobalAllocation):
            total = _kept(sum(weight.units for weight in prunable), sparsity)
            shares = _overridden(weights)
            # With a share for each of them the total follows from those.
            held = len(shares) == len(weights) or sum(kept) == total
            return min(kept) >= 1 and held and self._are_exact(shares, sparsity)
        progress = sparsity / self.target if self.target else 1.0
        return kept == allocation.kept(prunable, sparsity, progress, lambda _: np.zeros(0))

    def _are_exact(self, shares: dict[Weight, float], sparsity: float) -> bool:
        """Return whether each weight keeps what its own share leaves it."""
        return all(
            weight.units_kept() == _kept(weight.prunable.units, share * sparsity / self.target)
            for weight, share in shares.items()
        )


def _overridden(weights: Sequence[Weight]) -> dict[Weight, float]:
    """Return the shares that an allocation gives by name."""
    return {
        weight: share
        for weight in weights
        for pattern, share in weights[0].wrapper.allocation.overrides.items()
        if fnmatch(weight.name.split("/")[0], pattern)
    }


def _kept(units: int, sparsity: float) -> int:
    return max(int(np.rint(np.float32(units) * (np.float32(1) - np.float32(sparsity)))), 1)


def _groups_are_exact(weight: Weight, sparsity: float) -> bool:
    """Return whether every n values along the inputs keep as many as they must."""
    pattern = weight.wrapper.pattern
    zeros = pattern.zeros
    if pattern.scheduled:
        zeros = min(round(pattern.group * sparsity), zeros)
    kept = [
        weight.mask[i : i + pattern.group].sum(0)
        for i in range(0, weight.mask.shape[0], pattern.group)
    ]
    rest = len(weight.mask) % pattern.group or pattern.group
    most = pattern.group - zeros
    return bool(np.all(np.array(kept[:-1]) == most) and np.all(kept[-1] == min(rest, most)))


def groups(model: keras.Model) -> list[Group]:
    """Group the pruned weights of a model by schedule and allocation."""
    found: dict[Any, Group] = {}
    for wrapper in pruned_layers(model):
        schedule, allocation = wrapper.pruning_schedule, wrapper.allocation
        pattern = wrapper.pattern
        if isinstance(pattern, MByN) and not pattern.scheduled:
            # Its masks come once, at step 1, whatever the schedule.
            schedule, allocation = OneShotSparsity(0.5, 1), UniformAllocation()
        key = (type(schedule), str(schedule.get_config()), allocation)
        group = found.setdefault(key, Group(schedule, []))
        for name, (variable, mask, _) in zip(
            wrapper.weight_names, wrapper.pruning_vars, strict=True
        ):
            mask_values = np.array(keras.ops.convert_to_numpy(mask), bool)
            group.weights.append(
                Weight(f"{wrapper.layer.name}/{name}", wrapper, variable, mask_values)
            )
    return list(found.values())


def steps_taken(model: keras.Model) -> int:
    """Return the steps that the model was trained for with an engine."""
    counts = [int(wrapper.pruning_step) + 1 for wrapper in pruned_layers(model)]
    return max(max((count % SEEN for count in counts), default=0) - 1, 0)


def last_due(schedule: PruningSchedule, until: int) -> int:
    """Return the last step up to `until` at which an update is due, 0 if there is none."""
    return max((step for step in range(1, until + 1) if schedule(step)[0]), default=0)


def check_masks(model: keras.Model, early: int = 0) -> Iterator[tuple[Group, int]]:
    """Assert the law of the masks; yield each group that trains and the update it stands at.

    Args:
        model: A pruned model after a call of the engine.
        early: How many steps before the last one an update may be made.
    """
    step = steps_taken(model)
    for group in groups(model):
        for weight in group.weights:
            wrong = np.flatnonzero(weight.values[~weight.mask])
            assert not wrong.size, f"{weight.name} is not zero where it is masked"
        if not group.trained:
            continue
        dues = sorted({last_due(group.schedule, step + 1 + i) for i in range(early + 1)})
        standing = [due for due in dues if group.stands_at(due)]
        assert standing, (
            f"after {step} steps the masks must be those of {group.schedule!r} at {dues}; "
            f"kept: {[(weight.name, weight.kept) for weight in group.weights]}"
        )
        # Where rounding makes the masks of several updates alike, they say which one they are of.
        noted = {step for weight in group.trained for step in weight.noted_steps}
        yield group, next((due for due in standing if due in noted), standing[-1])


@dataclass(frozen=True)
class Said:
    """A warning of a missed target."""

    text: str

    def of(self, target: float) -> list[float]:
        """Return the sparsity reached, if a target is the one that was missed."""
        found = re.findall(r"sparsity (?:of|stays at) ([\d.]+) instead of ([\d.]+\d)", self.text)
        return [float(reached) for reached, of in found if float(of) == target]

    @property
    def is_forecast(self) -> bool:
        return "stand at" not in self.text


def check_said(
    standing: Sequence[tuple[Group, int]],
    now: Sequence[Said],
    before: Sequence[Said],
    forecasts_hold: bool,
) -> None:
    """Assert the law of the warnings at an end: a missed target is said, a reached one is not.

    Args:
        standing: The groups that train, and the updates they stand at.
        now: What was said since the last end.
        before: What was said before, of the same model.
        forecasts_hold: Whether what was planned is what happened.
    """
    for group, due in standing:
        if group.target is None:
            continue
        target = round(group.target, 4)
        if group.asked_at(due) == group.target:
            wrong = [
                said.text
                for said in now
                if said.of(target) and (forecasts_hold or not said.is_forecast)
            ]
            assert not wrong, f"the target {target} is reached, yet: {wrong}"
            continue
        # What was asked of the masks, or what they have of it in whole values.
        missing = min(abs(s - target) for s in (group.sparsity, group.asked_at(due)))
        told = [abs(reached - target) for s in [*before, *now] for reached in s.of(target)]
        # Not again when it has come nearer since.
        assert any(missing <= other + 0.0101 for other in told), (
            f"{group.sparsity:.4f} of {target} was not said; missing were {told}"
        )


def check_average(optimizer: Any, model: keras.Model) -> None:
    """Assert that the moving averages of masked weights are zero."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not (optimizer.use_ema and optimizer.built):
        return
    averages = zip(
        optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True
    )
    held = {id(variable): average for variable, average in averages}
    for group in groups(model):
        for weight in group.trained:
            if (average := held.get(id(weight.variable))) is not None:
                assert not np.any(np.array(average)[~weight.mask]), f"average of {weight.name}"
