"""Each run is that of a fresh model, and no result changes another."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L

from pruneplug import (
    PolynomialDecay,
    Trainer,
    TrainingResult,
    UpdatePruningStep,
    prune_low_magnitude,
)
from pruneplug.pruning.surgery import dense_class
from pruneplug.pruning.wrapper import pruned_layers
from pruneplug.training.model.copies import COMPILATION

SCHEDULE = PolynomialDecay(0.0, 0.5, begin_step=0, end_step=6, frequency=2)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 8)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = L.Dense(6, activation="relu")
        self.drop = L.Dropout(0.2)
        self.out = L.Dense(1, activation="sigmoid")

    def call(self, x: Any, training: bool = False) -> Any:
        return self.out(self.drop(self.hidden(x), training=training))


class OwnCompile(Subclassed):
    def compile(self, optimizer: Any, scale: float) -> None:  # type: ignore[override]
        super().compile(optimizer=optimizer, metrics=["accuracy"], jit_compile=False)
        self.scale = scale

    def compute_loss(self, x: Any, y: Any, y_pred: Any, *_: Any, **__: Any) -> Any:  # type: ignore[override]
        return self.scale * keras.ops.mean((y - y_pred) ** 2)


class OwnGraph(keras.Model):
    """Builds a graph itself, and holds layers in attributes."""

    def __init__(self) -> None:
        inputs = keras.Input((8,))
        hidden = L.Dense(6, activation="relu")
        outputs = L.Dense(1, activation="sigmoid")(hidden(inputs))
        super().__init__(inputs, outputs)
        self.hidden = hidden

    def call(self, x: Any, training: bool = False) -> Any:
        return 1 - super().call(x, training=training)


def dense() -> keras.Model:
    layers = [L.Dense(6, activation="relu"), L.BatchNormalization(), L.Dropout(0.2)]
    return keras.Sequential([keras.Input((8,)), *layers, L.Dense(1, activation="sigmoid")])


def built(kind: type[keras.Model] = Subclassed) -> keras.Model:
    model = kind()
    model(X)
    return model


def half_way(model: keras.Model) -> keras.Model:
    model = prune_low_magnitude(model, SCHEDULE)
    model.compile("adam", "binary_crossentropy", jit_compile=False)
    with pytest.warns(UserWarning, match="A pruning schedule"):
        model.fit(X, Y, batch_size=16, verbose=0, callbacks=[UpdatePruningStep()])
    return model


def own_compile() -> keras.Model:
    model = built(OwnCompile)
    model.compile(keras.optimizers.Adam(0.01), scale=2.0)
    model.optimizer.build(model.trainable_variables)
    return model


MODELS: dict[str, tuple[Callable[[], keras.Model], dict[str, Any]]] = {
    "dense": (dense, {"schedule": SCHEDULE}),
    "half way": (lambda: half_way(dense()), {}),
    "subclassed": (built, {"schedule": SCHEDULE}),
    "own graph": (OwnGraph, {"schedule": SCHEDULE}),
    "in place": (lambda: half_way(built()), {}),
    "own compile": (own_compile, {"schedule": SCHEDULE}),
}


def trainer(model: keras.Model, **changes: Any) -> Trainer:
    compiling = {} if model.compiled else {"loss": "binary_crossentropy", "jit_compile": False}
    settings = {"epochs": 3, "batch_size": 16, "seed": 1, **compiling, **changes}
    return Trainer(model, settings.pop("schedule", None), **settings)


def bits(model: keras.Model) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable) for variable in model.variables]


def state(model: keras.Model) -> list[Any]:
    """All of a model that a run could leave something in."""
    optimizer = getattr(model, "optimizer", None)
    averages = [] if optimizer is None else map(np.array, optimizer.variables)
    wrappers = pruned_layers(model)
    return [
        *(b.tobytes() for b in bits(model)),
        *(b.tobytes() for b in averages),
        [id(v.constraint) for v in model.variables],
        [id(vars(model).get(name)) for name in (*COMPILATION, "compiled")],
        [id(wrapper) for wrapper in wrappers],
        [wrapper.engine for wrapper in wrappers],
        [id(layer) for layer in model._flatten_layers()],
    ]


def assert_same(one: TrainingResult, other: TrainingResult) -> None:
    assert all(map(np.array_equal, bits(one.model), bits(other.model)))
    assert one.metrics == other.metrics
    assert one.history == other.history
    assert one.report.total == other.report.total


class Points:
    def __init__(self) -> None:
        self.logged: list[tuple[int, list[float]]] = []

    def log_metrics(self, metrics: Any, step: int) -> None:
        self.logged.append((step, list(metrics.values())))  # names of layers are counted on


@pytest.mark.parametrize("kind", MODELS)
def test_runs_on_one_model_are_those_of_fresh_models(kind: str) -> None:
    build, arguments = MODELS[kind]
    keras.utils.set_random_seed(0)
    model = build()
    before, points = state(model), [Points(), Points()]
    twice = trainer(model, tracker=points[0], **arguments)
    first = twice.fit((X, Y), (X[:10], Y[:10]), (X, Y))
    kept = bits(first.model)
    assert state(model) == before
    second = twice.fit((X, Y), (X[:10], Y[:10]), (X, Y))
    assert state(model) == before
    keras.utils.set_random_seed(0)
    fresh = trainer(build(), tracker=points[1], **arguments)
    assert_same(first, second)
    assert_same(first, fresh.fit((X, Y), (X[:10], Y[:10]), (X, Y)))
    assert all(map(np.array_equal, bits(first.model), kept))
    assert points[0].logged == 2 * points[1].logged
    assert first.target_reached
    assert type(first.model) is dense_class(type(model))


@pytest.mark.parametrize("kind", MODELS)
def test_a_run_that_fails_leaves_the_model_as_it_was(kind: str) -> None:
    class Fail(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            raise RuntimeError("failed")

    build, arguments = MODELS[kind]
    model = build()
    before = state(model)
    with pytest.raises(RuntimeError, match="failed"):
        trainer(model, callbacks=[Fail()], **arguments).fit((X, Y))
    assert state(model) == before
    with pytest.raises(ValueError, match="monitor must be one of"):
        trainer(model, monitor="val_other", **arguments).fit((X, Y), (X, Y))
    assert state(model) == before


def test_an_unbuilt_model_is_built_by_the_data() -> None:
    result = trainer(Subclassed(), schedule=SCHEDULE).fit((X, Y))
    assert result.target_reached
    assert result.model(X).shape == (32, 1)
    layers = [L.Dense(6), L.Dense(1, activation="sigmoid")]
    model = keras.Sequential(layers)
    results = [trainer(model, schedule=SCHEDULE).fit((X, Y)) for _ in range(2)]
    assert_same(*results)
    assert [type(layer) for layer in results[0].model.layers] == [L.Dense, L.Dense]


def test_callbacks_and_losses_that_hold_the_model_see_it_train() -> None:
    model, seen = dense(), []

    def look(*_: Any) -> None:
        seen.append(float(np.mean(model.layers[0].get_weights()[0] == 0)))

    def loss(y: Any, p: Any) -> Any:
        return keras.losses.binary_crossentropy(y, p) + keras.ops.sum(model.layers[0].kernel ** 2)

    watch = keras.callbacks.LambdaCallback(on_epoch_end=look)
    shrink = keras.optimizers.SGD(0.1)
    run = trainer(model, schedule=SCHEDULE, loss=loss, optimizer=shrink, callbacks=[watch])
    weights = np.abs(run.fit((X, Y)).model.layers[0].get_weights()[0])
    assert seen[-1] == 0.5
    assert weights.sum() < np.abs(model.layers[0].get_weights()[0]).sum() / 3


def test_a_model_that_cannot_be_copied_is_said() -> None:
    inputs = keras.Input((8,))
    layer = L.Dense(8)
    closed = L.Lambda(lambda x: x @ layer.kernel, output_shape=(8,))(layer(inputs))
    model = keras.Model(inputs, L.Dense(1, activation="sigmoid")(closed))
    with pytest.warns(UserWarning, match=r"cannot be copied .* reads dense/kernel"):
        result = trainer(model, schedule=SCHEDULE).fit((X, Y))
    assert np.array_equal(result.model(X), model(X))
    assert np.mean(layer.kernel.numpy() == 0) == 0.5
    assert layer.kernel.constraint is None
