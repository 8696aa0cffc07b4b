import itertools
import json
import random
import warnings
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import keras
import mlflow
import numpy as np
import pytest
import tensorflow as tf

from pruneplug import ConstantSparsity
from pruneplug.training.checkpoints.callbacks.state import CallbackState
from pruneplug.training.checkpoints.manifest import read_manifest, write_manifest
from pruneplug.training.trainer import Trainer


class Shade(Enum):
    DARK = 1


class Point(NamedTuple):
    x: float
    y: float


@dataclass(frozen=True)
class Row:
    number: int
    values: list[float]


class Memory(keras.callbacks.Callback):
    def __init__(self, patience: int = 1) -> None:
        super().__init__()
        self.patience = patience
        self.file = open  # no plain data
        self.seen: Any = []


VALUES = [
    None,
    3,
    0.1,
    "text",
    [1, (2.5, None)],
    {"a": [True], "b": {}},
    np.arange(3, dtype="float32"),
    [np.float32(0.1), np.int64(4)],
    keras.ops.less,
    {1: 0.5, (2, "a"): 0.25},
    {1, 2, 3},
    frozenset({"a"}),
    deque([1, 2], maxlen=3),
    OrderedDict(b=1, a=2),
    Counter("aab"),
    defaultdict(list, {3: [np.float32(1)]}),
    b"\x00\xff/\x80",
    bytearray(b"ab"),
    1 + 2j,
    range(3, 9, 2),
    Decimal("0.10"),
    Fraction(1, 3),
    datetime(2020, 1, 2, 3, 4, 5, 6, timezone(timedelta(hours=2))),
    date(2020, 1, 2),
    timedelta(days=-1, microseconds=3),
    np.float64(0.1),
    np.array(["a", "b"]),
    np.datetime64("2020-01-02"),
    Shade.DARK,
    [Point(1.0, 2.0), (Row(1, [0.5]), None)],
]


def through(value: Any) -> Any:
    one, other = Memory(), Memory()
    state, restored = CallbackState([one]), CallbackState([other])
    one.seen = value
    states, arrays = state.save()
    restored.restore(json.loads(json.dumps(states)), [array for _, array in arrays])
    return other.seen


@pytest.mark.parametrize("value", VALUES, ids=lambda value: getattr(value, "__name__", str(value)))
def test_values_come_back_as_they_were(value: Any) -> None:
    back = through(value)
    assert type(back) is type(value)
    np.testing.assert_equal(back, value)


def test_only_what_changed_is_state() -> None:
    memory = Memory()
    state = CallbackState([memory])
    assert state.save() == ([{"callback": "Memory", "values": {}}], [])
    memory.seen.append(np.zeros(2))
    saved, arrays = state.save()
    assert list(saved[0]["values"]) == ["seen"]
    assert [path for path, _ in arrays] == ["Memory/seen"]
    other = Memory(patience=5)
    CallbackState([other]).restore(saved, [array for _, array in arrays])
    assert other.patience == 5


def test_an_unchanged_array_is_no_state() -> None:
    memory = Memory()
    memory.seen = np.ones(3)
    state = CallbackState([memory])
    assert state.save()[1] == []
    memory.seen[0] = 2
    assert len(state.save()[1]) == 1


def test_refuses_other_callbacks() -> None:
    states, _ = CallbackState([Memory()]).save()
    with pytest.raises(ValueError, match=r"callbacks=\['History'\] instead of \['Memory'\]"):
        CallbackState([keras.callbacks.History()]).restore(states, [])


GENERATORS = {
    **{
        kind.__name__: lambda kind=kind: np.random.Generator(kind(3))
        for kind in (np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64)
    },
    "RandomState": lambda: np.random.RandomState(3),
    "Random": lambda: random.Random(3),
}


