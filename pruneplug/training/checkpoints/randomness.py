"""The random generators that all code of a process shares, seeded for the time of a run."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
from tensorflow.python.eager.context import context  # holds TensorFlow's seed; no public reader

from pruneplug.pruning import keras_internals


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the generators of Python, NumPy, TensorFlow and Keras; put them back afterwards.

    Args:
        seed: Of all of them.
    """
    of_keras = keras_internals.global_seeds()
    # The seed, and the generator of seeds for operations that have none.
    of_tensorflow = {name: vars(context()).get(name) for name in ("_seed", "_rng")}
    of_python, of_numpy = random.getstate(), np.random.get_state()
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        vars(context()).update(of_tensorflow)
        keras_internals.restore_global_seeds(of_keras)
