"""Averages of an optimizer take effect, and the metrics are those of the model that is returned."""

import os
import signal
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L
from sparse import zeros

from pruneplug import PolynomialDecay, Trainer, TrainingResult
from pruneplug.training.model.averages import averaged

EPOCHS, STEPS = 4, 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 8)).astype("float32")
Y = (X[:, 0] > 0).astype("int64")
VALIDATION, TEST = (X[:12], Y[:12]), (X[12:], Y[12:])


def build() -> keras.Model:
    keras.utils.set_random_seed(0)
    hidden = [L.Dense(8, activation="relu"), L.BatchNormalization()]
    return keras.Sequential([keras.Input((8,)), *hidden, L.Dense(2, activation="softmax")])


def adam(**settings: Any) -> keras.optimizers.Optimizer:
    return keras.optimizers.Adam(0.05, **settings)


def averaging() -> keras.optimizers.Optimizer:
    return adam(use_ema=True, ema_momentum=0.8)


def swap(swap_on_epoch: bool = False) -> keras.callbacks.Callback:
    return keras.callbacks.SwapEMAWeights(swap_on_epoch)


def stop(patience: int) -> keras.callbacks.Callback:
    return keras.callbacks.EarlyStopping(
        "val_loss", min_delta=100.0, patience=patience, restore_best_weights=True
    )


def train(*callbacks: Any, end: int = 8, **changes: Any) -> TrainingResult:
    settings = {"optimizer": averaging(), "epochs": EPOCHS, "batch_size": 8, "jit_compile": False}
    schedule = PolynomialDecay(0.0, 0.5, begin_step=0, end_step=end, frequency=2)
    run = Trainer(build(), schedule, callbacks=callbacks, **{**settings, **changes})
    return run.fit((X, Y), VALIDATION, TEST)


def measured(model: keras.Model) -> dict[str, float]:
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    data = {"val": VALIDATION, "test": TEST}
    return {
        f"{name}_{metric}": value
        for name, (x, y) in data.items()
        for metric, value in model.evaluate(x, y, verbose=0, return_dict=True).items()
    }


CALLBACKS: dict[str, Any] = {
    "none": list,
    "swap": lambda: [swap()],
    "swap on epoch": lambda: [swap(swap_on_epoch=True)],
    "restore": lambda: [stop(patience=1)],
    "swap on epoch, restore": lambda: [swap(swap_on_epoch=True), stop(patience=1)],
}


@pytest.mark.parametrize("name", CALLBACKS)
@pytest.mark.parametrize("end", [STEPS, 100])
def test_metrics_are_those_of_the_model_that_is_returned(name: str, end: int) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", UserWarning)
        result = train(*CALLBACKS[name](), end=end)
    said = [str(w.message) for w in seen if str(w.message).startswith("A pruning schedule")]
    total = result.report.total
    found = measured(result.model)
    for metric, value in found.items():
        assert result.metrics[metric] == pytest.approx(value, rel=1e-5), metric
    kernels = [v for v in result.model.trainable_variables if len(v.shape) == 2]
    assert sum(map(zeros, kernels)) == round(total * sum(int(np.prod(v.shape)) for v in kernels))
    assert result.target_reached == (end == STEPS)
    assert (total == 0.5) == result.target_reached
    both = f"{total:.4f} instead of 0.5000"
    # What was foreseen before the training is not said again behind it.
    assert result.target_reached or both in said[-1]


def test_averages_are_returned_with_and_without_validation() -> None:
    def kernel(validation: Any, optimizer: keras.optimizers.Optimizer, **changes: Any) -> Any:
        settings = {"epochs": 3, "batch_size": 8, "jit_compile": False, **changes}
        schedule = PolynomialDecay(0.0, 0.5, begin_step=0, end_step=4, frequency=2)
        result = Trainer(build(), schedule, optimizer=optimizer, **settings).fit((X, Y), validation)
        return result.model.layers[0].kernel.numpy()

    for validation, monitor in ((VALIDATION, "val_loss"), (None, "loss")):
        plain = kernel(validation, adam(), monitor=monitor)
        averages = kernel(validation, averaging(), monitor=monitor)
        assert not np.array_equal(plain, averages)
        assert np.mean(averages == 0) == 0.5


