"""A layer that carries the masks of another one: makes, enforces, saves and loads them."""

from __future__ import annotations

import weakref
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from pruneplug.pruning import masks, variables
from pruneplug.pruning.constraint import MaskConstraint, StepCounter, warn_of_unseen
from pruneplug.pruning.layer_proxy import StandIn
from pruneplug.pruning.schedules import PruningSchedule


class MaskedLayer(StandIn):
    """Stands in the place of a layer, and holds the masks of its weights.

    Args:
        layer: The layer.
        **kwargs: Arguments of `keras.layers.Layer`.

    Attributes:
        pruning_vars: (weight, mask, threshold) of each pruned weight; masks hold 1 where the
            weight is kept.
        pruning_updates: For each pruned weight the schedule's step at which its mask was last
            updated, the sparsity asked for then, in 1e-12, and how many values it has kept
            since; all 0 before the first update.
        pruning_step: Training steps taken so far; -1 before the first training.
    """

    step_counter: StepCounter

    def __init__(self, layer: keras.layers.Layer, **kwargs: Any):
        super().__init__(layer, **kwargs)
        self.pruning_vars: list[tuple[keras.Variable, keras.Variable, keras.Variable]] = []
        self.pruning_updates: list[keras.Variable] = []
        # Shared by the wrappers that have the same masks in several models.
        self._engine: weakref.WeakSet[Any] = weakref.WeakSet()

    @abstractmethod
    def target_reached(self) -> bool:
        """Return whether the masks of what trains have the sparsity that was asked for."""

    @abstractmethod
    def recall_updates(self) -> None:
        """Work out which update each mask stands at, for models of 0.1.0, which did not say."""

    def carry_masks(self, weights: Sequence[tuple[str, keras.Variable]]) -> None:
        """Give each of some weights, named, a mask, and enforce it."""
        self.pruning_step = variables.as_count(self._state("pruning_step", (), "int64", initial=-1))
        self.step_counter = StepCounter(
            self.pruning_step, int(self.engine is not None), self._may_train
        )
        # Keras lists variables by whether they train when it first sees them: the order of a
        # model's weights must not depend on what was frozen then.
        with variables.thawed([weight for _, weight in weights]):
            self.pruning_vars = [self._prunable(name, weight) for name, weight in weights]
        # Created last, so that files of 0.1.0, which lack them, hold the others in their places.
        self.pruning_updates = [
            self._state(f"{name.replace('/', '_')}_update", (3,), "int64", initial=0)
            for name, _ in weights
        ]
        self.attach()

    def _prunable(
        self, name: str, weight: keras.Variable
    ) -> tuple[keras.Variable, keras.Variable, keras.Variable]:
        name = name.replace("/", "_")
        mask = self._state(f"{name}_mask", weight.shape, "bool", initial=True)
        mask = variables.mask_taken_as(mask, weight.dtype)
        return weight, mask, self._state(f"{name}_threshold", (), weight.dtype, initial=0.0)

    def _state(self, name: str, shape: Sequence[int], dtype: str, initial: Any) -> keras.Variable:
        variable = self.add_weight(
            name=name,
            shape=shape,
            dtype=dtype,
            initializer=lambda shape, dtype: ops.full(shape, initial, dtype),
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
        )
        # TensorFlow's checkpoints hold what attributes hold, and leave lists out.
        setattr(self, f"pruning_{name.removeprefix('pruning_')}", variable)
        return variable

    def attach(self) -> None:
        """Enforce the masks; again after `strip_pruning` has taken them off shared weights."""
        # The optimizer writes only weights that train, so one of those has to count the steps.
        counting = next((weight for weight, *_ in self.pruning_vars if weight.trainable), None)
        for weight, mask, _ in self.pruning_vars:
            held = weight.constraint
            if isinstance(held, MaskConstraint):
                if held.mask is mask:
                    held.counts = weight is counting
                    continue
                held = held.inner
            weight.constraint = MaskConstraint(
                mask, self.step_counter, counts=weight is counting, inner=held
            )

    def detach(self) -> None:
        """Give the weights back their own constraints."""
        for weight, mask, _ in self.pruning_vars:
            if isinstance(weight.constraint, MaskConstraint) and weight.constraint.mask is mask:
                weight.constraint = weight.constraint.inner

    def apply_masks(self) -> None:
        """Set the masked weights to zero now, and their moving averages with them."""
        for weight, mask, _ in self.pruning_vars:
            variables.write_masked(weight, mask)
            average = getattr(weight.constraint, "average", None)
            if average is not None:
                variables.write_masked(average, mask)

    @property
    def prunable_weights(self) -> list[keras.Variable]:
        """The pruned weights, once they are built."""
        return [weight for weight, *_ in self.pruning_vars]

    @property
    def engine(self) -> Any:
        """The engine that steps the pruning now, None if none does."""
        return next(iter(self._engine), None)

    @engine.setter
    def engine(self, engine: Any) -> None:
        # An engine that is gone steps nothing, whether or not it was told to finish.
        self._engine.clear()
        if engine is not None:
            self._engine.add(engine)

    def _may_train(self) -> bool:
        return self.engine is not None or self.target_reached()

    def save_own_variables(self, store: Any) -> None:
        """Save masks, thresholds and steps, not those of a step whose update is still to come."""
        # A callback may save between the step that is left dense and its update.
        if self.engine is not None:
            self.engine.catch_up()
        elif self.pruning_vars:
            warn_of_unseen([self.step_counter])
        # The weights themselves are the layer's to save.
        for index, variable in enumerate([*self._mask_variables, *self.pruning_updates]):
            store[f"{index}"] = variables.read(variable)

    def load_own_variables(self, store: Any) -> None:
        """Load masks, thresholds and steps, also from files of 0.1.0.

        Those hold the weights too, before and behind, and don't say which update a mask stands at.
        """
        held, updates = self._mask_variables, self.pruning_updates
        values = [store[f"{index}"] for index in range(len(store.keys()))]
        first = next((i for i, value in enumerate(values) if value.shape == ()), 0)
        if len(values) < first + len(held):
            super().load_own_variables(store)  # says what does not fit
            return
        for variable, value in zip(held, values[first:], strict=False):
            variable.assign(value)
        behind = values[first + len(held) :]
        if len(behind) == len(updates) and all(value.dtype == "int64" for value in behind):
            for variable, value in zip(updates, behind, strict=True):
                variable.assign(value)
        else:
            self.recall_updates()

    @property
    def _mask_variables(self) -> list[keras.Variable]:
        if not self.pruning_vars:
            return []
        return [self.pruning_step, *(v for _, *pair in self.pruning_vars for v in pair)]


def update_mark(step: int, sparsity: float, kept: int) -> tuple[int, int, int]:
    """Return what is noted of an update: its step, the sparsity asked in 1e-12, values kept."""
    return step, round(sparsity * 10**12), kept


def last_update(mask: keras.Variable, update: keras.Variable, schedule: PruningSchedule) -> int:
    """Return the step of the update that a mask stands at, 0 if none has left it as it is.

    Averages of several states, set by hand, keep what any of their masks keeps; and a mask that
    comes from a training by another schedule was asked for another sparsity.
    """
    noted = tuple(int(number) for number in variables.read(update))
    step, _, kept = noted
    if not step or masks.count(variables.read(mask)) != kept:
        return 0
    return step if noted == update_mark(step, schedule.sparsity(step), kept) else 0
