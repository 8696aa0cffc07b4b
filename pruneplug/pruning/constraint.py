"""Masks are enforced where the optimizer writes."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import keras
from keras import ops

from pruneplug.pruning import variables

# What a step adds to the count when no engine steps the pruning: such steps are no steps of the
# schedule, but they must not go unnoticed. They stand in digits that no training reaches.
UNSEEN = 2**40


class StepCounter:
    """Counts optimizer steps inside the training graph, so any loop and any checkpoint agree.

    Args:
        step: The model's own count, which is saved with it.
        increment: What a step adds to it: 1 while an engine steps the pruning.
        may_train: Tells whether an engine does, or none is needed any more.

    Attributes:
        warned_of: The target, and the sparsity asked of the masks, that a warning was given of.
    """

    def __init__(
        self, step: variables.CountVariable, increment: int, may_train: Callable[[], bool]
    ):
        self.step = step
        # Neither is part of the model's state: the engine derives them from step and schedule.
        self.dense_step = _beside("dense_step", step, initial=-1)
        self.increment = _beside("increment", step, initial=increment)
        self.warned_of: tuple[float | None, float] | None = None
        self._may_train = may_train
        self._refused = False

    def tick(self) -> None:
        """Count one optimizer step.

        Raises:
            RuntimeError: No engine steps the pruning, and the target sparsity is not reached.
        """
        if not self._may_train():
            self._refused = True
            _forget_traces()
            raise RuntimeError(
                "Training a pruned model must be stepped by an engine, or its masks would never be "
                "updated; got a training step without one. Pass callbacks=[UpdatePruningStep()] to "
                "fit, use the Trainer, or in a loop of your own call Pruner(model).start() before "
                "it and advance() after each step. To train the dense model, strip_pruning first."
            )
        variables.write(self.step, self.step + self.increment)

    def forget_refusal(self) -> bool:
        """Return whether a step was refused since this was asked last."""
        refused, self._refused = self._refused, False
        return refused

    def read(self) -> int:
        """Return the steps counted so far that an engine has seen; -1 before the first training."""
        return self._split()[0]

    def take_unseen(self) -> int:
        """Return how many steps no engine has seen, and forget them."""
        step, unseen = self._split()
        if unseen:
            variables.write(self.step, step)
        return unseen

    def write(self, step: int, dense_step: int) -> None:
        """Set the count, and the step that leaves the weights dense (-1: none)."""
        variables.write(self.step, step)
        variables.write(self.dense_step, dense_step)

    def dense_now(self) -> Any:
        """Return whether the step being taken leaves the weights dense (boolean scalar)."""
        return ops.equal(self.step, self.dense_step)

    def _split(self) -> tuple[int, int]:
        count = int(variables.read(self.step)) + 1  # may be -1
        return count % UNSEEN - 1, count // UNSEEN


def warn_of_unseen(counters: Iterable[StepCounter]) -> None:
    """Warn of steps that were taken without an engine, and forget them."""
    unseen = max([counter.take_unseen() for counter in counters], default=0)
    if unseen:
        warnings.warn(
            f"A pruned model must be trained with an engine; this one was trained for {unseen} "
            "steps without. They do not count for its schedule, and its masks stayed as they "
            "were. Pass callbacks=[UpdatePruningStep()] to every fit.",
            stacklevel=4,
        )


def _forget_traces() -> None:
    """Let models whose training step is being traced trace it anew next time.

    TensorFlow takes a function whose first trace has failed for one that does nothing.
    """
    frame = inspect.currentframe()
    while frame is not None:
        model = frame.f_locals.get("self")
        if isinstance(model, keras.Model):
            model.train_function = None
        frame = frame.f_back


def _beside(name: str, step: keras.Variable, initial: int) -> keras.Variable:
    # A function sets the value, since Keras defers the values of what is built inside a trace.
    return keras.Variable(
        lambda shape, dtype: ops.full(shape, initial, dtype),
        shape=(),
        dtype=step.dtype,
        trainable=False,
        aggregation="only_first_replica",
        name=name,
    )


class MaskConstraint(keras.constraints.Constraint):
    """Sets masked weights to zero right after the optimizer has changed them.

    The user's own constraint runs first. At one step, the one just before a mask update, the
    weights stay dense: the new mask is chosen from them, so a pruned weight can come back.

    Attributes:
        average: The optimizer's moving average of the weights, which is masked with them.
    """

    def __init__(self, mask: keras.Variable, steps: StepCounter, *, counts: bool, inner: Any):
        self.mask = mask
        self.steps = steps
        self.counts = counts
        self.inner = inner
        self.average: keras.Variable | None = None

    def __call__(self, w: Any) -> Any:
        """Return the constrained weights, same shape and dtype."""
        w = ops.convert_to_tensor(w if self.inner is None else self.inner(w))
        if self.counts:
            # In a step whose batch turns out not to be there, nothing else depends on data.
            with variables.after(w):
                self.steps.tick()
        kept = ops.logical_or(self.mask.value, self.steps.dense_now())
        if self.average is not None:
            averages = ops.convert_to_tensor(self.average)
            self.average.assign(variables.masked(averages, kept))
        return variables.masked(w, kept)
