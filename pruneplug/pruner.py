"""The engine: told that steps were taken, it updates what is due and says what happened."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras

from pruneplug import masks, registry, variables
from pruneplug.allocation import Allocation, Prunable, UniformAllocation
from pruneplug.patterns import MByN
from pruneplug.schedules import OneShotSparsity, PruningSchedule
from pruneplug.sparsity import PruningEvent, WeightSparsity
from pruneplug.wrapper import PruneLowMagnitude, pruned_layers

# How far ahead a schedule is asked for its next update before the engine looks again.
_HORIZON = 10_000

# What m-by-n masks follow unless they are scheduled: as in TFMOT, their own schedule is ignored.
_AT_STEP_1 = OneShotSparsity(0.0, step=1)


class Pruner:
    """Steps the pruning of a model: what `UpdatePruningStep` does, for a loop of your own.

    After k optimizer steps, the masks are those of all updates due at steps up to k + 1, and the
    weights are sparse.

    Args:
        model: A model from `prune_low_magnitude`.

    Example:
        >>> pruner = Pruner(model)              # doctest: +SKIP
        >>> pruner.start()                      # doctest: +SKIP
        >>> for batch in batches:               # doctest: +SKIP
        ...     train_on(batch)
        ...     pruner.advance()
        >>> pruner.finish()                     # doctest: +SKIP
    """

    def __init__(self, model: keras.Model):
        self._groups = _groups(pruned_layers(model))
        self._stride = 1
        self.step = 0

    @property
    def layers(self) -> list[PruneLowMagnitude]:
        """The pruning wrappers of the model."""
        return [layer for group in self._groups for layer in group.layers]

    @property
    def schedules(self) -> list[PruningSchedule]:
        """The schedules that are asked, each once."""
        return [group.schedule for group in self._groups]

    def start(self, step: int | None = None, stride: int = 1) -> PruningEvent | None:
        """Begin or resume training.

        Args:
            step: Optimizer steps taken so far; by default what the model remembers.
            stride: How many steps are taken between two calls of `advance` at most.

        Returns:
            The update due at step 1, when training begins with one.
        """
        counted = self._counted()
        begins = counted < 0
        self.step = max(counted if step is None else step, 0)
        self._stride = stride
        for layer in self.layers:
            layer.attach()
        self.recall()
        event = self._update(after=self.step) if begins and self.step == 0 else None
        self._plan(self._groups)
        return event

    def recall(self) -> None:
        """Work out, from the step alone, which sparsity the masks were last updated to."""
        step = max(self._counted(), self.step)
        for group in self._groups:
            group.recall(step)

    def advance(self, count: int | None = 1) -> PruningEvent | None:
        """Say that optimizer steps were taken; update the masks that are due.

        Args:
            count: How many, or None for as many as the model itself has counted.

        Returns:
            What changed, or None between updates, when this costs next to nothing.

        Raises:
            FloatingPointError: A weight is NaN or infinite; the masks stay as they were.
        """
        after = self.step + 1
        self.step = self._counted() if count is None else self.step + count
        if count is None and (self.step + 1 - after) % self._stride:
            # A call that was cut short, at an epoch's end, shifts where the next ones end.
            event = self._update(after)
            self._plan(self._groups)
            return event
        if all(group.wake > self.step + 1 for group in self._groups):
            return None
        return self._update(after)

    def next_update(self, until: int) -> int | None:
        """Return the next number of steps, up to `until`, at which `advance` updates masks."""
        due = (next(g.schedule.due_steps(self.step + 1, until + 1), None) for g in self._groups)
        return min((step - 1 for step in due if step is not None), default=None)

    def finish(self) -> None:
        """End training: apply the masks once more and leave the step count in the model."""
        for group in self._groups:
            for layer in group.layers:
                layer.apply_masks()
            group.write_steps(self.step, dense_step=-1)

    def weights(self) -> tuple[WeightSparsity, ...]:
        """Return how sparse each pruned weight is now, by its mask."""
        return tuple(weight for group in self._groups for weight in group.weights())

    def target_reached(self) -> bool:
        """Return whether every weight stands at the sparsity its schedule ends at."""
        return all(group.applied == group.schedule.target for group in self._groups)

    def _counted(self) -> int:
        """Return the optimizer steps counted in the graph; -1 before the first training."""
        # A layer that was frozen for a while has missed some.
        steps = (int(_scalar(layer.pruning_step)) for layer in self.layers if layer.pruning_vars)
        return max(steps, default=-1)

    def _update(self, after: int) -> PruningEvent | None:
        """Make the updates due in (after, step + 1], of several the last, in each group."""
        due: dict[_Group, int] = {}
        for group in self._groups:
            step = max(group.schedule.due_steps(after, self.step + 1), default=None)
            if step is not None:
                due[group] = step
        event = self._make(due) if due else None
        self._plan([group for group in self._groups if group.wake <= self.step + 1])
        return event

    def _make(self, due: Mapping[_Group, int]) -> PruningEvent:
        """Update the masks of each group to what is due in it."""
        # All masks are computed before one is changed: a NaN leaves them as they were.
        updates = {group: group.masks(step) for group, step in due.items()}
        weights: list[WeightSparsity] = []
        for group in self._groups:
            if group in due:
                weights += group.apply(due[group], updates[group])
            else:
                weights += group.weights()
        return PruningEvent(max(due.values()), tuple(weights))

    def _plan(self, groups: Iterable[_Group]) -> None:
        for group in groups:
            group.plan(self.step, self._stride)


class _Group:
    """The layers that share a schedule, and its sparsity among them."""

    def __init__(self, schedule: PruningSchedule, allocation: Allocation):
        self.schedule = schedule
        self.allocation = allocation
        self.layers: list[PruneLowMagnitude] = []
        self.names: list[str] = []
        self.applied = 0.0
        self.wake = 0

    def shares(self, schedule: PruningSchedule, allocation: Allocation) -> bool:
        return self.schedule == schedule and self.allocation == allocation

    def recall(self, step: int) -> None:
        last = max(self.schedule.due_steps(0, step + 1), default=None) if step else None
        self.applied = 0.0 if last is None else self.schedule.sparsity(last)

    def masks(self, step: int) -> list[Any]:
        """Compute the (mask, threshold) due at `step` for each weight, as the weights are."""
        sparsity = self.schedule.sparsity(step)
        pruned = list(self._named())

        def scores(index: int) -> Any:
            layer, _, (weight, *_) = pruned[index]
            return layer.pattern.scores(variables.read(weight))

        weights = [
            Prunable(name, tuple(weight.shape), layer.pattern.units(weight.shape))
            for layer, name, (weight, *_) in pruned
        ]
        target = self.schedule.target
        progress = sparsity / target if target else 1.0
        # Only what the allocation asks for is held for all weights at the same time.
        held: dict[int, Any] = {}
        kept = self.allocation.kept(
            weights, sparsity, progress, lambda i: held.setdefault(i, scores(i))
        )
        return [
            layer.pattern.mask(held.pop(i) if i in held else scores(i), kept[i], weight.shape)
            for i, (layer, _, (weight, *_)) in enumerate(pruned)
        ]

    def apply(self, step: int, updates: Sequence[Any]) -> Iterator[WeightSparsity]:
        """Make `masks(step)` the model's, and return how sparse each weight is then."""
        for (_, _, (_, *held)), new in zip(self._named(), updates, strict=True):
            for variable, value in zip(held, new, strict=True):
                variables.write(variable, value)
        for layer in self.layers:
            layer.apply_masks()
        self.applied = self.schedule.sparsity(step)
        return self._standing(updates)

    def _named(self) -> Iterator[tuple[PruneLowMagnitude, str, tuple[keras.Variable, ...]]]:
        """Yield layer, "<layer>/<weight>" and variables of each weight that trains."""
        for layer, own_name in zip(self.layers, self.names, strict=True):
            for name, of_weight in zip(layer.weight_names, layer.pruning_vars, strict=True):
                if of_weight[0].trainable:
                    yield layer, f"{own_name}/{name}", of_weight

    def plan(self, step: int, stride: int) -> None:
        """Find the next update, and let the optimizer step before it write dense values."""
        due = next(self.schedule.due_steps(step + 1, step + _HORIZON), None)
        self.wake = step + _HORIZON if due is None else due
        calls = -1 if due is None else math.ceil((due - 1 - step) / stride)
        self.write_steps(step, dense_step=-1 if due is None else step + calls * stride)

    def write_steps(self, step: int, dense_step: int) -> None:
        for layer in self.layers:
            if layer.pruning_vars:
                variables.write(layer.pruning_step, step)
                variables.write(layer.step_counter.dense_step, dense_step)

    def weights(self) -> Iterator[WeightSparsity]:
        """Return how sparse each weight is by the mask it has."""
        held = (of_weight[1:] for _, _, of_weight in self._named())
        return self._standing(tuple(map(variables.read, pair)) for pair in held)

    def _standing(self, updates: Iterable[Any]) -> Iterator[WeightSparsity]:
        """Return how sparse each weight is by its (mask, threshold)."""
        for (layer, name, (weight, *_)), new in zip(self._named(), updates, strict=True):
            mask, threshold = new
            kept = masks.count(mask)
            sparsity = 1.0 - kept / math.prod(weight.shape)
            yield WeightSparsity(
                name=name,
                shape=tuple(weight.shape),
                target=self._target(layer, sparsity),
                sparsity=sparsity,
                kept=kept,
                threshold=float(threshold),
            )

    def _target(self, layer: PruneLowMagnitude, sparsity: float) -> float:
        if isinstance(layer.pattern, MByN):
            pattern = layer.pattern
            zeros = pattern.zeros_at(self.applied) if pattern.scheduled else pattern.zeros
            return zeros / pattern.group
        # Any allocation but the plain one sets a weight's share itself, and its mask has it.
        return self.applied if self.allocation == UniformAllocation() else sparsity


def _groups(layers: list[PruneLowMagnitude]) -> list[_Group]:
    groups: list[_Group] = []
    # Layers of nested models may bear the same name.
    names = registry.unique_names([layer.layer.name for layer in layers])
    for layer, name in zip(layers, names, strict=True):
        once = isinstance(layer.pattern, MByN) and not layer.pattern.scheduled
        schedule = _AT_STEP_1 if once else layer.pruning_schedule
        same = (g for g in groups if g.shares(schedule, layer.allocation))
        group = next(same, None) or _Group(schedule, layer.allocation)
        group.layers.append(layer)
        group.names.append(name)
        if group not in groups:
            groups.append(group)
    return groups


def _scalar(variable: keras.Variable) -> float:
    # Under a distribution strategy a variable is no number itself.
    return float(keras.ops.convert_to_numpy(variable))
