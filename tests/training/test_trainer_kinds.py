"""The Trainer takes what `fit` takes: kinds of data, weights of classes, steps of one's own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L
from sparse import zeros

from pruneplug import ConstantSparsity, GlobalAllocation, PolynomialDecay
from pruneplug.training.feeds.arrays import permutation
from pruneplug.training.trainer import Trainer

SCHEDULE = PolynomialDecay(0.0, 0.5, begin_step=0, end_step=4, frequency=2)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 6)).clip(0).astype("float32")
Y = np.arange(24) % 3


class Batches(keras.utils.PyDataset):
    @property
    def num_batches(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        return X[8 * index : 8 * index + 8], Y[8 * index : 8 * index + 8]


def forever() -> Iterator[Any]:
    while True:
        yield from iter(Batches())


def build(sparse: bool = False) -> keras.Model:
    inputs = keras.Input((6,), sparse=sparse)
    hidden = L.Dense(8, activation="relu")(inputs)
    return keras.Model(inputs, L.Dense(3, activation="softmax")(hidden))


def sparse_inputs() -> tf.SparseTensor:
    return tf.sparse.from_dense(X)


DATA: dict[str, Any] = {
    "PyDataset": (lambda: Batches(), None),
    "generator": (forever, 3),
    "sparse arrays": (lambda: (sparse_inputs(), Y), None),
    "sparse data set": (
        lambda: tf.data.Dataset.from_tensor_slices((sparse_inputs(), Y)).batch(8),
        None,
    ),
}


@pytest.mark.parametrize("kind", DATA)
def test_takes_data_of_any_kind(kind: str) -> None:
    make, steps = DATA[kind]
    model = build(sparse="sparse" in kind)
    validation = None if kind == "generator" else make()
    run = Trainer(model, SCHEDULE, epochs=2, batch_size=8, jit_compile=False)
    result = run.fit(make(), validation, steps_per_epoch=steps)
    assert result.steps == 6
    assert result.target_reached
    assert zeros(result.model.layers[-1].kernel) == 12
    if validation is not None:
        result.model.compile("sgd", "sparse_categorical_crossentropy")
        data = make() if kind != "sparse arrays" else DATA["sparse data set"][0]()
        assert result.metrics["val_loss"] == pytest.approx(result.model.evaluate(data, verbose=0))


def test_classes_and_losses_weigh_as_in_fit() -> None:
    def dense() -> keras.Model:
        keras.utils.set_random_seed(0)
        inputs = keras.Input((6,))
        return keras.Model(inputs, L.Dense(3, activation="softmax", name="out")(inputs))

    weights = {0: 3.0, 2: 0.1}
    never = ConstantSparsity(0.0, begin_step=0, frequency=1)
    arguments = {"loss_weights": 0.5, "jit_compile": False, "metrics": None}
    run = Trainer(dense(), never, optimizer="sgd", epochs=1, batch_size=8, seed=2, **arguments)
    trained = run.fit((X, Y), class_weight=weights).model
    model, order = dense(), permutation(2, 0, 24)
    model.compile("sgd", "sparse_categorical_crossentropy", **arguments)
    model.fit(X[order], Y[order], 8, shuffle=False, class_weight=weights, verbose=0)
    assert np.array_equal(trained.layers[-1].kernel, model.layers[-1].kernel)


def test_what_prune_low_magnitude_takes_has_its_effect() -> None:
    run = Trainer(build(), SCHEDULE, epochs=2, batch_size=8, allocation=GlobalAllocation())
    weights = run.fit((X, Y)).report.weights
    assert sum(weight.kept for weight in weights) == 36
    assert [weight.kept for weight in weights] != [24, 12]


class Adversaries(keras.Model):
    """Two networks against each other, each with an optimizer of its own, and no call."""

    def __init__(self) -> None:
        super().__init__()
        self.judge = keras.Sequential([keras.Input((6,)), L.Dense(8), L.Dense(1)])
        self.maker = keras.Sequential([keras.Input((2,)), L.Dense(6)])
        self.seeds = keras.random.SeedGenerator(1)

    def compile(self, judge: Any, maker: Any) -> None:  # type: ignore[override]
        super().compile(jit_compile=False)
        self.judge_optimizer, self.maker_optimizer = judge, maker

    def train_step(self, data: Any) -> dict[str, Any]:
        noise = keras.random.normal((8, 2), seed=self.seeds)
        with tf.GradientTape(persistent=True) as tape:
            made = self.judge(self.maker(noise))
            fooled = keras.ops.mean(keras.ops.softplus(-made))
            caught = keras.ops.mean(
                keras.ops.softplus(made) + keras.ops.softplus(-self.judge(data))
            )
        for loss, net, optimizer in (
            (caught, self.judge, self.judge_optimizer),
            (fooled, self.maker, self.maker_optimizer),
        ):
            weights = net.trainable_weights
            optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return {"caught": caught}


def test_steps_with_several_optimizers_resume_with_the_same_bits(tmp_path: Path) -> None:
    class Fail(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == fail_at:
                raise RuntimeError("failed")

    def run(folder: Path) -> list[np.ndarray]:
        keras.utils.set_random_seed(0)
        model = Adversaries()
        model.compile(keras.optimizers.Adam(0.01), keras.optimizers.Adam(0.02))
        settings = {"folder": folder, "resume": "auto", "callbacks": [Fail()], "monitor": "caught"}
        trainer = Trainer(model, SCHEDULE, epochs=3, batch_size=8, mode="min", **settings)
        trained = trainer.fit(X).model
        assert zeros(trained.judge.layers[0].kernel) == 24
        return trained.get_weights()

    fail_at = -1
    whole = run(tmp_path / "whole")
    fail_at = 1
    with pytest.raises(RuntimeError, match="failed"):
        run(tmp_path / "cut")
    fail_at = -1
    assert all(map(np.array_equal, whole, run(tmp_path / "cut")))
