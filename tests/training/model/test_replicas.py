"""What each replica has for itself comes back to it, in a process with two devices."""

import subprocess
import sys
from pathlib import Path

import keras
import tensorflow as tf

from pruneplug.training.model.replicas import Replicas

MIRRORED = """
import sys
from pathlib import Path
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from pruneplug import ConstantSparsity, Trainer
from pruneplug.training.model.replicas import Replicas
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

def build():
    keras.utils.set_random_seed(0)
    with strategy.scope():
        return keras.Sequential([
            keras.Input((4,)), keras.layers.Dense(8), keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3), keras.layers.Dense(3, activation="softmax"),
        ])

model = build()
mean = model.layers[1].moving_mean
own = mean.value.values
for index, value in enumerate(own):
    value.assign(np.full(8, index + 0.5, np.float32))
replicas = Replicas(strategy, model.variables)
saved = list(replicas.read())
assert saved[0][0] == mean.path and saved[0][1].tolist() == [[0.5] * 8, [1.5] * 8]
assert all("kernel" not in path for path, _ in saved)
for value in own:
    value.assign(np.zeros(8, np.float32))
Replicas(strategy, [mean]).write([(mean.path, np.ones((3, 8), np.float32))])
assert not np.any(own[1].numpy()), "taken from another number of replicas"
replicas.write(saved)
assert [float(value.numpy()[0]) for value in own] == [0.5, 1.5]

x, y = np.random.default_rng(0).standard_normal((64, 4), np.float32), np.arange(64) % 3
def train(name, epochs):
    folder = Path(sys.argv[1]) / name
    trainer = Trainer(build(), ConstantSparsity(0.5, 1), epochs=epochs, batch_size=8,
                      folder=folder, resume="auto", jit_compile=False)
    result = trainer.fit((x, y), (x, y))
    return result.history, result.model.get_weights()

history, weights = train("whole", 3)
train("cut", 1)
history_again, weights_again = train("cut", 3)
assert history_again == history, (history_again, history)
for one, other in zip(weights, weights_again, strict=True):
    np.testing.assert_array_equal(one, other)
"""


def test_a_resumed_run_on_replicas_ends_with_the_same_bits(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MIRRORED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]


def test_alone_there_is_nothing_of_the_kind() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()])
    assert list(Replicas(tf.distribute.get_strategy(), model.variables).read()) == []
