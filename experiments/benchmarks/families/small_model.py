"""A model whose step is shorter than Python's part of it: the digits MLP at batch 32."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import pruneplug
from pruneplug.command.data import digits
from pruneplug.command.models import mlp
from pruneplug.training.feeds.arrays import ArrayFeed

from ..effort import Effort
from ..figure import Figure, Results, Target
from ..measure import fastest, interleave, ratios, scaled
from ..networks import BATCH
from ..peers import SPARSITY, without_autotune
from ..turnstile import Turnstile, epochs_for

SEED = 0
EPOCHS = 150  # long enough for the Trainer to leave it to XLA: a second of training
_JITS = {"jit off": False, "jit on": True}
_TARGET = Target(3, at_least=True)

Fit = Callable[[Sequence[Any], int], keras.Model]


def measure(effort: Effort) -> Results:
    """Measure epochs of a long training, and whole ones; compare the weights they end with."""
    rounds = EPOCHS
    fits = {"Trainer": _trainer(), "fit(x, y) on arrays": _fit_arrays()}
    for name, jit in _JITS.items():
        fits[f"dense, {name}"] = _fit(jit, epochs_for(rounds), pruned=False)
        fits[f"pruned, {name}"] = _fit(jit, epochs_for(rounds), pruned=True)
    windows = {
        name: Turnstile(keras.callbacks.Callback, fit, rounds).window for name, fit in fits.items()
    }
    samples = interleave(windows, rounds)
    results = Results(samples=scaled(samples, 1e3, "digits MLP, ms an epoch"))
    for kind in ("pruned", "dense"):
        fit = fastest(samples, [f"{kind}, {name}" for name in _JITS])
        results.figures.append(
            Figure.of(
                f"digits MLP, batch {BATCH}, epoch: Keras fit ({kind}) / Trainer",
                ratios(samples, fit, "Trainer"),
                target=_TARGET,
                note=f"Keras with {fit.split(', ')[1]}, batches in the Trainer's order",
            )
        )
    results.figures.append(
        Figure.of(
            f"digits MLP, batch {BATCH}, epoch: Keras fit(x, y) on arrays / Trainer",
            ratios(samples, "fit(x, y) on arrays", "Trainer"),
            note="dense, Keras' defaults: autotune on, jit auto",
        )
    )
    return _whole(effort, results)


def _whole(effort: Effort, results: Results) -> Results:
    """Time whole trainings, tracing included, and hold their weights against each other."""
    samples: dict[str, list[float]] = {"Keras fit, jit off": [], "Trainer": []}
    for _ in range(effort.trainings):
        for name, fit in (
            ("Keras fit, jit off", _fit(False, EPOCHS, pruned=True)),
            ("Trainer", _trainer()),
        ):
            begun = time.perf_counter()
            fit([], EPOCHS)
            samples[name].append(time.perf_counter() - begun)
    results.samples |= scaled(samples, 1.0, f"digits MLP, {EPOCHS} epochs, s")
    results.figures += [
        Figure.of(
            f"digits MLP, {EPOCHS} epochs from start to end: Keras fit (pruned) / Trainer",
            ratios(samples, "Keras fit, jit off", "Trainer"),
            note="tracing and compilation included",
        ),
        Figure.of(
            "digits MLP: final weights that differ between the two",
            [_differing(True), _differing(False, jit_compile=False)],
            "weights",
            Target(0),
            note="bit by bit: Trainer's default and fit with jit on, then both with jit off",
        ),
    ]
    return results


def _differing(jit: bool, **settings: Any) -> int:
    weights = [
        fit([], EPOCHS).get_weights()
        for fit in (_fit(jit, EPOCHS, pruned=True), _trainer(**settings))
    ]
    return sum(int(np.sum(a != b)) for a, b in zip(*weights, strict=True))


def _model() -> keras.Model:
    keras.utils.set_random_seed(SEED)
    splits = digits.load(seed=SEED)
    return mlp.build(splits.input_shape, splits.num_classes)


def _schedule() -> pruneplug.PruningSchedule:
    return pruneplug.ConstantSparsity(SPARSITY, 0, frequency=100)


def _trainer(**settings: Any) -> Fit:
    model, train = _model(), digits.load(seed=SEED).train
    settings = {"batch_size": BATCH, "seed": SEED, **settings}

    def fit(callbacks: Sequence[Any], epochs: int) -> keras.Model:
        trainer = pruneplug.Trainer(
            model, _schedule(), epochs=epochs, callbacks=callbacks, **settings
        )
        return trainer.fit(train).model

    return fit


def _fit(jit: bool, epochs: int, pruned: bool) -> Fit:
    model, own = _model(), []
    if pruned:
        model = pruneplug.prune_low_magnitude(model, _schedule())
        own = [pruneplug.UpdatePruningStep()]
    data, steps = _in_trainers_order(epochs)

    def fit(callbacks: Sequence[Any], epochs: int) -> keras.Model:
        _compile(model, jit)
        callbacks = [*own, *callbacks]
        model.fit(
            data,
            epochs=epochs,
            steps_per_epoch=steps,
            callbacks=callbacks,
            shuffle=False,
            verbose=0,
        )
        return pruneplug.strip_pruning(model)

    return fit


def _fit_arrays() -> Fit:
    model, (x, y) = _model(), digits.load(seed=SEED).train

    def fit(callbacks: Sequence[Any], epochs: int) -> keras.Model:
        _compile(model, "auto")
        model.fit(x, y, batch_size=BATCH, epochs=epochs, callbacks=callbacks, verbose=0)
        return model

    return fit


def _compile(model: keras.Model, jit: Any) -> None:
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=jit)


def _in_trainers_order(epochs: int) -> tuple[tf.data.Dataset, int]:
    """Return the batches that the Trainer takes, and how many make an epoch."""
    train = digits.load(seed=SEED).train
    feed = ArrayFeed(tuple(train), "digits", BATCH, tf.distribute.get_strategy(), seed=SEED)
    whole = ArrayFeed(tuple(train), "digits", feed.samples, tf.distribute.get_strategy(), seed=SEED)
    parts = []
    for epoch in range(epochs):
        whole.start(epoch)
        parts.append(tf.data.Dataset.from_tensor_slices(whole.next(0)).batch(BATCH))
    data = reduce(lambda data, part: data.concatenate(part), parts)
    return without_autotune(data.prefetch(2)), feed.steps_per_epoch
