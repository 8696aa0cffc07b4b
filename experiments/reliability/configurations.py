"""Trainings drawn by chance: model, pruning, optimizer, data, callbacks, checkpoints."""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pruneplug import (
    ConstantSparsity,
    GlobalAllocation,
    LinearSparsity,
    PolynomialDecay,
    SkipUnsupported,
    Trainer,
)
from pruneplug.tracking import Journal

SAMPLES, HELD_OUT, BATCH, EPOCHS, CLASSES = 300, 64, 16, 14, 3
STEPS = -(-SAMPLES // BATCH)
L = keras.layers


def _mlp() -> list[Any]:
    hidden = [L.Dense(32, activation="relu"), L.Dropout(0.3), L.Dense(16, activation="relu")]
    return [L.Flatten(), *hidden]


def _cnn() -> list[Any]:
    image = [L.Reshape((8, 8, 1)), L.Conv2D(8, 3), L.BatchNormalization(), L.ReLU()]
    return [*image, L.GlobalAveragePooling2D(), L.Dense(16)]


def _lstm() -> list[Any]:
    return [L.Reshape((8, 8)), L.LSTM(12, dropout=0.2), L.LayerNormalization()]


def _noisy() -> list[Any]:
    return [L.Flatten(), L.GaussianNoise(0.1), L.Dense(24, activation="gelu"), L.AlphaDropout(0.1)]


class Batches(keras.utils.PyDataset):
    """Batches by their number."""

    def __init__(self, x: Any, y: Any):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self) -> int:
        return STEPS

    def __getitem__(self, index: int) -> Any:
        rows = slice(index * BATCH, (index + 1) * BATCH)
        return self.x[rows], self.y[rows]


class Remembers(keras.callbacks.Callback):
    """A callback with a state of its own, of which the training depends."""

    def on_train_begin(self, logs: Any = None) -> None:
        """Forget."""
        self.seen: dict[int, float] = {}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Set the learning rate by the losses so far."""
        self.seen[epoch % 3] = self.seen.get(epoch % 3, 0.0) + logs["loss"]
        self.model.optimizer.learning_rate.assign(0.002 / (1 + sum(self.seen.values())))


def _generator(x: Any, y: Any) -> Iterator[Any]:
    batches = Batches(x, y)
    while True:
        yield from (batches[index] for index in range(STEPS))


def _data_set(x: Any, y: Any) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((x, y))


_BODIES: dict[str, Callable[[], list[Any]]] = {
    "MLP": _mlp,
    "CNN with BatchNorm": _cnn,
    "LSTM": _lstm,
    "MLP with noise": _noisy,
}
_OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "Adam": lambda: keras.optimizers.Adam(0.002),
    "SGD with momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    "AdamW, averaged": lambda: keras.optimizers.AdamW(0.002, use_ema=True),
    "RMSprop of 2 batches": lambda: keras.optimizers.RMSprop(0.002, gradient_accumulation_steps=2),
    "Lion": lambda: keras.optimizers.Lion(0.0005),
}
_SCHEDULES: dict[str, Callable[[], Any]] = {
    "polynomial": lambda: PolynomialDecay(0.1, 0.75, 10, 180, frequency=10),
    "linear": lambda: LinearSparsity(0.0, 0.6, 5, 150, frequency=7),
    "constant": lambda: ConstantSparsity(0.5, 30, frequency=25),
}
_PATTERNS: dict[str, Callable[[], Mapping[str, Any]]] = {
    "single weights": dict,
    "blocks of 2x2": lambda: {"block_size": (2, 2), "pruning_policy": SkipUnsupported()},
    "2 of 4": lambda: {"sparsity_m_by_n": (2, 4)},
    "global": lambda: {"allocation": GlobalAllocation()},
}
_FEEDS: dict[str, Callable[[Any, Any], Any]] = {
    "arrays": lambda x, y: (x, y),
    "shuffled data set": lambda x, y: _data_set(x, y).shuffle(100, 1).batch(BATCH),
    "cached data set": lambda x, y: _data_set(x, y).cache().batch(BATCH).prefetch(2),
    "PyDataset": Batches,
    "generator": _generator,
}
_CALLBACKS: dict[str, Callable[[Path], Any]] = {
    "EarlyStopping": lambda _: keras.callbacks.EarlyStopping(
        "val_loss", patience=6, restore_best_weights=True
    ),
    "ReduceLROnPlateau": lambda _: keras.callbacks.ReduceLROnPlateau("val_loss", patience=1),
    "CSVLogger": lambda folder: keras.callbacks.CSVLogger(str(folder / "log.csv")),
    "ModelCheckpoint": lambda folder: keras.callbacks.ModelCheckpoint(
        str(folder / "best.weights.h5"), save_best_only=True, save_weights_only=True
    ),
    "own": lambda _: Remembers(),
}
_CHOICES: Mapping[str, Mapping[str, Any]] = {
    "model": _BODIES,
    "optimizer": _OPTIMIZERS,
    "schedule": _SCHEDULES,
    "pattern": _PATTERNS,
    "feed": _FEEDS,
}

Configuration = Mapping[str, Any]


def drawn(draw: random.Random) -> Configuration:
    """Draw a configuration, fit for JSON."""
    found: dict[str, Any] = {name: draw.choice(list(kinds)) for name, kinds in _CHOICES.items()}
    found["callbacks"] = sorted(draw.sample(list(_CALLBACKS), draw.randint(0, 2)))
    found["checkpoint_every"] = draw.choice([None, 7, 30])
    found["jit_compile"] = draw.choice([False, "auto"])
    return found


def name(configuration: Configuration) -> str:
    """Return what a configuration is called in the table."""
    said = [configuration[part] for part in _CHOICES] + list(configuration["callbacks"])
    every = configuration["checkpoint_every"]
    return ", ".join([*said, "epochs saved" if every is None else f"saved every {every} steps"])


def train(folder: Path, seed: int, configuration: Configuration) -> None:
    """Train it in a folder, or go on, and write what came of it as the command does."""
    keras.utils.set_random_seed(seed)
    draw = np.random.default_rng(0)
    x = draw.standard_normal((SAMPLES + HELD_OUT, 64), np.float32)
    y = (x @ draw.standard_normal((64, CLASSES))).argmax(1)
    body = _BODIES[configuration["model"]]()
    model = keras.Sequential([keras.Input((64,)), *body, L.Dense(CLASSES, activation="softmax")])
    trainer = Trainer(
        model,
        _SCHEDULES[configuration["schedule"]](),
        optimizer=_OPTIMIZERS[configuration["optimizer"]](),
        epochs=EPOCHS,
        batch_size=BATCH,
        seed=seed,
        callbacks=[_CALLBACKS[kind](folder) for kind in configuration["callbacks"]],
        tracker=Journal(folder / "journal.jsonl", resume=True),
        folder=folder,
        checkpoint_every=configuration["checkpoint_every"],
        resume="auto",
        jit_compile=configuration["jit_compile"],
        **_PATTERNS[configuration["pattern"]](),
    )
    data = _FEEDS[configuration["feed"]](x[HELD_OUT:], y[HELD_OUT:])
    steps = STEPS if configuration["feed"] == "generator" else None
    result = trainer.fit(data, (x[:HELD_OUT], y[:HELD_OUT]), steps_per_epoch=steps)
    rows = [f"{weight.name},{weight.kept}" for weight in result.report.weights]
    (folder / "layers.csv").write_text("\n".join(rows))
    found = {"steps": result.steps, "metrics": result.metrics, "sparsity": rows}
    (folder / "summary.json").write_text(json.dumps(found))
