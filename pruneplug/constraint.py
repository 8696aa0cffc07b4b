"""Masks are enforced where the optimizer writes."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pruneplug import variables


class StepCounter:
    """Counts optimizer steps inside the training graph, so any loop and any checkpoint agree."""

    def __init__(self, step: keras.Variable):
        self.step = step
        # Not part of the model's state: the engine derives it from step and schedule.
        # (A function sets it, since Keras defers the values of what is built inside a trace.)
        self.dense_step = keras.Variable(
            lambda shape, dtype: ops.full(shape, -1, dtype),
            shape=(),
            dtype=step.dtype,
            trainable=False,
            aggregation="only_first_replica",
            name="dense_step",
        )

    def tick(self) -> None:
        """Count one optimizer step."""
        self.step.assign_add(1)

    def dense_now(self) -> Any:
        """Return whether the step being taken leaves the weights dense (boolean scalar)."""
        return ops.equal(self.step, self.dense_step)


class MaskConstraint(keras.constraints.Constraint):
    """Sets masked weights to zero right after the optimizer has changed them.

    The user's own constraint runs first. At one step, the one just before a mask update, the
    weights stay dense: the new mask is chosen from them, so a pruned weight can come back.
    """

    def __init__(self, mask: keras.Variable, steps: StepCounter, *, counts: bool, inner: Any):
        self.mask = mask
        self.steps = steps
        self.counts = counts
        self.inner = inner

    def __call__(self, w: Any) -> Any:
        """Return the constrained weights, same shape and dtype."""
        if self.inner is not None:
            w = self.inner(w)
        if self.counts:
            self.steps.tick()
        kept = ops.logical_or(ops.cast(self.mask, "bool"), self.steps.dense_now())
        return variables.masked(ops.convert_to_tensor(w), kept)