@pytest.mark.parametrize("name", GENERATORS)
def test_a_random_generator_goes_on_where_it_was(name: str) -> None:
    def draw(generator: Any) -> Any:
        return [generator.normalvariate(0, 1) if name == "Random" else generator.normal()]

    one, other = Memory(), Memory()
    one.seen, other.seen = GENERATORS[name](), GENERATORS[name]()
    shared = other.seen
    states = CallbackState([one]), CallbackState([other])
    draw(one.seen)
    transfer(*states)
    assert other.seen is shared  # whoever else draws from it goes on too
    assert draw(other.seen) == draw(one.seen)


def transfer(saved: CallbackState, restored: CallbackState) -> None:
    states, arrays = saved.save()
    restored.restore(json.loads(json.dumps(states)), [array for _, array in arrays])


@dataclass
class Stats:
    count: int = 0
    rows: list[Any] = field(default_factory=list)

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


class Rich(keras.callbacks.Callback):
    """Holds state in objects of every kind."""

    shared: dict[int, int] = {}  # noqa: RUF012 - as users write it

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.stats, self.pair = Stats(), [Stats(), {"b": Stats()}]
        self.weight = keras.Variable(np.zeros(2, "float32"))
        self.plain = tf.Variable(0.0)
        self.mean = keras.metrics.Mean()
        self.seeds = keras.random.SeedGenerator(1)
        self.inner = keras.callbacks.EarlyStopping("loss", patience=7)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.scale *= 0.5
        self.stats.count += 1
        self.stats.rows.append(epoch)
        self.pair[0].count += 2
        self.pair[1]["b"].count += 3
        self.weight.assign_add([1.0, 2.0])
        self.plain.assign_add(1.5)
        self.mean.update_state(4.0)
        self.inner.wait += 1
        self.late = (epoch, "word")
        type(self).shared = {**self.shared, epoch: 1}
        keras.random.uniform((), seed=self.seeds)

    def all(self) -> list[Any]:
        return [
            self.scale, self.stats, self.pair, self.weight.numpy().tolist(), self.plain.numpy(),
            self.mean.result().numpy(), self.seeds.state.numpy().tolist(), self.inner.wait,
            self.late, self.shared,
        ]  # fmt: skip


def test_objects_are_filled_and_lazy_attributes_made() -> None:
    one, other = Rich(), Rich()
    states = CallbackState([one]), CallbackState([other])
    one.on_epoch_end(0)
    one.on_epoch_end(1)
    expected = [*one.all()]
    Rich.shared = {}
    one.shared, stats = expected[-1], other.stats
    transfer(*states)
    assert other.all() == expected
    assert other.stats is stats
    assert other.inner.patience == 7


class Careless(keras.callbacks.Callback):
    def __init__(self, name: str = "word", rate: float = 1.0) -> None:
        super().__init__()
        self.name, self.rate, self.lock, self.steps = name, rate, Lock(), iter(range(3))
        self.found: Any = None

    def keep(self, value: Any) -> None:
        self.found = value


class Odd:
    pass


LOST: dict[str, Callable[[], Any]] = {
    "object": Odd,
    "in a list": lambda: [1, Odd()],
    "path": lambda: Path("a"),
    "file name": lambda: "some/place",
    "file in a list": lambda: [(0.5, "some/place")],
    "file as a key": lambda: {"/etc": 1},
    "file in bytes": lambda: b"some/place",
    "file in an array": lambda: np.array(["some/place"]),
    "file that is there": lambda: "pyproject.toml",
    "iterator": lambda: iter([1]),
    "variable": lambda: keras.Variable(1.0),
    "layer": lambda: keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]),
    "itself": lambda: (value := [], value.append(value))[0],
    "objects": lambda: np.array([None]),
}


