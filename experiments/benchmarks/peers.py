"""The same training in pruneplug, plain Keras 3, tf_keras and TFMOT, in one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras  # before TFMOT, which sets TF_USE_LEGACY_KERAS
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras

import pruneplug
from pruneplug.training.feeds.base import train_feed
from pruneplug.training.model.build import build_state
from pruneplug.training.steps.loop import StepLoop
from pruneplug.training.steps.xla import choose

from .networks import BATCH, batches_for

reference = tfmot.sparsity.keras

Build = Callable[[Any], Any]
Fit = Callable[[Sequence[Any], int], object]
"""Trains with these callbacks for this many epochs."""

SPARSITY = 0.8
_LOSS = "sparse_categorical_crossentropy"


def without_autotune(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Turn autotune off: its thread rounds the time of every iterator up, to seconds."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def dataset_for(model: Any, steps: int) -> tf.data.Dataset:
    """Return an epoch of batches that costs next to nothing to read."""
    x, y = batches_for(model, steps)
    return without_autotune(tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH).prefetch(2))


def keras_dense(build: Build, steps: int, jit: bool) -> Fit:
    """Plain Keras 3 `fit`, nothing pruned."""
    model = _seeded(build)
    return _fit(model, steps, [], jit_compile=jit)


def keras_pruned(build: Build, steps: int, jit: bool, frequency: int) -> Fit:
    """Keras 3 `fit` with `UpdatePruningStep`."""
    schedule = pruneplug.ConstantSparsity(SPARSITY, 0, frequency=frequency)
    model = pruneplug.prune_low_magnitude(_seeded(build), schedule)
    return _fit(model, steps, [pruneplug.UpdatePruningStep()], jit_compile=jit)


def trainer(build: Build, steps: int, frequency: int, **settings: Any) -> Fit:
    """Prune in the Trainer, in its default setting unless `settings` say otherwise."""
    schedule = pruneplug.ConstantSparsity(SPARSITY, 0, frequency=frequency)
    model = _seeded(build)
    data = batches_for(model, steps)
    return lambda callbacks, epochs: pruneplug.Trainer(
        model, schedule, epochs=epochs, batch_size=BATCH, callbacks=callbacks, **settings
    ).fit(data)


def trainers_loop(build: Build, steps: int, epochs: int) -> Callable[[], object]:
    """Return a call that trains an epoch, nothing pruned, as the Trainer has its steps run."""
    model = _seeded(build)
    settings = {"optimizer": "adam", "loss": _LOSS, "metrics": ["accuracy"], "jit_compile": "auto"}
    model.compile(**settings)
    feed = train_feed(batches_for(model, steps), BATCH, 0, None, model.distribute_strategy)
    build_state(model, feed)
    compilation = choose(model, feed, settings, epochs * steps)
    loop = StepLoop(model, feed, model.train_step, compilation)
    return lambda: loop.read(loop.run(0, steps))


def legacy_dense(build: Build, steps: int) -> Fit:
    """tf_keras `fit`, nothing pruned."""
    return _fit(_seeded(build, tf_keras), steps, [])


def tfmot_pruned(build: Build, steps: int, frequency: int) -> Fit:
    """TFMOT on tf_keras."""
    schedule = reference.ConstantSparsity(SPARSITY, 0, frequency=frequency)
    model = reference.prune_low_magnitude(_seeded(build, tf_keras), schedule)
    return _fit(model, steps, [reference.UpdatePruningStep()])


def _fit(model: Any, steps: int, own: Sequence[Any], **compiling: Any) -> Fit:
    data = dataset_for(model, steps)

    def fit(callbacks: Sequence[Any], epochs: int) -> object:
        model.compile("adam", _LOSS, metrics=["accuracy"], **compiling)
        callbacks = [*own, *callbacks]
        return model.fit(data, epochs=epochs, callbacks=callbacks, shuffle=False, verbose=0)

    return fit


def _seeded(build: Build, library: Any = keras) -> Any:
    keras.utils.set_random_seed(0)
    return build(library)
