"""Pruning costs nothing between events: held by counting operations and calls, without a clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import pruneplug
from pruneplug.pruning import clock, masks, pruner, variables, wrapper
from pruneplug.training import session
from pruneplug.training.feeds import arrays as array_feed
from pruneplug.training.steps import loop

BATCH, STEPS, EPOCHS, FREQUENCY = 4, 20, 3, 10
UPDATES = EPOCHS * STEPS // FREQUENCY
# Masks due at step k + 1 are updated after step k; an epoch's end is an event too.
STOPS = [9, 19, 20, 29, 39, 40, 49, 59, 60]
WEIGHTS = 3


def _data() -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).standard_normal((STEPS * BATCH, 8), np.float32)
    return x, np.arange(len(x)) % 3


def _dense() -> keras.Model:
    hidden = [keras.layers.Dense(16, activation="relu") for _ in range(WEIGHTS - 1)]
    return keras.Sequential([keras.Input((8,)), *hidden, keras.layers.Dense(3, "softmax")])


def _pruned() -> keras.Model:
    schedule = pruneplug.ConstantSparsity(0.5, 0, frequency=FREQUENCY)
    return pruneplug.prune_low_magnitude(_dense(), schedule)


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str], list[tuple[Any, ...]]]:
    """Make a function note the arguments of its calls in the list that is returned."""

    def note(owner: Any, name: str) -> list[tuple[Any, ...]]:
        calls: list[tuple[Any, ...]] = []
        original = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            calls.append(args)
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)
        return calls

    return note


def test_between_updates_the_engine_hardly_looks_at_the_model(count: Callable[..., Any]) -> None:
    model = pruneplug.prune_low_magnitude(_dense(), pruneplug.ConstantSparsity(0.5, 1000))
    model.compile("sgd", "sparse_categorical_crossentropy")
    engine = pruner.Pruner(model)
    engine.start()
    x, y = _data()
    reads = count(variables, "read")
    for _ in range(21):
        model.train_on_batch(x[:BATCH], y[:BATCH])
        engine.advance()
    assert engine.step == 21
    # At the first step each layer's count, to find the fastest; then the fastest alone, twice.
    assert len(reads) <= WEIGHTS + 3


@pytest.fixture
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a compiled call last as long as it likes, so that only events end it."""
    endless = property(lambda self: 10**6, lambda self, value: None)
    monkeypatch.setattr(session.Pace, "limit", endless, raising=False)


def _train(model: keras.Model, callbacks: tuple[keras.callbacks.Callback, ...] = ()) -> None:
    pruneplug.Trainer(model, epochs=EPOCHS, batch_size=BATCH, callbacks=callbacks).fit(_data())


def _weights(read: list[tuple[Any, ...]]) -> list[Any]:
    """Of all variables that were brought to the host, those with weights in them."""
    return [variable for variable, *_ in read if variable.trainable]


@pytest.mark.usefixtures("_unhurried")
def test_trainer_makes_one_compiled_call_from_event_to_event(count: Any) -> None:
    runs, advances = count(loop.StepLoop, "run"), count(pruner.Pruner, "advance")
    _train(_pruned())
    begins = [0, *STOPS[:-1]]
    windows = [(a % STEPS, b - a) for a, b in zip(begins, STOPS, strict=True)]
    assert [args[1:] for args in runs] == windows
    assert [args[1:] for args in advances] == [(steps,) for _, steps in windows]


def test_trainer_traces_nothing_once_training_has_begun(count: Any) -> None:
    model = _pruned()
    traced = [count(model, "train_step"), count(array_feed.ArrayFeed, "next")]
    seen: list[list[int]] = []
    note = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append([len(calls) for calls in traced]),
        on_train_end=lambda logs: seen.append([len(calls) for calls in traced]),
    )
    _train(model, (note,))
    assert all(seen[0])
    # Python sees a step and a batch while they are traced, not while they run.
    assert seen == [seen[0]] * (EPOCHS + 1)


def test_trainer_reads_weights_and_computes_masks_at_updates_only(count: Any) -> None:
    model = _pruned()
    computed, read = count(masks, "topk_mask"), count(variables, "read")
    copied = count(keras.ops, "convert_to_numpy")
    # Before and after, the caller's weights are lent and given back.
    bounds: list[int] = []
    note = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: bounds.append(len(copied)),
        on_train_end=lambda logs: bounds.append(len(copied)),
    )
    _train(model, (note,))
    assert len(computed) == UPDATES * WEIGHTS
    assert len(_weights(read)) == UPDATES * WEIGHTS
    # Steps and counts are read as scalars; nothing that has an axis is.
    begin, end = bounds
    assert [value.shape for value, *_ in copied[begin:end] if len(value.shape)] == []


def test_fit_computes_masks_at_updates_only(count: Any) -> None:
    model = _pruned()
    computed, read = count(masks, "topk_mask"), count(variables, "read")
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = _data()
    callbacks = [pruneplug.UpdatePruningStep()]
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, callbacks=callbacks, verbose=0)
    assert len(computed) == UPDATES * WEIGHTS
    assert len(_weights(read)) == UPDATES * WEIGHTS


def test_advance_reads_one_number_between_updates(count: Any) -> None:
    model, optimizer = _pruned(), keras.optimizers.SGD()
    steps = pruneplug.Pruner(model)
    steps.start()

    def advance() -> Any:
        gradients = [tf.zeros(variable.shape) for variable in model.trainable_variables]
        optimizer.apply(gradients, model.trainable_variables)
        for calls in (*touched, read):
            calls.clear()
        return steps.advance()

    read = count(variables, "read")
    touched = [
        count(wrapper.PruneLowMagnitude, "apply_masks"),
        count(variables, "write"),
        count(keras.Variable, "assign"),
        count(pruner.Pruner, "weights"),
        count(clock.StepClock, "counted"),
    ]
    for _ in range(FREQUENCY - 2):
        assert advance() is None
        assert touched == [[]] * len(touched)
        assert read == [] or [variable.shape for variable, *_ in read[-1:]] == [()]
    assert advance() is not None


def test_forward_pass_has_no_operation_more_than_a_dense_one() -> None:
    dense, pruned = (_operations(model, model.__call__) for model in (_dense(), _pruned()))
    assert pruned == dense


def test_each_weight_adds_one_selection_to_the_training_graph() -> None:
    graphs = []
    for model in (_dense(), _pruned()):
        model.compile("sgd", "mse")
        model.optimizer.build(model.trainable_variables)
        gradients = [tf.ones(variable.shape) for variable in model.trainable_variables]
        engine = pruneplug.Pruner(model)
        engine.arm()
        graphs.append(_operations(model, lambda _, m=model, g=gradients: m.optimizer.apply(g)))
    added = graphs[1] - graphs[0]
    assert added["MulNoNan"] == WEIGHTS
    assert not set(added) & {
        "TopKV2",
        "Sort",
        "While",
        "If",
        "StatelessIf",
        "EagerPyFunc",
        "PyFunc",
    }


def _operations(model: keras.Model, function: Callable[[Any], Any]) -> Counter[str]:
    """Count the operations of a function by type."""
    traced = tf.function(function, autograph=False)
    graph = traced.get_concrete_function(tf.TensorSpec((BATCH, *model.input_shape[1:]))).graph
    return Counter(node.op for node in graph.as_graph_def().node)
