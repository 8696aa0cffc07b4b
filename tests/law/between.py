"""What may happen in between: loading, stopping, freezing, thawing, each as one little story."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from law.user import User
from law.ways import Way

Callbacks = Sequence[keras.callbacks.Callback]


@dataclass(frozen=True)
class Story:
    """A user's story.

    Args:
        tell: Plays it; the law is held at each end and after it.
        needs: Which ways it can be played in.
    """

    tell: Callable[[User], None]
    needs: Callable[[Way], bool]


class At(keras.callbacks.Callback):
    """Does something once, at a callback's place in the second epoch or, of batches, its third."""

    def __init__(self, place: str, do: Callable[[], None]):
        super().__init__()
        self.do: Callable[[], None] | None = do
        self.epoch = 0
        self.batches = 0
        self.place = place

    def _here(self, place: str) -> None:
        if place == self.place and self.do is not None:
            do, self.do = self.do, None
            do()

    def on_train_begin(self, logs: Any = None) -> None:
        self._here("train begin")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch += 1
        if self.epoch == 3:
            self._here("epoch begin")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.epoch == 2:
            self._here("epoch end")

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.epoch == 2 and batch >= 2:
            self._here("batch begin")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.epoch == 2 and batch >= 2:
            self._here("batch end")

    def on_train_end(self, logs: Any = None) -> None:
        self._here("train end")


