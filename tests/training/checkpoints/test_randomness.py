import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from pruneplug.training.checkpoints.randomness import seeded


def draws() -> list[float]:
    return [
        random.random(),
        float(np.random.uniform()),
        float(tf.random.uniform(())),
        float(keras.random.uniform(())),
        float(keras.initializers.RandomUniform()((1,))[0]),
    ]


def _fail_inside() -> None:
    with seeded(8):
        draws()
        raise RuntimeError("inside")


def test_seeds_inside_and_changes_nothing_outside() -> None:
    keras.utils.set_random_seed(3)
    expected = [draws(), draws()]
    keras.utils.set_random_seed(3)
    first = draws()
    inside = []
    for _ in range(2):
        with seeded(7):
            inside.append(draws())
    with pytest.raises(RuntimeError, match="inside"):
        _fail_inside()
    assert [first, draws()] == expected
    assert inside[0] == inside[1]
    assert inside[0] not in expected
