import logging
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pruneplug import (
    ConstantSparsity,
    PolynomialDecay,
    Trainer,
    TrainingResult,
    prune_low_magnitude,
)
from pruneplug.pruning.callbacks import UpdatePruningStep
from pruneplug.training.feeds.base import train_feed

STEPS = 13  # in an epoch: 12 batches of 8 and a short one
SCHEDULE = PolynomialDecay(0.0, 0.8, begin_step=2, end_step=30, frequency=4)


def data(samples: int = 100, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, 6))
    return x, (x[:, 0] + x[:, 1] > 0).astype(int) + (x[:, 2] > 0)


def build() -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(16, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(3, activation="softmax"),
        ]
    )


def trainer(**changes: Any) -> Trainer:
    settings: dict[str, Any] = {"epochs": 4, "batch_size": 8, "seed": 1, "jit_compile": False}
    settings = {"model": build(), "schedule": SCHEDULE, **settings, **changes}
    return Trainer(settings.pop("model"), settings.pop("schedule"), **settings)


class Recorder:
    def __init__(self) -> None:
        self.points: list[tuple[int, dict[str, float]]] = []

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self.points.append((step, dict(metrics)))

    def describe(self) -> dict[str, str]:
        return {"run_id": "r"}


class Killed(Exception):
    pass


class KillAfter(keras.callbacks.Callback):
    def __init__(self, batches: int = 10**6) -> None:
        super().__init__()
        left = iter(range(batches - 1))
        self.next = lambda: next(left, None)  # a function, so not part of its saved state

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.next() is None:
            raise Killed


