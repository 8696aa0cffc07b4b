"""The layer that carries the masks of another one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import keras
import numpy as np

from pruneplug.pruning import (
    keras_internals,
    known_layers,
    layer_parts,
    masks,
    patterns,
    registry,
    schedules,
    serialization,
    variables,
)
from pruneplug.pruning.allocation import Allocation, UniformAllocation
from pruneplug.pruning.masked_layer import MaskedLayer, last_update, update_mark
from pruneplug.pruning.schedules.reach import at_target, last_due


@keras.saving.register_keras_serializable("pruneplug")
class PruneLowMagnitude(MaskedLayer):
    """Prunes the weights of one layer while it trains.

    Args:
        layer: The layer to prune.
        pruning_schedule: When masks are updated and how sparse they are; also a function of the
            step that answers both.
        block_size: Rows and columns of the blocks that are pruned together, for weights with two
            axes.
        block_pooling_type: How a block is judged by its magnitudes: "AVG" or "MAX".
        sparsity_m_by_n: (m, n) for m zeros in every n consecutive values along the input
            channels, computed once, at step 1; or an `MByN` that follows the schedule.
        allocation: How the schedule's sparsity is shared out among the layers that have the same
            schedule and allocation; by default every weight has it.
        weight_names: Names of the weights to prune, or paths of layers inside; by default all
            that can be.
        with_model: Whether the layer is pruned as one of a model that is pruned as a whole.
        **kwargs: Further arguments of `keras.layers.Layer`.

    Attributes:
        pruning_vars: (weight, mask, threshold) of each pruned weight; masks hold 1 where the
            weight is kept.
        pruning_updates: For each pruned weight the schedule's step at which its mask was last
            updated, the sparsity asked for then, in 1e-12, and how many values it has kept
            since; all 0 before the first update.
        pruning_step: Training steps taken so far; -1 before the first training.

    Raises:
        ValueError: The layer cannot be pruned, or not in this pattern.

    Reference:
        Zhu and Gupta, To prune, or not to prune (2017), https://arxiv.org/abs/1710.01878
    """

    # Not the layer's, whatever it has under these names.
    built: bool
    block_size: tuple[int, ...]
    block_pooling_type: str
    sparsity_m_by_n: Sequence[int] | patterns.MByN | None
    pattern: patterns.Pattern
    allocation: Allocation
    only: list[str] | None
    weight_names: list[str]
    with_model: bool

    def __init__(
        self,
        layer: keras.layers.Layer,
        pruning_schedule: schedules.Schedule = schedules.ConstantSparsity(0.5, 0),
        block_size: Sequence[int] = (1, 1),
        block_pooling_type: str = "AVG",
        sparsity_m_by_n: Sequence[int] | patterns.MByN | None = None,
        allocation: Allocation | None = None,
        weight_names: Sequence[str] | None = None,
        with_model: bool = False,
        **kwargs: Any,
    ):
        _check_layer(layer)
        if weight_names is None:
            registry.check_supported(layer)
        pattern = patterns.make_pattern(block_size, block_pooling_type, sparsity_m_by_n)
        kwargs.setdefault("name", f"prune_low_magnitude_{layer.name}")
        super().__init__(layer, **kwargs)
        registry.answer_for(layer)
        self._asked: schedules.AskedSchedule | None = None
        self.pruning_schedule = serialization.check_schedule(pruning_schedule)
        self.block_size = patterns.whole_pair(block_size, "block_size")
        self.block_pooling_type = block_pooling_type
        if sparsity_m_by_n is not None and not isinstance(sparsity_m_by_n, patterns.MByN):
            sparsity_m_by_n = patterns.whole_pair(sparsity_m_by_n, "sparsity_m_by_n")
        self.sparsity_m_by_n = sparsity_m_by_n
        self.pattern = pattern
        self.allocation = allocation or UniformAllocation()
        if self.allocation.overrides and self.mask_schedule.target is None:
            raise ValueError(
                "Overrides must follow a schedule that states its target; got "
                f"allocation={self.allocation!r} with pruning_schedule={pruning_schedule!r}. Give "
                "its class an attribute `target`."
            )
        self.only = None if weight_names is None else list(weight_names)
        self.weight_names = []
        self.with_model = with_model
        if layer.built:
            self.build()

    def build(self, *shapes: Any, **named_shapes: Any) -> None:
        """Build the layer if it is not, and give each of its prunable weights a mask."""
        if not self.layer.built:
            self.layer.build(*shapes, **named_shapes)
            self.layer.built = True
        if self.pruning_vars or self.built:
            return
        weights = registry.prunable_weights(self.layer, self.only)
        for name, weight in weights:
            self.pattern.check(weight.shape, f"{self.layer.name}/{name}")
        self.weight_names = [name for name, _ in weights]
        self.carry_masks(weights)
        self.built = True

    @property
    def mask_schedule(self) -> schedules.PruningSchedule:
        """What the masks follow; as in TFMOT, m-by-n masks that do not ask it come at step 1."""
        if isinstance(self.pattern, patterns.MByN) and not self.pattern.scheduled:
            return schedules.OneShotSparsity(self.pattern.zeros / self.pattern.group, step=1)
        if self._asked is None or self._asked.schedule is not self.pruning_schedule:
            # TFMOT's steps are of this type; it has a `dtype`, and is counted with as they are.
            schedule = schedules.as_schedule(self.pruning_schedule, np.int64)
            if not isinstance(schedule, schedules.AskedSchedule):
                return schedule
            self._asked = schedule  # which remembers what it was answered
        return self._asked

    def target_reached(self) -> bool:
        """Return whether each weight that trains has been updated to its schedule's target."""
        # Also asked while a step is traced.
        with variables.outside_traces():
            return all(
                at_target(self.mask_schedule, last_update(mask, update, self.mask_schedule))
                for (weight, mask, _), update in zip(
                    self.pruning_vars, self.pruning_updates, strict=True
                )
                if weight.trainable
            )

    def recall_updates(self) -> None:
        """Work out which update each mask stands at, for models of 0.1.0, which did not say."""
        last = last_due(self.mask_schedule, 0, self.step_counter.read() + 1) or 0
        for (_, mask, _), update in zip(self.pruning_vars, self.pruning_updates, strict=True):
            # A mask that keeps all was never updated, as in a layer that was frozen.
            kept = masks.count(variables.read(mask))
            if last and kept < math.prod(mask.shape):
                asked = self.mask_schedule.sparsity(last)
                variables.write(update, update_mark(last, asked, kept))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), **self.get_pruning_config()}

    def get_pruning_config(
        self, write_schedule: Callable[[schedules.Schedule], Any] = serialization.save_schedule
    ) -> dict[str, Any]:
        """Return the constructor's arguments that say how the layer is pruned."""
        return {
            "pruning_schedule": write_schedule(self.pruning_schedule),
            "block_size": self.block_size,
            "block_pooling_type": self.block_pooling_type,
            "sparsity_m_by_n": keras.saving.serialize_keras_object(self.sparsity_m_by_n),
            "allocation": keras.saving.serialize_keras_object(self.allocation),
            # What is pruned stays so, whatever is registered where the file is loaded.
            "weight_names": self.weight_names if self.built else self.only,
            "with_model": self.with_model,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """Rebuild the wrapper from `get_config`'s answer, or around a layer that is there.

        Raises:
            ValueError: The schedule's class is not registered with Keras.
        """
        config = dict(config)
        layer = config.pop("layer")
        if not isinstance(layer, keras.layers.Layer):
            layer = keras.saving.deserialize_keras_object(layer, custom_objects)
        schedule = serialization.load_schedule(config.pop("pruning_schedule"), custom_objects)
        for name in ("allocation", "sparsity_m_by_n"):
            config[name] = keras.saving.deserialize_keras_object(config[name], custom_objects)
        # Files of 0.1.0 do not say, and most hold whole models.
        config.setdefault("with_model", True)
        return cls(layer, pruning_schedule=schedule, **config)


# To the layers it is in, a wrapper is done with: what it holds is not pruned twice.
known_layers.register_prunable(PruneLowMagnitude)


def pruned_layers(layer: keras.layers.Layer) -> list[PruneLowMagnitude]:
    """Return the pruning wrappers in a model or layer, however deep, each once."""
    inside = keras_internals.flatten_layers(layer)
    unique = {id(found): found for found in inside if isinstance(found, PruneLowMagnitude)}
    return list(unique.values())


def collect_prunable_layers(model: keras.Model) -> list[PruneLowMagnitude]:
    """Return the pruning wrappers of a model in the order of its layers, as TFMOT does."""
    order = {id(layer): place for place, layer in enumerate(layer_parts.member_layers(model))}
    return sorted(pruned_layers(model), key=lambda w: order.get(id(w.layer), len(order)))


def _check_layer(layer: Any) -> None:
    if not isinstance(layer, keras.layers.Layer):
        raise ValueError(f"layer must be a Keras layer; got {type(layer).__name__}.")