def test_weights_are_the_averages_inside_and_their_own_after() -> None:
    model = build()
    optimizer = keras.optimizers.LossScaleOptimizer(averaging())
    model.compile(optimizer, "sparse_categorical_crossentropy")
    model.train_on_batch(X, Y)
    model.train_on_batch(X, Y)
    own = model.get_weights()
    averages = optimizer.inner_optimizer._model_variables_moving_average
    with averaged(model):
        for weight, average in zip(model.trainable_weights, averages, strict=True):
            assert np.array_equal(weight, average)
    assert all(map(np.array_equal, own, model.get_weights()))
    assert not np.array_equal(model.trainable_weights[0], averages[0])


class Kill(keras.callbacks.Callback):
    """Ends the process, or so it seems, in the middle of the second validation."""

    def __init__(self, number: int | None) -> None:
        super().__init__()
        ends, numbers = iter(range(1, 10**6)), iter([number])
        self.end = lambda: next(ends)  # functions, so not part of its saved state
        self.number = lambda: next(numbers)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.end() == 3 and (number := self.number()):  # of 2 in a validation
            os.kill(os.getpid(), number)


@pytest.mark.parametrize("name", ["none", "swap", "swap on epoch"])
def test_a_stop_in_a_validation_changes_no_bit(tmp_path: Path, name: str) -> None:
    def arrays(folder: str, number: int | None) -> bytes:
        run = tmp_path / folder
        result = train(*CALLBACKS[name](), Kill(number), folder=run, resume="auto")
        return (Path(result.checkpoint or "") / "arrays.npy").read_bytes()

    whole = arrays("whole", None)
    with pytest.raises(SystemExit):
        arrays("cut", signal.SIGTERM)
    assert arrays("cut", None) == whole


def test_a_callback_that_was_interrupted_begins_anew() -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise RuntimeError("interrupted")

    swapping = swap()
    with pytest.raises(RuntimeError, match="interrupted"):
        train(swapping, keras.callbacks.LambdaCallback(on_test_batch_end=interrupt))
    again, fresh = train(swapping), train(swap())
    assert again.metrics == fresh.metrics
    assert all(map(np.array_equal, again.model.get_weights(), fresh.model.get_weights()))


class Raise(keras.callbacks.Callback):
    """Ends the training at the beginning of an epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 3:
            raise InterruptedError


@pytest.mark.parametrize("callbacks", [(), (swap,)], ids=["use_ema", "SwapEMAWeights"])
def test_the_best_averages_outlast_an_interruption(tmp_path: Path, callbacks: Any) -> None:
    def run(folder: str, *further: Any) -> TrainingResult:
        trainer = Trainer(
            build(),
            PolynomialDecay(0.0, 0.5, begin_step=0, end_step=4, frequency=2),
            optimizer=averaging(),
            epochs=EPOCHS + 1,
            batch_size=8,
            callbacks=[*(make() for make in callbacks), *further],
            folder=tmp_path / folder,
            resume="auto",
            mode="max",  # of the loss: an early epoch is the best
            jit_compile=False,
        )
        return trainer.fit((X, Y), VALIDATION)

    whole = run("whole", keras.callbacks.Callback())
    with pytest.raises(InterruptedError):
        run("cut", Raise())
    # Callbacks are compared by their names.
    again = run("cut", type("Raise", (keras.callbacks.Callback,), {})())
    assert whole.best_step is not None
    assert whole.best_step <= 3 * STEPS
    assert again.best_step == whole.best_step
    for one, other in zip(whole.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
