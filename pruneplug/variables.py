"""Variables read and written at the least cost, which many small layers feel.

Of each call of `keras.Variable.assign` and `keras.ops.where`, 0.1 to 0.2 ms is overhead.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


def read(variable: keras.Variable) -> Any:
    """Return a variable's value: a NumPy array in host memory, else a tensor on its device."""
    if keras.backend.backend() != "tensorflow":
        return keras.ops.convert_to_numpy(variable)
    tensor = variable.value.read_value()
    # An array made of a host tensor shares its memory: reading costs no copy. (The outer call is
    # for a bfloat16 without axes, which TensorFlow gives as a scalar.)
    return tensor if "GPU" in tensor.device else np.asarray(tensor.__array__())


def write(variable: keras.Variable, value: Any) -> None:
    """Assign a value of the variable's shape and dtype, on every replica."""
    if keras.backend.backend() == "tensorflow":
        variable.value.assign(value, read_value=False)
    else:
        variable.assign(value)


def write_masked(variable: keras.Variable, mask: keras.Variable) -> None:
    """Set a variable to +0 where a boolean mask is False, without a copy beyond the new value."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        write(variable, tf.where(mask.value, variable.value, 0))
    else:
        variable.assign(keras.ops.where(mask, variable, keras.ops.zeros((), variable.dtype)))
