"""A user who does what comes to mind with a pruned model, in any order, watched by the law."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

import keras
import pytest
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from law import asked
from law.between import HANDLES, SAVES, _set, _turn
from law.user import User
from law.ways import BATCH, WAYS

from pruneplug.pruning.wrapper import pruned_layers

FIT, BY_HAND = WAYS["fit"], WAYS["train_on_batch, Pruner"]


class UserMachine(RuleBasedStateMachine):
    """Trains, saves, loads, freezes, thaws, copies, strips and prunes again."""

    @initialize(
        schedule=st.sampled_from(list(asked.SCHEDULES)),
        arguments=st.sampled_from(list(asked.ARGUMENTS)),
    )
    def begin(self, schedule: str, arguments: str) -> None:
        assume(asked.fits(schedule, arguments))
        keras.utils.clear_session(free_memory=False)
        self._folder = tempfile.TemporaryDirectory()
        self.user = User(FIT, schedule, arguments, Path(self._folder.name))
        self.user.steps = None
        self.user.forecasts_hold = False
        self.remembered: list[Any] | None = None
        self.trained = False
        self.stripped = False

    @rule(way=st.sampled_from([FIT, BY_HAND]))
    def train(self, way: Any) -> None:
        self.user.way = way
        self.user.train(1)
        self.user.way = FIT
        self.trained, self.stripped = True, False

    # What was stripped shares its weights with the pruned model, and may be trained densely.
    @precondition(lambda self: not self.stripped)
    @rule()
    def train_without_an_engine(self) -> None:
        """It is refused, or nothing is left to do: the target is reached."""
        reached = all(wrapper.target_reached() for wrapper in self.user.wrappers())
        x, y = self.user.data()
        if reached:
            self.user.model.fit(x, y, batch_size=BATCH, verbose=0)
        elif self.user.model.trainable_variables:
            with pytest.raises(RuntimeError, match="must be stepped by an engine"):
                self.user.model.fit(x, y, batch_size=BATCH, verbose=0)

    @rule(how=st.sampled_from(list(SAVES)))
    def save_and_load(self, how: str) -> None:
        self._thaw()  # which files do not hold
        SAVES[how](self.user)

    @rule(handle=st.sampled_from(list(HANDLES)), value=st.booleans())
    def freeze_or_thaw(self, handle: str, value: bool) -> None:
        if handle != "weight":  # what the wrapper says of it all counts more
            _turn(self.user, handle, value)

    @rule()
    def swap_the_optimizer(self) -> None:
        self.user.compile(lambda: keras.optimizers.Adam(0.01))

    @rule()
    def remember(self) -> None:
        self.remembered = self.user.model.get_weights()

    @precondition(lambda self: self.remembered is not None)
    @rule()
    def go_back(self) -> None:
        _set(self.user, self.remembered)

    @rule()
    def copy(self) -> None:
        self._thaw()
        self.user.adopt(copy.deepcopy(self.user.model))

    @precondition(lambda self: self.trained)
    @rule()
    def look_at_the_stripped(self) -> None:
        (stripped,) = self.user.strip()
        self.stripped = True
        assert not pruned_layers(stripped)

    @precondition(lambda self: self.trained)
    @rule()
    def prune_again(self) -> None:
        (stripped,) = self.user.strip()
        self.user.adopt(asked.pruned(stripped, self.user.schedule, self.user.arguments))
        self.user.note_frozen()
        self.remembered = None
        self.trained = self.stripped = False

    def teardown(self) -> None:
        if hasattr(self, "user"):
            if self.trained:
                self.user.finish()
            self._folder.cleanup()

    def _thaw(self) -> None:
        _turn(self.user, "all", True)
        self.remembered = None