class Watch(keras.callbacks.Callback):
    """Keeps the optimizer and counts what is called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.calls.append("train")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.calls.append(f"epoch {epoch}")

    def on_test_begin(self, logs: Any = None) -> None:
        self.calls.append("test")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.calls.append(f"end {epoch} {sorted(logs)}")

    def on_train_end(self, logs: Any = None) -> None:
        self.calls.append("over")


def bits(model: keras.Model) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable) for variable in model.variables]


def assert_same(one: TrainingResult, other: TrainingResult) -> None:
    for a, b in zip(bits(one.model), bits(other.model), strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.metrics == other.metrics
    assert one.history == other.history
    assert one.best_step == other.best_step
    assert [w.kept for w in one.report.weights] == [w.kept for w in other.report.weights]


def test_prunes_to_the_target_and_strips() -> None:
    result = trainer().fit(data(), data(40, 1), data(30, 2))
    assert result.steps == 4 * STEPS
    assert set(result.metrics) == {
        f"{prefix}{name}" for prefix in ("", "val_", "test_") for name in ("loss", "accuracy")
    }
    for weight in result.report.weights:
        assert weight.sparsity == 1 - weight.kept / weight.size
        assert weight.target == 0.8
    kernel = bits(result.model)[0]
    assert np.count_nonzero(kernel) == round(0.2 * kernel.size)
    assert len(result.history["val_loss"]) == 4
    assert type(result.model.layers[0]) is keras.layers.Dense
    assert result.checkpoint is None


def test_returns_the_best_epoch_that_reached_the_target() -> None:
    result = trainer().fit(data(), data(40, 1))
    reached = result.history["val_loss"][2:]  # the update due at step 30 is in the third epoch
    assert result.best_step == (3 + int(np.argmin(reached))) * STEPS
    assert result.metrics["val_loss"] == min(reached)


def test_without_validation_the_last_model_is_returned() -> None:
    result = trainer().fit(data())
    assert result.best_step is None
    assert set(result.metrics) == {"loss", "accuracy"}


def test_logs_updates_at_the_schedules_steps() -> None:
    recorder = Recorder()
    result = trainer(tracker=recorder).fit(data(), data(40, 1))
    steps = [step for step, metrics in recorder.points if "sparsity/total" in metrics]
    assert steps == [*range(2, 31, 4), 4 * STEPS]
    last = recorder.points[-1][1]
    assert last["sparsity/dense/kernel"] == result.report.weights[0].sparsity
    epochs = [step for step, metrics in recorder.points if "val_loss" in metrics]
    assert epochs == [STEPS, 2 * STEPS, 3 * STEPS, 4 * STEPS]


def test_a_failing_tracker_does_not_stop_training() -> None:
    class Broken(Recorder):
        def log_metrics(self, metrics: dict[str, float], step: int) -> None:
            raise ConnectionError("gone")

    with pytest.warns(UserWarning, match="tracker failed at step 2, training goes on.*gone"):
        result = trainer(tracker=Broken()).fit(data())
    assert result.steps == 4 * STEPS


def test_the_same_seed_gives_the_same_bits() -> None:
    results = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        results.append(trainer(model=build()).fit(data(), data(40, 1)))
    assert_same(*results)


def test_calls_callbacks_as_fit_does() -> None:
    def calls(run: Any) -> list[str]:
        watch = Watch()
        run(watch)
        return watch.calls

    ours = calls(lambda watch: trainer(epochs=3, callbacks=[watch]).fit(data(), data(40, 1)))
    model = build()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    arguments = {"epochs": 3, "batch_size": 8, "validation_data": data(40, 1), "verbose": 0}
    theirs = calls(lambda watch: model.fit(*data(), callbacks=[watch], **arguments))
    assert ours == theirs


def test_early_stopping_ends_the_run() -> None:
    stop = keras.callbacks.EarlyStopping("val_loss", patience=0, min_delta=100.0)
    result = trainer(callbacks=[stop], epochs=20).fit(data(), data(40, 1))
    assert result.steps == 2 * STEPS


def test_dense_training_equals_keras_fit() -> None:
    keras.utils.set_random_seed(1)
    model = build()
    weights = model.get_weights()
    never = ConstantSparsity(0.0, begin_step=0, frequency=100)
    one = trainer(model=model, schedule=never, epochs=8).fit(data()).model
    keras.utils.set_random_seed(1)
    other = build()
    other.set_weights(weights)
    other.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    x, y = data()
    for epoch in range(8):
        feed = train_feed((x, y), 8, 1, None, tf.distribute.get_strategy())
        order = feed._permutation(epoch)  # type: ignore[attr-defined]
        other.fit(x[order], y[order], batch_size=8, shuffle=False, verbose=0)
    for a, b in zip(bits(one), bits(other), strict=True):
        np.testing.assert_array_equal(a, b)


def resumable(folder: Path, kill: KillAfter, resume: str, train: Any = data) -> TrainingResult:
    callbacks = [
        keras.callbacks.ReduceLROnPlateau("val_loss", patience=0, min_delta=0.5),
        keras.callbacks.EarlyStopping("val_loss", patience=3, restore_best_weights=True),
        kill,
    ]
    settings = {"folder": folder, "checkpoint_every": 4, "callbacks": callbacks, "resume": resume}
    keras.utils.set_random_seed(3 if resume == "never" else 99)
    return trainer(model=build(), **settings).fit(train(), data(40, 1), data(30, 2))


def assert_resumes(folder: Path, killed: int, whole: TrainingResult, train: Any = data) -> None:
    with pytest.raises(Killed):
        resumable(folder, KillAfter(killed), "never", train)
    build()  # moves the automatic names on
    again = resumable(folder, KillAfter(), "auto", train)
    assert_same(whole, again)
    files = [Path(result.checkpoint or "") / "arrays.npy" for result in (whole, again)]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    return resumable(tmp_path_factory.mktemp("whole"), KillAfter(), "never")


@pytest.mark.parametrize("killed", [5, 20, 39, 44])
def test_a_resumed_run_ends_with_the_same_bits(
    tmp_path: Path, killed: int, whole: TrainingResult
) -> None:
    assert_resumes(tmp_path, killed, whole)


def test_a_resumed_run_on_a_data_set_ends_with_the_same_bits(tmp_path: Path) -> None:
    def train() -> tf.data.Dataset:
        x, y = data()
        tf.random.set_seed(7)  # part of the data set's own seed, in every process alike
        return tf.data.Dataset.from_tensor_slices((x.astype("float32"), y)).shuffle(50, 1).batch(8)

    whole = resumable(tmp_path / "whole", KillAfter(), "never", train)
    assert_resumes(tmp_path / "cut", 20, whole, train)


def test_a_finished_run_returns_its_result(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = trainer(folder=tmp_path).fit(data(), data(40, 1), data(30, 2))
    watch = Watch()
    again = trainer(model=build(), folder=tmp_path, resume="auto", callbacks=[watch])
    with caplog.at_level(logging.INFO, "pruneplug"):
        second = again.fit(data(), data(40, 1), data(30, 2))
    assert_same(first, second)
    assert watch.calls == []
    assert "This run has finished" in caplog.text


def test_a_finished_run_can_be_made_longer(tmp_path: Path) -> None:
    trainer(folder=tmp_path).fit(data())
    longer = trainer(model=build(), folder=tmp_path, resume="auto", epochs=6).fit(data())
    assert longer.steps == 6 * STEPS
    assert len(longer.history["loss"]) == 6


def test_a_new_run_does_not_mix_with_another(tmp_path: Path) -> None:
    trainer(folder=tmp_path, epochs=3).fit(data())
    with pytest.raises(ValueError, match="must not hold the checkpoints of another run"):
        trainer(folder=tmp_path, epochs=3).fit(data())


def test_refuses_to_resume_with_another_schedule(tmp_path: Path) -> None:
    trainer(folder=tmp_path, epochs=3).fit(data())
    other = PolynomialDecay(0.0, 0.5, begin_step=2, end_step=30, frequency=4)
    with pytest.raises(ValueError, match=r"final_sparsity: 0\.8 in the checkpoint, 0\.5 now"):
        trainer(folder=tmp_path, epochs=3, schedule=other, resume="auto").fit(data())


def test_refuses_to_resume_another_architecture(tmp_path: Path) -> None:
    trainer(folder=tmp_path, epochs=3).fit(data())
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, activation="softmax")])
    with pytest.raises(
        ValueError, match=r"\n- model\.Dense 1\.units: \d+ in the checkpoint, 3 now"
    ):
        trainer(model=model, folder=tmp_path, epochs=3, resume="auto").fit(data())


def test_takes_a_model_that_is_already_pruned() -> None:
    model = prune_low_magnitude(build(), SCHEDULE)
    result = trainer(model=model, schedule=None).fit(data())
    assert result.report.weights[0].target == 0.8
    with pytest.raises(ValueError, match="schedule must be left out for a model whose"):
        trainer(model=model).fit(data())
    with pytest.raises(ValueError, match="schedule must be given for a model that is not pruned"):
        trainer(schedule=None).fit(data())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number, at least 1; got epochs=0"),
        ({"epochs": None}, "epochs must be a whole number, at least 1; got epochs=None"),
        ({"batch_size": 1.5}, "batch_size must be a whole number"),
        ({"batch_size": None}, "batch_size must be a whole number"),
        ({"seed": -1}, "seed must be a whole number in"),
        ({"mode": "best"}, "mode must be 'auto', 'min' or 'max'"),
        ({"keep_checkpoints": 0}, "keep_checkpoints must be"),
        ({"folder": "x", "checkpoint_every": 0}, "checkpoint_every must be"),
        ({"resume": "auto"}, "folder must be given"),
    ],
)
def test_refuses_bad_arguments(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trainer(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"monitor": "val_acc"}, "monitor must be one of"),
        ({"schedule": ConstantSparsity(0.5, 900)}, "within the planned training; got Constant"),
        ({"callbacks": [UpdatePruningStep()]}, "must not contain UpdatePruningStep"),
        ({"resume": "/nowhere"}, "got resume='/nowhere'"),
    ],
)
def test_refuses_what_does_not_fit_before_training(changes: dict[str, Any], message: str) -> None:
    watch = Watch()
    changes["callbacks"] = [*changes.get("callbacks", []), watch]
    with pytest.raises((ValueError, OSError), match=message):
        trainer(**changes).fit(data(), data(40, 1))
    assert watch.calls == []
