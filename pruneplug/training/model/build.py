"""Creates the variables of model, optimizer and metrics before anything is traced."""

import contextlib
from typing import Any

import keras
import tensorflow as tf

from pruneplug.pruning import keras_internals, surgery
from pruneplug.training.feeds.base import Feed


def build_model(model: keras.Model, feed: Feed) -> None:
    """Create the layers of a subclassed model by calling it, as its first `fit` would.

    One that cannot be called stays as it is, for the pruning to say what it lacks.

    Args:
        model: The caller's.
        feed: Says what a batch looks like.
    """
    if model.built or surgery.is_graph(model):
        return
    x, *_ = keras.utils.unpack_x_y_sample_weight(batch_spec(feed, model))
    with contextlib.suppress(Exception):
        model(keras.tree.map_structure(lambda spec: keras.KerasTensor(spec.shape, spec.dtype), x))


def build_state(model: keras.Model, feed: Feed) -> None:
    """Create every variable that training needs, under the model's distribution strategy.

    Variables born while a step is traced make TensorFlow trace it twice, and under a strategy
    they fail. Nothing is run, and no batch is used up.

    Args:
        model: Compiled.
        feed: Says what a batch looks like.

    Raises:
        ValueError: If a loss is to be computed and the data has no targets.
    """
    strategy = model.distribute_strategy
    batch = _local_batch(feed, strategy)
    _check_targets(model, batch)
    alone = strategy.num_replicas_in_sync == 1
    # A model that is too unusual for Keras' symbolic build is built by tracing it.
    attempt = contextlib.suppress(Exception) if alone else contextlib.nullcontext()
    with strategy.scope(), attempt:
        keras_internals.symbolic_build(model, batch)


def _check_targets(model: keras.Model, batch: Any) -> None:
    """Refuse what Keras would only say of a None that it finds while it traces."""
    kind = surgery.dense_class(type(model))
    as_keras_does = all(
        getattr(kind, method) is getattr(keras.Model, method)
        for method in ("train_step", "compute_loss")
    )
    _, targets, _ = keras.utils.unpack_x_y_sample_weight(batch)
    if as_keras_does and getattr(model, "loss", None) is not None and targets is None:
        raise ValueError(
            f"training data must hold targets for loss={model.loss!r}; got inputs alone. Pass "
            "(x, y), or loss=None for a model that brings its own loss, with add_loss."
        )


def batch_spec(feed: Feed, model: keras.Model) -> Any:
    """Return the type of each tensor in one replica's share of a batch."""
    batch = _local_batch(feed, model.distribute_strategy)
    return keras.tree.map_structure(tf.type_spec_from_value, batch)


def _local_batch(feed: Feed, strategy: Any) -> Any:
    """Return one replica's share of a batch as symbolic tensors."""
    seen: list[Any] = []

    def look(index: Any) -> Any:
        batch = feed.next(index)
        seen.append(
            keras.tree.map_structure(lambda v: strategy.experimental_local_results(v)[0], batch)
        )
        return index

    tf.function(look, autograph=False).get_concrete_function(tf.TensorSpec([], tf.int64))
    return seen[0]
