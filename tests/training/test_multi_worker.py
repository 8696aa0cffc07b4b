"""Two processes on loopback train one model: Keras' own `fit` cannot."""

import json
import os
import random
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pytest

WORKER = """
import sys
import keras, numpy as np, tensorflow as tf
strategy = tf.distribute.MultiWorkerMirroredStrategy()
import pruneplug as pp
from pruneplug.tracking import Journal
from pathlib import Path

task, folder = int(sys.argv[1]), Path(sys.argv[2])
rng = np.random.default_rng(0)
data = rng.standard_normal((320, 16)).astype("float32"), rng.integers(0, 10, 320)

def train(name, epochs):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = keras.Sequential([
            keras.Input((16,)),
            keras.layers.Dense(32, activation="relu", name="a"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(10, activation="softmax", name="b"),
        ])
        model = pp.prune_low_magnitude(model, pp.PolynomialDecay(0.0, 0.8, 2, 20, frequency=3))
    trainer = pp.Trainer(
        model, epochs=epochs, batch_size=32, folder=folder / name, resume="auto",
        tracker=Journal(folder / f"{name}-{task}.jsonl"), jit_compile=False, monitor="loss",
        progress=True, checkpoint_minutes=1e-9 if task == 0 else 1e9, checkpoint_every=1000,
        keep_checkpoints=1000,
    )
    # What is trained is lent; the validation sees what each replica has for itself.
    result = trainer.fit(data, validation=data)
    weights = [keras.ops.convert_to_numpy(v) for v in result.model.trainable_variables]
    return weights, result.history["val_loss"]

(folder / "whole").mkdir(exist_ok=True); (folder / "cut").mkdir(exist_ok=True)
weights, losses = train("whole", 3)
train("cut", 2)
again, losses_again = train("cut", 3)
np.savez(folder / f"{task}.npz", *weights)
same = all(np.array_equal(one, other) for one, other in zip(weights, again))
print("RESUMED", same and losses == losses_again, losses, losses_again)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where both workers have left what they trained."""
    folder = tmp_path_factory.mktemp("cluster")
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(2)]
    with ExitStack() as held:
        workers = [held.enter_context(_start(task, addresses, folder)) for task in range(2)]
        for worker in workers:
            held.callback(worker.kill)
        for task, worker in enumerate(workers):
            output, _ = worker.communicate(timeout=120)
            assert worker.returncode == 0, output[-3000:]
            (folder / f"{task}.txt").write_text(output)
    return folder


def _free_ports(count: int) -> list[int]:
    """Return ports below those that a system gives to whoever asks for any."""
    found: list[int] = []
    for port in random.Random().sample(range(20_000, 32_000), 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
    return found[:count]


def _start(task: int, addresses: list[str], folder: Path) -> subprocess.Popen[str]:
    cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": task}}
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(task), str(folder)],
        env=environment | {"TF_CONFIG": json.dumps(cluster)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_all_workers_hold_the_same_weights_and_masks(folder: Path) -> None:
    first, second = (np.load(folder / f"{task}.npz") for task in range(2))
    assert len(first.files) == 6
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name])
    kernels = [first[name] for name in (first.files[0], first.files[4])]
    assert [np.count_nonzero(kernel) for kernel in kernels] == [102, 64]


def test_one_worker_writes_checkpoints_and_metrics(folder: Path) -> None:
    found = sorted(path.name for path in (folder / "whole" / "checkpoints").iterdir())
    # The chief's clock says that one is due at each look, the other's that none ever is.
    assert found[:3] == ["final", "latest", "step-00000001"]
    assert found[-1] == "step-00000030"
    assert (folder / "whole-0.jsonl").stat().st_size > 0
    other = folder / "whole-1.jsonl"
    assert not other.exists() or other.stat().st_size == 0


@pytest.mark.parametrize("task", [0, 1])
def test_resumed_workers_end_with_the_same_bits(folder: Path, task: int) -> None:
    output = (folder / f"{task}.txt").read_text()
    assert "RESUMED True" in output, output[-3000:]
