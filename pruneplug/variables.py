"""Variables read and written at the least cost: no copy, and no second reading."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


def read(variable: keras.Variable) -> Any:
    """Return a variable's value: a NumPy array in host memory, else a tensor on its device."""
    if keras.backend.backend() != "tensorflow":
        return keras.ops.convert_to_numpy(variable)
    tensor = variable.value.read_value()
    # An array made of a host tensor shares its memory: reading costs no copy.
    return tensor if "GPU" in tensor.device else np.asarray(tensor)


def write(variable: keras.Variable, value: Any) -> None:
    """Assign a value of the variable's shape and dtype, on every replica."""
    if keras.backend.backend() == "tensorflow":
        # Keras' own `assign` takes three times as long, which many small layers feel.
        variable.value.assign(value, read_value=False)
    else:
        variable.assign(value)