@pytest.mark.parametrize("name", LOST)
def test_what_cannot_be_saved_is_named_once(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    careless = Careless()
    careless.steps = None
    state = CallbackState([careless])
    assert state.save()[0][0]["values"] == {}
    careless.keep(LOST[name]())
    with pytest.warns(UserWarning, match=r"Careless\.found has changed and cannot be saved: it ho"):
        assert state.save()[0][0]["values"] == {}
    assert state.save()[0][0]["values"] == {}


def test_what_may_have_changed_or_counts_as_a_setting_is_named_too() -> None:
    careless = Careless()
    state = CallbackState([careless])
    careless.rate = 2.0
    with pytest.warns(UserWarning, match="has changed and cannot be saved") as told:
        state.save()
    assert [str(one.message).split()[0] for one in told] == ["Careless.rate", "Careless.steps"]


@pytest.mark.parametrize(
    "value",
    [len, Lock(), keras.Model, keras.utils.Progbar(1), np, tf.function(len)],
    ids=lambda value: str(value)[:9],
)
def test_what_every_run_makes_itself_is_no_state(value: Any) -> None:
    careless = Careless()
    careless.steps = None
    state = CallbackState([careless])
    careless.keep([value])
    assert state.save()[0][0]["values"] == {}


def usual(folder: Path) -> list[keras.callbacks.Callback]:
    k = keras.callbacks
    return [
        k.CSVLogger(folder / "log.csv"),
        k.ModelCheckpoint(folder / "best.keras", "loss", save_best_only=True),
        k.ModelCheckpoint(folder / "all.weights.h5", save_weights_only=True, save_freq=2),
        k.ReduceLROnPlateau("loss", patience=1, cooldown=1),
        k.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
        k.TensorBoard(folder / "board", histogram_freq=1, update_freq=1),
        k.BackupAndRestore(folder / "backup", save_freq=2, delete_checkpoint=False),
        k.TerminateOnNaN(),
        k.EarlyStopping("loss", patience=5, restore_best_weights=True),
        k.ProgbarLogger(),
        k.LambdaCallback(on_epoch_end=lambda epoch, logs: None),
        k.SwapEMAWeights(),
        mlflow.keras.MlflowCallback(),
    ]


def train(folder: Path, callbacks: list[keras.callbacks.Callback]) -> bytes:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    trainer = Trainer(
        model, ConstantSparsity(0.5, 0, frequency=1), epochs=3, batch_size=4, callbacks=callbacks,
        optimizer=keras.optimizers.SGD(use_ema=True), loss="mse", metrics=[], resume="auto",
        folder=folder / "run", jit_compile=False,
    )  # fmt: skip
    x = np.random.default_rng(0).normal(size=(12, 3))
    result = trainer.fit((x, x[:, :1]), (x, x[:, :1]))
    return (Path(result.checkpoint or "") / "arrays.npy").read_bytes()


class Stop(Exception):
    pass


def stop_after(epoch: int) -> keras.callbacks.Callback:
    def stop(at: int, logs: Any = None) -> None:
        if at == epoch:
            raise Stop

    return keras.callbacks.LambdaCallback(on_epoch_begin=stop)


class Wanderer(keras.callbacks.Callback):
    """Sets the learning rate by all that it remembers."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor, self.rng, self.other = factor, np.random.default_rng(1), random.Random(2)
        self.rates, self.last, self.stats = {0: 0.1}, deque([0.1], maxlen=2), Stats()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.factor *= self.other.uniform(0.5, 1.0)
        self.stats.count += 1
        rate = self.factor * self.rates[epoch] * self.rng.uniform(0.5, 1) / self.stats.count
        self.rates[epoch + 1] = rate
        self.last.append(rate)
        self.model.optimizer.learning_rate = sum(self.last)


def test_a_run_whose_callback_remembers_much_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", [Wanderer(), stop_after(-1)])
    with pytest.raises(Stop):
        train(tmp_path / "cut", [Wanderer(), stop_after(2)])
    assert train(tmp_path / "cut", [Wanderer(), stop_after(-1)]) == whole


def test_the_usual_callbacks_give_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("log_metrics", "log_params", "log_text"):  # no server is needed
        monkeypatch.setattr(f"mlflow.keras.callback.{name}", lambda *_, **__: None)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(Stop):
            train(tmp_path, [*usual(tmp_path), stop_after(2)])
        train(tmp_path, [*usual(tmp_path), stop_after(-1)])
    assert not [str(one.message) for one in told if "A run that resumes" in str(one.message)]


def test_a_part_of_the_model_is_saved_with_the_model() -> None:
    careless = Careless()
    careless.steps = None
    careless.set_model(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))
    state = CallbackState([careless])
    careless.keep(keras.Model(careless.model.inputs, careless.model.layers[0].output))
    assert state.save()[0][0]["values"] == {}


PAYLOADS = [
    "/victim", "victim", True, 7, None, ["/victim"], {"list": ["/victim"]}, {"dict": {"a": "../v"}},
    {"enum": ["Shade", "DARK"]}, {"record": ["Row", {"number": 1, "values": 1}]},
    {"function": "less"}, {"bytes": {"array": 0}}, {"array": 0}, {"other": ["x", 1]}, {"x": 1},
    {"record": ["Path", {}]}, {"named": ["Popen", []]}, {"deque": {"tuple": [{"list": []}, -3]}},
]  # fmt: skip
SETTINGS = (
    "filename", "sep", "append", "filepath", "save_freq", "save_best_only", "save_weights_only",
    "monitor", "mode", "patience", "cooldown", "factor", "verbose", "log_dir", "_log_write_dir",
    "_train_dir", "_val_dir", "update_freq", "histogram_freq", "backup_dir", "_weights_path",
    "_training_metadata_path", "_prev_weights_path", "delete_checkpoint", "double_checkpoint",
    "restore_best_weights", "schedule", "swap_on_epoch", "model_id", "on_epoch_end", "__class__",
    "__dict__", "model", "_model", "params", "set_model", "csv_file", "_new",
)  # fmt: skip


@pytest.mark.filterwarnings("ignore:.* was not taken from the checkpoint:UserWarning")
def test_a_hostile_checkpoint_sets_no_setting(tmp_path: Path) -> None:
    for callback in [*usual(tmp_path), Careless("some/place")]:
        state = CallbackState([callback])
        name = type(callback).__name__
        before = {setting: getattr(callback, setting, None) for setting in SETTINGS}
        before |= {at: value for at, value in vars(callback).items() if isinstance(value, str)}
        # The columns of a CSV file may be called like any metric.
        names = {*SETTINGS, *vars(callback), "a.b", ""} - {"keys"}
        for at, payload in itertools.product(names, PAYLOADS):
            values = {at: [payload, 0, 1]}
            state.restore(
                [{"callback": name, "values": values}], [np.frombuffer(b"/victim", np.uint8)]
            )
            assert "/victim" not in str(vars(callback))
            assert not [x for x, was in before.items() if getattr(callback, x, None) != was]


class Sweeper(keras.callbacks.Callback):
    """Removes what it wrote before, as those do that keep one file."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.last, self.seen = folder, None, 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.last is not None:
            Path(self.last).unlink(missing_ok=True)
        self.last = None
        self.seen += 1


def test_a_forged_checkpoint_costs_no_file(tmp_path: Path) -> None:
    def callbacks(epoch: int) -> list[keras.callbacks.Callback]:
        return [
            keras.callbacks.BackupAndRestore(tmp_path / "backup"),
            keras.callbacks.ModelCheckpoint(tmp_path / "own.keras"),
            Sweeper(tmp_path),
            stop_after(epoch),
        ]

    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("precious")
    with pytest.raises(Stop):
        train(tmp_path, callbacks(1))
    (newest,) = (tmp_path / "run" / "checkpoints").glob("step-*")
    manifest = read_manifest(newest)
    backup, checkpoint, sweeper = (state["values"] for state in manifest["facts"]["callbacks"][:3])
    for name in ("backup_dir", "_weights_path", "_training_metadata_path"):
        backup[name] = [str(victim), 0, 0]
    checkpoint["filepath"] = sweeper["last"] = [str(victim / "file"), 0, 0]
    write_manifest(newest, manifest)
    resumed = callbacks(-1)
    with pytest.warns(UserWarning, match="was not taken from the checkpoint") as told:
        train(tmp_path, resumed)
    assert len([one for one in told if "was not taken" in str(one.message)]) == 5
    assert (victim / "file").read_text() == "precious"
    assert resumed[2].seen == 3
