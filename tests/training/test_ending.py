"""A training that ends before its time: by a signal, a fault, a full disk."""

import os
import shutil
import signal
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pruneplug import PolynomialDecay, Trainer, TrainingResult
from pruneplug.training.checkpoints.store import CheckpointStore
from pruneplug.training.faults import TrainingDivergedError

STEPS = 13  # in an epoch
RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 6)).astype("float32")
Y = (X[:, 0] > 0).astype("int64")


class At(keras.callbacks.Callback):
    """Does something when a hook is called for the n-th time."""

    def __init__(self, hook: str, time: int, action: Callable[[], object]) -> None:
        super().__init__()
        calls = iter(range(1, 10**6))  # no plain data, so not part of its saved state
        setattr(self, hook, lambda *_, **__: action() if next(calls) == time else None)


def nothing() -> None:
    pass


def train(folder: Path, *callbacks: Any, data: Any = None, **changes: Any) -> TrainingResult:
    keras.utils.set_random_seed(7)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(2, activation="softmax"),
        ]
    )
    schedule = PolynomialDecay(0.0, 0.5, begin_step=2, end_step=20, frequency=5)
    settings = {"epochs": 3, "batch_size": 8, "jit_compile": False, "resume": "auto", **changes}
    trainer = Trainer(model, schedule, folder=folder, callbacks=callbacks, **settings)
    return trainer.fit(data or (X, Y), (X[:50], Y[:50]), (X[50:], Y[50:]))


def arrays(result: TrainingResult) -> bytes:
    return (Path(result.checkpoint or "") / "arrays.npy").read_bytes()


def kill(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("hook", "time", "number", "step"),
    [
        ("on_train_batch_end", 5, signal.SIGTERM, 5),
        ("on_train_batch_begin", 20, signal.SIGUSR1, 20),
        ("on_test_begin", 2, signal.SIGTERM, 2 * STEPS),
        ("on_test_batch_end", 9, signal.SIGUSR2, 2 * STEPS),  # 7 batches in an evaluation
        ("on_epoch_end", 1, signal.SIGTERM, STEPS),
        ("on_test_batch_end", 23, signal.SIGTERM, 3 * STEPS),  # the test data, at the end
    ],
)
def test_a_signal_saves_and_resumes_with_the_same_bits(
    tmp_path: Path, hook: str, time: int, number: int, step: int, caplog: pytest.LogCaptureFixture
) -> None:
    whole = train(tmp_path / "whole", At(hook, 1, nothing))
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as ending:
        train(tmp_path / "cut", At(hook, time, kill(number)))
    assert ending.value.code == 128 + number
    assert signal.getsignal(number) is before
    assert CheckpointStore(tmp_path / "cut" / "checkpoints").steps()[-1] == step
    assert f"stopped after step {step}" in caplog.text
    again = train(tmp_path / "cut", At(hook, 1, nothing))
    assert arrays(whole) == arrays(again)
    assert whole.metrics == again.metrics
    assert whole.history == again.history


def test_after_a_signal_the_next_one_is_the_commands(tmp_path: Path) -> None:
    seconds: list[int] = []

    def first(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: seconds.append(number))
        raise SystemExit(143)

    before = signal.signal(signal.SIGTERM, first)
    try:
        with pytest.raises(SystemExit):
            train(tmp_path, At("on_train_batch_end", 2, kill(signal.SIGTERM)))
        kill(signal.SIGTERM)()
        assert seconds == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    "fault", [MemoryError("no room"), RuntimeError("iterator"), OSError(5, "")]
)
def test_what_ended_the_training_stands_though_nothing_can_be_saved(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: Exception,
) -> None:
    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr("pruneplug.training.checkpoints.store.write_checkpoint", fail)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with pytest.raises(SystemExit) as ending:
            train(tmp_path, At("on_train_batch_end", 2, kill(signal.SIGTERM)))
    assert ending.value.code == 143
    assert isinstance(fault, OSError) or "could not be saved" in caplog.text


def test_an_interrupt_saves_too(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, At("on_train_batch_end", 5, kill(signal.SIGINT)))
    assert CheckpointStore(tmp_path / "checkpoints").steps() == [5]


def test_data_that_raises_costs_no_step(tmp_path: Path) -> None:
    broken = True

    def batches() -> Iterator[tuple[Any, Any]]:
        for epoch in range(3):
            for i in range(STEPS):
                if broken and epoch * STEPS + i == 18:
                    raise ValueError("row 18 cannot be read")
                yield X[8 * i : 8 * i + 8], Y[8 * i : 8 * i + 8]

    def data() -> tf.data.Dataset:
        spec = (tf.TensorSpec((None, 6)), tf.TensorSpec((None,), tf.int64))
        made = tf.data.Dataset.from_generator(batches, output_signature=spec)
        return made.apply(tf.data.experimental.assert_cardinality(3 * STEPS))

    def run(folder: Path) -> TrainingResult:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of positions that cannot be saved
            return train(folder, data=data(), epochs=1)

    with pytest.raises(tf.errors.OpError, match="row 18 cannot be read") as failure:
        run(tmp_path / "cut")
    assert "ended after step 18. It can go on from step 18" in failure.value.__notes__[0]
    broken = False
    assert arrays(run(tmp_path / "cut")) == arrays(run(tmp_path / "whole"))


def test_an_error_in_a_callback_names_the_last_checkpoint(tmp_path: Path) -> None:
    def fail() -> None:
        raise RuntimeError("callback")

    with pytest.raises(RuntimeError, match="callback") as failure:
        train(tmp_path, At("on_train_batch_end", 17, fail))
    assert "ended after step 17. It can go on from step 13" in failure.value.__notes__[0]


