"""The weights that follow one schedule together: what is due in them, and doing it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from pruneplug.pruning import masks, variables
from pruneplug.pruning.allocation import Allocation, Prunable, UniformAllocation
from pruneplug.pruning.masked_layer import last_update, update_mark
from pruneplug.pruning.patterns import MByN
from pruneplug.pruning.ranking import kept_count
from pruneplug.pruning.schedules import PruningSchedule, are_alike
from pruneplug.pruning.schedules.reach import at_target, computes_steps, last_due, sparsity_at
from pruneplug.pruning.sparsity import WeightSparsity
from pruneplug.pruning.wrapper import PruneLowMagnitude

# How far ahead the next update is looked for: a schedule that computes its steps answers for many
# at once, another is asked no earlier than it must be.
_HORIZON = 10_000

# No step: nothing was looked at yet.
_UNKNOWN = -2


@dataclass(frozen=True, eq=False)
class PrunedWeight:
    """One pruned weight of a model, and the variables that say how it is pruned."""

    name: str
    layer: PruneLowMagnitude
    weight: keras.Variable
    mask: keras.Variable
    threshold: keras.Variable
    update: keras.Variable

    @property
    def update_step(self) -> int:
        """The schedule's step at which the mask was last updated; 0 before the first time."""
        return int(variables.read(self.update)[0])

    @property
    def standing_step(self) -> int:
        """The same, but 0 for a mask that no update has left as it is."""
        return last_update(self.mask, self.update, self.layer.mask_schedule)

    @property
    def prunable(self) -> Prunable:
        """What an allocation knows of it."""
        shape = tuple(self.weight.shape)
        return Prunable(self.name, shape, self.layer.pattern.units(shape))

    def scores(self) -> Any:
        """Return what its units are judged by."""
        return self.layer.pattern.scores(variables.read(self.weight))


