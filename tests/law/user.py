"""Somebody who trains a pruned model in one of the ways, watched by the law."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
from law import asked, judge
from law.ways import BATCHES, Gan, Given, Way, X, Y, sequential

from pruneplug import strip_pruning
from pruneplug.pruning.wrapper import PruneLowMagnitude, pruned_layers


class Watch(keras.callbacks.Callback):
    """Holds the law at every batch end, after the engine."""

    def __init__(self, user: User):
        super().__init__()
        self.user = user

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.user.holds()

    def on_train_end(self, logs: Any = None) -> None:
        self.user.holds(at_end=True)


class User:
    """A pruned model in training.

    Args:
        way: How it is trained.
        schedule: Name of the schedule.
        arguments: Name of the other arguments of `prune_low_magnitude`.
        folder: For files.

    Attributes:
        model: The pruned model.
        epoch: Epochs trained.
        steps: Optimizer steps taken in the model's life, None when an event has made that unclear.
        said: What was said of missed targets about this model.
        forecasts_hold: Whether what is planned at the beginning of a training is what happens.
    """

    def __init__(self, way: Way, schedule: str, arguments: str, folder: Path):
        self.way, self.schedule, self.arguments, self.folder = way, schedule, arguments, folder
        self.epoch = 0
        self.steps: int | None = 0
        self.forecasts_hold = True
        self.adopt(self.build())

    def build(self) -> keras.Model:
        """Return a new pruned model as asked, with weights of its own."""
        with self.policy():
            if not self.way.is_gan:
                return self._pruned(sequential(self.way.kind))
            # Overrides go by names.
            return Gan(*(self._pruned(sequential(Given, prefix)) for prefix in ("", "critic_")))

    def _pruned(self, build: Callable[[], keras.Model]) -> keras.Model:
        return asked.pruned(build(), self.schedule, self.arguments)

    @contextmanager
    def policy(self) -> Iterator[None]:
        """Set the dtype policy that the user trains in."""
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.way.policy)
        try:
            yield
        finally:
            keras.config.set_dtype_policy(before)

    def adopt(self, model: keras.Model, compiles: bool = True) -> None:
        """Go on with another model, as after loading one."""
        self.model = model
        self.said: list[judge.Said] = []
        self.frozen: dict[int, np.ndarray] = {}
        if compiles:
            self.compile()

    def compile(self, optimizer: Callable[[], Any] | None = None) -> None:
        """Give the model an optimizer of its own."""
        self.optimizer = (optimizer or self.way.optimizer)()
        if self.way.compiles is not None:
            arguments = {"run_eagerly": True, "jit_compile": False} | self.way.compiles
            self.model.compile(self.optimizer, loss="mse", **arguments)
            self.optimizer = self.model.optimizer  # loss scaling may stand around it

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Return an epoch's batches."""
        x = X.copy()
        if self.way.skips:
            x[5] = np.inf
        return x, Y

    def train(
        self,
        epochs: int = 4,
        before: Sequence[keras.callbacks.Callback] = (),
        after: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        """Train with callbacks before and after the engine's, and hold the law at the end."""
        with self.listening():
            callbacks = [*before, self.way.engine(), Watch(self), *after]
            self.way.run(self, epochs, callbacks)
        self.epoch += epochs
        if self.steps is not None:
            self.steps += epochs * BATCHES * self.way.rate

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note what is said of missed targets."""
        with warnings.catch_warnings(record=True) as self._heard:
            warnings.simplefilter("always")
            try:
                yield
            finally:
                self._note()

    def _note(self) -> list[judge.Said]:
        texts = [str(heard.message) for heard in self._heard]
        unseen = [text for text in texts if "without one" in text]
        assert not unseen, unseen
        now = [judge.Said(text) for text in texts if text.startswith("A pruning schedule")]
        self._heard.clear()
        self.said += now
        return now

    def holds(self, at_end: bool = False) -> None:
        """Assert the law, of the masks now and, at the end of a training, of what was said."""
        for weight, values in self.frozen_weights():
            assert np.array_equal(values, weight), "a frozen weight has changed"
        if not (at_end or self.way.at_batch_ends):
            return
        standing = list(judge.check_masks(self.model, self.way.early))
        if at_end:
            before = list(self.said)
            judge.check_said(standing, self._note(), before, self.forecasts_hold)

    def frozen_weights(self) -> Iterator[tuple[Any, np.ndarray]]:
        """Yield the weights that were frozen, and their values then."""
        for wrapper in self.wrappers():
            for weight, *_ in wrapper.pruning_vars:
                if id(weight) in self.frozen:
                    yield weight, self.frozen[id(weight)]

    def note_frozen(self) -> None:
        """Remember the values of what does not train now."""
        self.frozen = {
            id(weight): np.array(weight)
            for wrapper in self.wrappers()
            for weight, *_ in wrapper.pruning_vars
            if not weight.trainable
        }

    def wrappers(self) -> list[PruneLowMagnitude]:
        """Return the model's pruning wrappers."""
        return pruned_layers(self.model)

    def strip(self) -> list[keras.Model]:
        """Strip the model, hold the law, and return what is left."""
        parts = [self.model.generator, self.model.critic] if self.way.is_gan else [self.model]
        with self.listening():
            stripped = [strip_pruning(part) for part in parts]
            self.holds(at_end=True)
        return stripped

    def finish(self) -> None:
        """End: the law holds, the steps were all counted, and the stripped model is as sparse."""
        for model in self.strip():
            assert not pruned_layers(model)
        if self.steps is not None:
            assert judge.steps_taken(self.model) == self.steps