def test_a_loss_that_is_no_number_stops_at_its_step(tmp_path: Path) -> None:
    def loss(y: Any, p: Any) -> Any:
        return keras.ops.where(keras.ops.reshape(y, (-1,)) > 1, np.inf, keras.ops.sum(p * p, -1))

    y = Y.copy()
    y[90] = 2  # in batch 12
    data = tf.data.Dataset.from_tensor_slices((X, y)).batch(8)
    with pytest.raises(TrainingDivergedError, match="got loss=inf at step 12") as failure:
        train(tmp_path, data=data, checkpoint_every=5, loss=loss, metrics=())
    assert "It can go on from step 10" in failure.value.__notes__[0]
    assert CheckpointStore(tmp_path / "checkpoints").steps() == [5, 10]


def test_weights_that_turn_bad_behind_a_good_loss_are_found(tmp_path: Path) -> None:
    def loss(y: Any, p: Any) -> Any:
        # The root of 0 is 0, and its gradient is no number.
        wanted = keras.ops.where(keras.ops.reshape(y, (-1,)) > 1, 0.0, 1.0)
        return keras.ops.sqrt(keras.ops.sum(p, -1) * wanted)

    y = Y.copy()
    y[90] = 2  # in batch 12
    data = tf.data.Dataset.from_tensor_slices((X, y)).batch(8).take(12)
    with pytest.raises(FloatingPointError, match="finite") as failure:
        train(tmp_path, data=data, epochs=1, checkpoint_every=5, loss=loss, metrics=())
    assert "It can go on from step 10" in failure.value.__notes__[0]


def test_weights_that_are_no_numbers_are_not_saved(tmp_path: Path) -> None:
    class Break(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                self.model.layers[1].gamma.assign([np.nan] * 8)

    with pytest.raises(TrainingDivergedError, match="gamma after step 26"):
        train(tmp_path, Break())
    assert CheckpointStore(tmp_path / "checkpoints").steps() == [STEPS]


def test_the_training_goes_on_without_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    whole = train(tmp_path / "whole")
    monkeypatch.setattr("pruneplug.training.checkpoints.store.write_checkpoint", full)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", UserWarning)
        result = train(tmp_path / "full")
    said = [str(warning.message) for warning in seen if warning.category is UserWarning]
    assert len(said) >= 4
    assert "step 13 could not be written ([Errno 28] No space left on device)" in said[0]
    assert result.metrics == whole.metrics
    assert result.checkpoint is None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 KB of its own."""
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_turns_read_only_costs_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is called on the run's folder from then on fails, as on ext4 after an error."""

    def turn_read_only() -> None:
        def fail(*arguments: Any, **options: Any) -> None:
            raise OSError(30, "Read-only file system")

        for name in ("unlink", "rename", "replace", "mkdir", "rmdir", "ftruncate"):
            monkeypatch.setattr(os, name, fail)

    whole = train(tmp_path / "whole", At("on_epoch_begin", 9, nothing))
    with monkeypatch.context(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        result = train(tmp_path / "cut", At("on_epoch_begin", 2, turn_read_only))
    assert result.metrics == whole.metrics
    assert result.checkpoint is None


@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_a_real_disk_that_fails_and_recovers(small_disk: Path, tmp_path: Path, fault: str) -> None:
    def fail() -> None:
        if fault == "full":
            # Not a byte is left, which the files of the next checkpoint need.
            with (small_disk / "ballast").open("wb", buffering=0) as file:
                while True:
                    try:
                        file.write(bytes(512))
                    except OSError:
                        return
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

    def recover() -> None:
        if fault == "full":
            (small_disk / "ballast").unlink()
        else:
            subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)

    hook = "on_epoch_begin"
    whole = train(tmp_path / "whole", At(hook, 9, nothing), At(hook, 9, nothing))
    with pytest.warns(UserWarning, match="step 26 could not be written"):
        again = train(small_disk.parent, At(hook, 2, fail), At(hook, 3, recover))
    assert arrays(whole) == arrays(again)


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    refusals: list[str] = []

    def second() -> None:
        try:
            train(tmp_path)
        except OSError as error:
            refusals.append(str(error))

    train(tmp_path, At("on_epoch_begin", 2, second))
    assert f"process {os.getpid()} on" in refusals[0]


def test_forced_to_resume_takes_what_fits_and_the_new_learning_rate(tmp_path: Path) -> None:
    train(tmp_path, epochs=2)
    with pytest.raises(ValueError, match=r"\n- optimizer\.learning_rate: 0\.001.* 0\.05"):
        train(tmp_path, optimizer=keras.optimizers.Adam(0.05))
    rates: list[float] = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            rates.append(float(self.model.optimizer.learning_rate))

    with pytest.warns(UserWarning, match="as forced; .*:\n- optimizer"):
        train(tmp_path, optimizer=keras.optimizers.Adam(0.05), force_resume=True)
    result = train(tmp_path / "other", Look(), optimizer=keras.optimizers.Adam(0.05), epochs=1)
    assert result.steps == STEPS


def test_settings_that_differ_are_shown(tmp_path: Path) -> None:
    train(tmp_path, epochs=2, settings={"model.dropout": 0.3})
    with pytest.raises(ValueError, match=r"\n- model\.dropout: 0\.3 in the checkpoint, 0\.1 now"):
        train(tmp_path, epochs=3, settings={"model.dropout": 0.1})


def test_a_checkpoint_is_due_by_time(tmp_path: Path) -> None:
    train(tmp_path, checkpoint_minutes=1e-9, keep_checkpoints=100)
    assert len(CheckpointStore(tmp_path / "checkpoints").steps()) > 3