@dataclass(eq=False)
class Cohort:
    """Weights that have their schedule and allocation in common.

    Attributes:
        due: The next update that is known of, None if it lies beyond what was looked at.
        at: After so many steps it is made, or the schedule is asked again.
        dense_step: The last step of the call in which it is made, which leaves weights dense; -1
            if none does, -2 before the first look.
    """

    schedule: PruningSchedule
    allocation: Allocation
    weights: list[PrunedWeight] = field(default_factory=list)
    due: int | None = None
    at: int = 0
    dense_step: int = _UNKNOWN
    _empty: tuple[int, int] = (0, 0)

    @property
    def trained(self) -> list[PrunedWeight]:
        """The weights that train; the others are left alone."""
        return [weight for weight in self.weights if weight.weight.trainable]

    @property
    def layers(self) -> list[PruneLowMagnitude]:
        """The layers of the weights, each once."""
        return list({id(weight.layer): weight.layer for weight in self.weights}.values())

    def behind(self, step: int, thorough: bool) -> tuple[int, list[PrunedWeight]] | None:
        """Return the last update due up to `step`, and the weights that it is still to be made in.

        Args:
            step: One more than the steps taken, or the step of an update that is made early.
            thorough: Whether to count the masks too: weights may have been loaded or averaged.
        """
        trained = self.trained
        standing = {w: w.standing_step if thorough else w.update_step for w in trained}
        due = last_due(self.schedule, min(standing.values(), default=step), step)
        late = [weight for weight in trained if due is not None and standing[weight] < due]
        if due is None or not late:
            return None
        return due, trained if self._shares_total else late

    def masks(self, step: int, weights: Sequence[PrunedWeight]) -> list[Any]:
        """Compute the (mask, threshold) due at `step` for each of the weights, as they are."""
        prunable = [weight.prunable for weight in weights]
        sparsity = self.schedule.sparsity(step)
        # Only what the allocation asks for is held for all weights at the same time.
        held: dict[int, Any] = {}

        def scores(index: int) -> Any:
            return held.setdefault(index, weights[index].scores())

        kept = self.allocation.kept(prunable, sparsity, self._progress(sparsity), scores)
        return [
            weight.layer.pattern.mask(
                held.pop(i) if i in held else weight.scores(), kept[i], weight.weight.shape
            )
            for i, weight in enumerate(weights)
        ]

    def apply(self, step: int, weights: Sequence[PrunedWeight], updates: Sequence[Any]) -> None:
        """Make the masks due at `step` the model's."""
        asked = self.schedule.sparsity(step)
        for weight, (mask, threshold) in zip(weights, updates, strict=True):
            variables.write(weight.mask, mask)
            variables.write(weight.threshold, threshold)
            variables.write(weight.update, update_mark(step, asked, masks.count(mask)))
        for layer in self.layers:
            layer.apply_masks()

    def look_ahead(self, step: int, stride: int, last_write: Callable[[int], int]) -> None:
        """Find the next update, and the step before it that leaves the weights dense.

        Args:
            step: Steps taken so far.
            stride: Steps that are taken between two looks at the pruning.
            last_write: Returns the last step up to a given one that changes weights: only every
                n-th does while gradients are accumulated, and only then can a weight come back.
        """
        made = max((weight.update_step for weight in self.trained), default=0)
        ahead = _HORIZON if computes_steps(self.schedule) else stride
        self.due = self._first_due(max(step + 1, made), step + 1 + ahead)
        if self.due is None:
            self.at, self.dense_step = step + ahead, -1
        else:
            self.at = max(last_write(self.due - 1), step + 1)
            self.dense_step = step + math.ceil((self.at - step) / stride) * stride

    def next_at(self, step: int, until: int) -> int | None:
        """Return after how many steps, up to `until`, the next update is made."""
        if self.due is None:
            due = self._first_due(max(step, self.at) + 1, until + 1)
            return None if due is None else due - 1
        return self.at if self.at <= until else None

    def at_target(self) -> bool:
        """Return whether every weight that trains has been updated to the schedule's target."""
        return all(at_target(self.schedule, weight.standing_step) for weight in self.trained)

    def asked(self) -> float:
        """Return the lowest sparsity that was asked of the mask of a weight that trains."""
        return min(sparsity_at(self.schedule, weight.standing_step) for weight in self.trained)

    def standing(self) -> Iterator[WeightSparsity]:
        """Return how sparse each weight that trains is, by its mask."""
        for weight in self.trained:
            kept = masks.count(variables.read(weight.mask))
            shape = tuple(weight.weight.shape)
            sparsity = 1.0 - kept / math.prod(shape)
            asked = sparsity_at(self.schedule, weight.update_step)
            yield WeightSparsity(
                name=weight.name,
                shape=shape,
                target=self._target(weight, sparsity, asked),
                sparsity=sparsity,
                kept=kept,
                threshold=float(variables.read(weight.threshold)),
            )

    def targets(self) -> dict[str, float]:
        """Return the sparsity that each weight which trains ends at, as far as that is known."""
        final = self.schedule.target
        return {
            weight.name: now.target if final is None else self._target(weight, now.sparsity, final)
            for weight, now in zip(self.trained, self.standing(), strict=True)
        }

    @property
    def _shares_total(self) -> bool:
        return self.allocation != UniformAllocation()

    def _progress(self, sparsity: float) -> float:
        target = self.schedule.target
        return sparsity / target if target else 1.0

    def _target(self, weight: PrunedWeight, sparsity: float, asked: float) -> float:
        pattern = weight.layer.pattern
        if isinstance(pattern, MByN) and pattern.scheduled and not self._shares_total:
            prunable = weight.prunable
            kept = kept_count(prunable.units, asked)
            return pattern.zeros_for(kept, prunable.shape) / pattern.group
        # Any allocation but the plain one sets a weight's share itself, and its mask has it.
        return sparsity if self._shares_total else asked

    def _first_due(self, after: int, until: int) -> int | None:
        """Return the first due step in (after, until]; what is known to be empty is not asked."""
        begin, end = self._empty
        known = begin <= after <= end
        start = end if known else after
        due = next(self.schedule.due_steps(start, until), None) if start < until else None
        self._empty = (begin if known else after, max(start, until if due is None else due - 1))
        return due


def cohorts(layers: Iterable[tuple[str, PruneLowMagnitude]]) -> list[Cohort]:
    """Group the weights of pruning wrappers, given with their names, by what they follow."""
    found: list[Cohort] = []
    for name, layer in layers:
        schedule, allocation = layer.mask_schedule, layer.allocation
        if isinstance(layer.pattern, MByN) and not layer.pattern.scheduled:
            allocation = UniformAllocation()  # the pattern alone says how much of each is kept
        same = (c for c in found if c.allocation == allocation and are_alike(c.schedule, schedule))
        cohort = next(same, None)
        if cohort is None:
            cohort = Cohort(schedule, allocation)
            found.append(cohort)
        pruned = zip(layer.weight_names, layer.pruning_vars, layer.pruning_updates, strict=True)
        cohort.weights += [
            PrunedWeight(f"{name}/{own}", layer, *of_weight, update)
            for own, of_weight, update in pruned
        ]
    return found


def regrouped(
    before: list[Cohort], layers: Sequence[tuple[str, PruneLowMagnitude]]
) -> list[Cohort]:
    """Group layers that may have been grouped before.

    If they are the same their plans stay: the last step may have left the weights dense, and owe an
    update. Only which step does so next is to be told to the model again.
    """
    if {id(layer) for _, layer in layers} != {id(x) for c in before for x in c.layers}:
        return cohorts(layers)
    for cohort in before:
        cohort.dense_step = _UNKNOWN
    return before
