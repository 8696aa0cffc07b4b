"""The engine: told that steps were taken, it updates what is due and says what happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras

from pruneplug.pruning import optimizers, shortfall, variables
from pruneplug.pruning.clock import StepClock
from pruneplug.pruning.cohort import Cohort, PrunedWeight, regrouped
from pruneplug.pruning.constraint import UNSEEN, StepCounter, warn_of_unseen
from pruneplug.pruning.schedules import PruningSchedule
from pruneplug.pruning.sparsity import PruningEvent, WeightSparsity
from pruneplug.pruning.weights import named_layers
from pruneplug.pruning.wrapper import PruneLowMagnitude


class Pruner:
    """Steps the pruning of a model: what `UpdatePruningStep` does, for a loop of your own.

    The model holds how many steps it was trained for and at which update each mask stands. The
    engine reads that, and updates every weight that trains and stands behind. After k optimizer
    steps the masks are those of all updates due at steps up to k + 1, and the weights are sparse,
    whatever was loaded, frozen or thawed in between.

    Args:
        model: A model from `prune_low_magnitude`.

    Attributes:
        step: Optimizer steps that the model was trained for, as of the last call.

    Example:
        >>> pruner = Pruner(model)              # doctest: +SKIP
        >>> pruner.start()                      # doctest: +SKIP
        >>> for batch in batches:               # doctest: +SKIP
        ...     train_on(batch)
        ...     pruner.advance()
        >>> pruner.finish()                     # doctest: +SKIP
    """

    def __init__(self, model: keras.Model):
        self._model = model
        self._named = named_layers(model)
        self.layers: list[PruneLowMagnitude] = [layer for _, layer in self._named]
        self._stride = 1
        self._clock = StepClock()
        self._cohorts: list[Cohort] = []
        self._look()
        self._clock.begin()
        self.step = self._clock.step

    @property
    def schedules(self) -> list[PruningSchedule]:
        """The schedules that are asked, each once."""
        return [cohort.schedule for cohort in self._cohorts]

    @property
    def rate(self) -> int:
        """Optimizer steps to a step of the loop: several where it applies several gradients."""
        return self._clock.rate

    @property
    def counts(self) -> bool:
        """Whether steps are counted in the model, which they are while a pruned weight trains."""
        return any(self._trainable())

    def arm(self) -> None:
        """Say that this engine steps the pruning; to be called before a training step is traced."""
        for layer in self.layers:
            layer.engine = self
            layer.attach()
        self._mask_averages()
        if any(list(map(StepCounter.forget_refusal, self._counters))):
            optimizers.renew(self._model)

    def start(self, stride: int = 1) -> PruningEvent | None:
        """Begin or resume training, at the step where the model stands.

        Args:
            stride: How many steps are taken between two calls of `advance` at most.

        Returns:
            The update of what stands behind: when training begins, the one due at step 1.
        """
        self._stride = stride
        self._cohorts = []
        self._look()
        warn_of_unseen(self._counters)
        self.arm()
        self._clock.begin()
        self.step = self._clock.step
        for counter in self._counters:
            variables.write(counter.increment, 1)
        event = self._update(thorough=True)
        self._look_ahead(self._cohorts)
        return event

    def advance(self, count: int | None = 1) -> PruningEvent | None:
        """Say that optimizer steps were taken; update the masks that are due.

        The model's own count decides how many there were. In a loop that nothing counts, since it
        writes weights without a Keras optimizer, there were as many as are said.

        Args:
            count: Steps of the loop; None when only the model knows how many.

        Returns:
            What changed, or None between updates, when this costs next to nothing.

        Raises:
            FloatingPointError: A weight is NaN or infinite; the masks stay as they were.
        """
        usual = (count or self._stride) * self._clock.rate
        changed = self._trainable() != self._trains or self._clock.was_set()
        if count is not None and not changed and self._may_wait(usual):
            self.step = self._clock.go_on(usual)
            return None
        taken = self._clock.taken(count)
        self.step = self._clock.go_on(taken)
        if taken == usual and not changed:
            self._clock.confirm()
            planned = [cohort for cohort in self._cohorts if self.step >= cohort.at]
            event = self._update() if planned else None
        else:  # weights were loaded or thawed, or a step of the loop is not what it was before
            if count is not None or self._stride > 1:
                self._clock.learn(taken, count or self._stride)
            self._look()
            event, planned = self._update(thorough=True), self._cohorts
        self._look_ahead(planned)
        return event

    def catch_up(self) -> PruningEvent | None:
        """Bring up to date whatever stands behind, between two calls of `advance` too."""
        self.step = max(self._clock.counted(), 0)
        event = self._update(thorough=True)
        self._look_ahead(self._cohorts)
        return event

    def next_update(self, until: int) -> int | None:
        """Return the next number of steps, up to `until`, at which `advance` updates masks."""
        found = (cohort.next_at(self.step, until) for cohort in self._cohorts)
        return min((step for step in found if step is not None), default=None)

    def settle(self) -> None:
        """Bring masks and weights up to date, and warn of what is not as it was asked for."""
        self._look()
        warn_of_unseen(self._counters)
        self.step = max(counted := self._clock.counted(), 0)
        at_work = any(layer.engine is self for layer in self.layers)
        if counted >= 0 or at_work:  # else the model was never trained
            self._update(thorough=True)
        for layer in self.layers:
            layer.apply_masks()
        for cohort in self._cohorts:
            shortfall.warn_when_short(cohort, self._model.name, self.step)

    def warn_of_plan(self, begin: int, steps: int) -> None:
        """Warn of schedules that cannot reach their targets within a planned training.

        Args:
            begin: Steps taken before it.
            steps: Steps planned.
        """
        # An update is made right after the last step before it that changes weights.
        last_write, until = self._last_write(), begin + steps + 1
        while last_write(until) != until:
            until += 1
        for cohort in self._cohorts:
            shortfall.warn_of_plan(cohort, begin, steps, until)

    def finish(self) -> None:
        """End training: settle, and leave the step count in the model."""
        self.settle()
        for layer in self.layers:
            layer.engine = None
            if layer.pruning_vars:
                layer.step_counter.write(self.step, dense_step=-1)
                # The masks of what has reached its target may stay as they are.
                increment = 0 if layer.target_reached() else UNSEEN
                variables.write(layer.step_counter.increment, increment)

    def weights(self) -> tuple[WeightSparsity, ...]:
        """Return how sparse each pruned weight is now, by its mask."""
        return tuple(weight for cohort in self._cohorts for weight in cohort.standing())

    def targets(self) -> dict[str, float]:
        """Return the sparsity that each weight ends at, by its name; shares are those it has."""
        return {name: t for cohort in self._cohorts for name, t in cohort.targets().items()}

    def target_reached(self) -> bool:
        """Return whether every weight stands at the sparsity its schedule ends at."""
        return all(cohort.at_target() for cohort in self._cohorts)

    def _look(self) -> None:
        """See which weights there are: layers may have been built, frozen or thawed."""
        built = [named for named in self._named if named[1].pruning_vars]
        self._cohorts = regrouped(self._cohorts, built)
        self._trains = self._trainable()
        self._counters = [layer.step_counter for _, layer in built]
        self._clock.watch(self._counters)

    @property
    def _optimizer(self) -> Any:
        return getattr(self._model, "optimizer", None)

    def _trainable(self) -> list[bool]:
        return [w.trainable for layer in self.layers for w, *_ in layer.pruning_vars]

    def _may_wait(self, steps: int) -> bool:
        """Return whether nothing is due and the model was looked at not long ago."""
        waits = self._clock.may_wait() and not optimizers.may_skip(self._optimizer)
        return waits and all(self._clock.step + steps < c.at for c in self._cohorts)

    def _update(self, thorough: bool = False) -> PruningEvent | None:
        """Make the updates due up to one step ahead, of several the last, in each cohort."""
        due: dict[Cohort, tuple[int, Sequence[PrunedWeight]]] = {}
        for cohort in self._cohorts:
            early = cohort.due if cohort.due is not None and self.step >= cohort.at else 0
            if behind := cohort.behind(max(self.step + 1, early), thorough):
                due[cohort] = behind
        if not due:
            return None
        # All masks are computed before one is changed: a NaN leaves them as they were.
        updates = {cohort: cohort.masks(*behind) for cohort, behind in due.items()}
        for cohort, masks in updates.items():
            cohort.apply(*due[cohort], masks)
        return PruningEvent(max(step for step, _ in due.values()), self.weights())

    def _look_ahead(self, planned: Sequence[Cohort]) -> None:
        """Find the next updates, and let the optimizer step before each write dense values."""
        for cohort in planned:
            before = cohort.dense_step
            cohort.look_ahead(self.step, self._stride * self._clock.rate, self._last_write())
            if cohort.dense_step != before:
                for layer in cohort.layers:
                    layer.step_counter.write(self.step, cohort.dense_step)

    def _last_write(self) -> Callable[[int], int]:
        return partial(optimizers.last_write, optimizers.innermost(self._optimizer), self.step)

    def _mask_averages(self) -> None:
        own = optimizers.innermost(self._optimizer)
        averages = optimizers.moving_averages(own, self._model.trainable_variables)
        for layer in self.layers:
            for weight, *_ in layer.pruning_vars:
                weight.constraint.average = averages.get(id(weight))