class Score(keras.callbacks.Callback):
    """Lets a made-up metric fall from epoch to epoch."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["score"] = -float(epoch)


PLACES = ("train begin", "epoch begin", "batch begin", "batch end", "epoch end", "train end")


def _placed(user: User, callbacks: Callbacks, first: bool) -> None:
    user.train(4, **{"before" if first else "after": callbacks})


def straight(user: User) -> None:
    """Nothing happens."""
    user.train()


def twice(user: User) -> None:
    """Train in two parts."""
    user.train(1)
    user.train(3)


def stop_early(user: User, restore: bool, first: bool) -> None:
    """Let EarlyStopping end the training, and go back to the best epoch, which is the first."""
    user.steps = None
    user.forecasts_hold = False
    stopping = keras.callbacks.EarlyStopping(
        "score", patience=2, mode="max", restore_best_weights=restore
    )
    _placed(user, [Score(), stopping], first)


def stopped_and_trained_on(user: User, first: bool) -> None:
    """Go on from the best epoch."""
    stop_early(user, restore=True, first=first)
    user.train(2)


class Interrupted(Exception):
    """What ends a process in the middle of a training."""


def _interrupt() -> None:
    raise Interrupted


def interrupted(user: User) -> None:
    """Go on with the same model after an exception in the third epoch."""
    try:
        user.train(4, after=[At("batch begin", _interrupt)])
    except Interrupted:
        user.steps = None
    user.train(3)


def back_up(user: User, first: bool, every: str | int) -> None:
    """Restore from a backup, in a new process, what an exception has ended."""

    def backup() -> keras.callbacks.Callback:
        return keras.callbacks.BackupAndRestore(str(user.folder / "backup"), save_freq=every)

    callbacks = [backup(), At("batch begin", _interrupt)]
    with suppress(Interrupted):
        _placed(user, callbacks, first)
    user.steps = None
    user.adopt(user.build())
    user.forecasts_hold = False
    _placed(user, [backup()], first)


def _set(user: User, weights: list[np.ndarray]) -> None:
    user.model.set_weights(weights)
    user.note_frozen()


def load_older(user: User, place: str, first: bool) -> None:
    """Load the state after an epoch once more, in the middle of the training."""
    virgin = place in ("batch begin", "epoch end")
    if virgin:
        state = user.model.get_weights()
    user.train(1)
    if not virgin:
        state = user.model.get_weights()
    user.steps = None
    user.forecasts_hold = False
    _placed(user, [At(place, partial(_set, user, state))], first)


def load_newer(user: User, place: str, first: bool) -> None:
    """Load the state of a longer training, in the middle of one that has just begun."""
    start = user.model.get_weights()
    user.train(3)
    state = user.model.get_weights()
    user.adopt(user.build())
    user.model.set_weights(start)
    user.steps = None
    user.forecasts_hold = False
    _placed(user, [At(place, partial(_set, user, state))], first)


def reload_best(user: User, place: str) -> None:
    """Load a weights file that ModelCheckpoint wrote, in the middle."""
    file = user.folder / "best.weights.h5"
    best = keras.callbacks.ModelCheckpoint(
        file, monitor="score", mode="max", save_best_only=True, save_weights_only=True
    )

    def load() -> None:
        user.model.load_weights(file)
        user.steps = None
        user.note_frozen()

    user.forecasts_hold = False
    user.train(4, before=[Score(), best, At(place, load)])


def average(user: User, place: str) -> None:
    """Set the mean of two states, masks and counts included, by hand."""
    user.train(1)
    older = user.model.get_weights()

    def mean() -> None:
        both = zip(older, user.model.get_weights(), strict=True)
        _set(user, [(np.asarray(a, "float64") + np.asarray(b, "float64")) / 2 for a, b in both])

    user.steps = None
    user.forecasts_hold = False
    if place == "between":
        user.train(2)
        mean()
        user.train(2)
    else:
        user.train(4, after=[At(place, mean)])


def _keras_file(user: User) -> None:
    user.model.save(user.folder / "model.keras")
    with user.policy():  # Keras' files do not hold a model's own
        loaded = keras.models.load_model(user.folder / "model.keras")
    user.adopt(loaded, compiles=False)
    if user.way.compiles is None:
        user.compile()
    else:
        user.optimizer = loaded.optimizer


def _weights_file(user: User) -> None:
    user.model.save_weights(user.folder / "model.weights.h5")
    user.adopt(user.build())
    user.model.load_weights(user.folder / "model.weights.h5")


def _checkpoint(user: User) -> None:
    path = tf.train.Checkpoint(model=user.model).save(str(user.folder / "checkpoint"))
    user.adopt(user.build())
    tf.train.Checkpoint(model=user.model).restore(path).expect_partial()


def _arrays(user: User) -> None:
    weights = user.model.get_weights()
    user.adopt(user.build())
    user.model.set_weights(weights)


SAVES: dict[str, Callable[[User], None]] = {
    ".keras": _keras_file,
    "weights file": _weights_file,
    "checkpoint": _checkpoint,
    "arrays": _arrays,
}


def save_and_load(user: User, how: str, epochs: int) -> None:
    """Train, save, load in a new process, train on."""
    user.train(epochs)
    SAVES[how](user)
    user.train(4 - epochs)


def load_from_the_middle(user: User, first: bool) -> None:
    """Go on in a new process from a file that a callback wrote between two batches."""
    file = user.folder / "middle.weights.h5"
    _placed(user, [At("batch end", lambda: user.model.save_weights(file))], first)
    user.adopt(user.build())
    user.model.load_weights(file)
    user.steps = None
    # What was saved is sparse, whichever callback came first.
    if user.way.at_batch_ends:
        user.holds()
    user.train(2)


HANDLES: dict[str, Callable[[keras.Model, bool], None]] = {
    "base": lambda net, value: setattr(net.layers[0], "trainable", value),
    "wrapper": lambda net, value: setattr(net.layers[0].layers[0], "trainable", value),
    "layer": lambda net, value: setattr(net.layers[0].layers[0].layer, "trainable", value),
    "weight": lambda net, value: setattr(net.layers[0].layers[0].layer.kernel, "trainable", value),
    "head": lambda net, value: setattr(net.layers[1], "trainable", value),
    "all": lambda net, value: setattr(net, "trainable", value),
}


def _turn(user: User, handle: str, value: bool) -> None:
    """Freeze or thaw a part, and compile, as Keras asks for."""
    net = user.model.generator if user.way.is_gan else user.model
    HANDLES[handle](net, value)
    if handle == "weight":
        # The wrapper and the model may have been frozen by other handles.
        assert net.layers[0].layers[0].layer.kernel.trainable == value
    user.note_frozen()
    user.compile()


def freeze_and_thaw(user: User, handle: str, thaws: str, before: int) -> None:
    """Freeze a part, train the rest, thaw it, train it all."""
    user.steps = None
    if before:
        user.train(before)
    _turn(user, handle, False)
    user.train(2)
    _turn(user, thaws, True)
    user.train(2)


def freeze_for_good(user: User, handle: str) -> None:
    """Freeze a part in the middle."""
    user.steps = None
    user.train(1)
    _turn(user, handle, False)
    user.train(3)


def swap_frozen(user: User) -> None:
    """Train the head alone, then the base alone."""
    user.steps = None
    _turn(user, "base", False)
    user.train(2)
    _turn(user, "base", True)
    _turn(user, "head", False)
    user.train(2)


def recompile(user: User) -> None:
    """Go on with another optimizer."""
    user.train(2)
    user.compile(lambda: keras.optimizers.Adam(0.01))
    user.train(2)


def strip_and_go_on(user: User, epochs: int) -> None:
    """Look at the stripped model in the middle."""
    user.train(epochs)
    stripped = user.strip()
    for model in stripped:
        model(np.zeros((1, 6), "f"))
    user.train(4 - epochs)


def evaluate(user: User) -> None:
    """Evaluate in the middle."""

    def look() -> None:
        if user.way.compiles is not None and not user.way.is_gan:
            user.model.evaluate(*user.data(), verbose=0)
        user.model(user.data()[0])

    user.train(4, after=[At("batch end", look), At("epoch end", look)])


def shorter_data(user: User) -> None:
    """Load the state of a model that was never trained, between two trainings."""
    weights = user.model.get_weights()
    user.train(2)
    user.model.set_weights(weights)
    user.steps = 0
    user.train(2)


def _any(way: Way) -> bool:
    return True


def _fits(way: Way) -> bool:
    return way.fits


def _one_fit(way: Way) -> bool:
    return way.fits and way.run.__name__ != "fits"


def _saved_whole(way: Way) -> bool:
    return not way.is_gan


def _stories() -> dict[str, Story]:
    orders = {"before": True, "after": False}
    stories = {
        "nothing": Story(straight, _any),
        "two trainings": Story(twice, _any),
        "interrupted, gone on": Story(interrupted, _any),
        "another optimizer": Story(recompile, lambda way: way.early == 0),
        "evaluated": Story(evaluate, _any),
        "begun again": Story(shorter_data, _any),
        "base and head in turn": Story(swap_frozen, _any),
    }
    for epochs in (1, 3):
        stories[f"stripped after {epochs}"] = Story(partial(strip_and_go_on, epochs=epochs), _any)
    for order, first in orders.items():
        for restore in (True, False):
            name = f"EarlyStopping {order}, {'best' if restore else 'last'} weights"
            stories[name] = Story(partial(stop_early, restore=restore, first=first), _any)
        stories[f"EarlyStopping {order}, gone on"] = Story(
            partial(stopped_and_trained_on, first=first), _any
        )
        for every in ("epoch", 3):
            stories[f"BackupAndRestore {order}, each {every}"] = Story(
                partial(back_up, first=first, every=every), _one_fit
            )
        stories[f"file from the middle {order}"] = Story(
            partial(load_from_the_middle, first=first), _any
        )
        for place in PLACES:
            stories[f"older state at {place} {order}"] = Story(
                partial(load_older, place=place, first=first), _any
            )
            stories[f"newer state at {place} {order}"] = Story(
                partial(load_newer, place=place, first=first), _any
            )
    for place in PLACES[1:]:
        stories[f"best weights at {place}"] = Story(partial(reload_best, place=place), _any)
    for place in ("between", "epoch begin", "batch end"):
        stories[f"average at {place}"] = Story(partial(average, place=place), _any)
    for how in SAVES:
        needs = _saved_whole if how == ".keras" else _any
        for epochs in (1, 2):
            stories[f"{how} after {epochs}"] = Story(
                partial(save_and_load, how=how, epochs=epochs), needs
            )
    for handle in HANDLES:
        stories[f"{handle} frozen for good"] = Story(partial(freeze_for_good, handle=handle), _any)
        for before in (0, 1):
            stories[f"{handle} frozen after {before}, thawed"] = Story(
                partial(freeze_and_thaw, handle=handle, thaws=handle, before=before), _any
            )
    stories["base frozen, all thawed"] = Story(
        partial(freeze_and_thaw, handle="base", thaws="all", before=0), _any
    )
    return stories


STORIES = _stories()
