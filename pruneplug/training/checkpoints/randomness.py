"""The random generators that all code of a process shares, seeded for the time of a run."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
from keras.src.backend.common import global_state  # where Keras keeps what is global
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
from keras.src.utils.rng_utils import GLOBAL_RANDOM_SEED
from tensorflow.python.eager.context import context  # holds TensorFlow's seed; no public reader


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the generators of Python, NumPy, TensorFlow and Keras; put them back afterwards.

    Args:
        seed: Of all of them.
    """
    names = (GLOBAL_RANDOM_SEED, GLOBAL_SEED_GENERATOR)
    of_keras = {name: global_state.get_global_attribute(name) for name in names}
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
        for name, value in of_keras.items():
            global_state.set_global_attribute(name, value)
