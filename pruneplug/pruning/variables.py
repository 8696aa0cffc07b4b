"""Variables read and written at the least cost, which many small layers feel; and masks as such.

Of each call of `keras.Variable.assign` and `keras.ops.where`, 0.1 to 0.2 ms is overhead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import SimpleNamespace
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf

from pruneplug.pruning.backend import require_tensorflow

# Here because all that prunes is built on this module, whichever is imported first.
require_tensorflow()


def read(variable: keras.Variable) -> Any:
    """Return a variable's value: a NumPy array in host memory, else a tensor on its device."""
    tensor = variable.value.value()  # its `read_value` takes four times as long
    # An array made of a host tensor shares its memory: reading costs no copy. (The outer call is
    # for a bfloat16 without axes, which TensorFlow gives as a scalar.)
    return tensor if "GPU" in tensor.device else np.asarray(tensor.__array__())


def write(variable: keras.Variable, value: Any) -> None:
    """Assign a value of the variable's shape and dtype, on every replica."""
    variable.value.assign(value, read_value=False)


def outside_traces() -> AbstractContextManager[Any]:
    """Return a context in which variables are read and written now, also while a step is traced."""
    scope: AbstractContextManager[Any] = tf.init_scope()
    return scope


@contextmanager
def thawed(variables: Sequence[keras.Variable]) -> Iterator[None]:
    """Let variables train for a moment."""
    before = [variable.trainable for variable in variables]
    try:
        for variable in variables:
            variable.trainable = True
        yield
    finally:
        for variable, trainable in zip(variables, before, strict=True):
            variable.trainable = trainable


def after(value: Any) -> AbstractContextManager[Any]:
    """Return a context in which nothing is done in a graph before a value is there."""
    # Of a variable, what it holds now must be asked for.
    context: AbstractContextManager[Any] = tf.control_dependencies([tf.convert_to_tensor(value)])
    return context


def masked(values: Any, kept: Any) -> Any:
    """Return `values`, and +0 where the boolean `kept` is False: two tensors of one shape.

    NaN and infinity do not outlast the mask. Outside XLA, TensorFlow takes kept denormal numbers
    for zeros, here as in each of an optimizer's operations before.
    """
    if values.dtype == "float32":
        # Takes two thirds of the time of a choice between a tensor and a scalar.
        return tf.math.multiply_no_nan(values, tf.cast(kept, values.dtype))
    return keras.ops.where(kept, values, keras.ops.zeros((), values.dtype))


def write_masked(variable: keras.Variable, mask: keras.Variable) -> None:
    """Set a variable to +0 where a boolean mask is False, without a copy beyond the new value."""
    write(variable, tf.where(mask.value, variable.value, 0))


class MaskVariable(keras.Variable):
    """A mask: stored as booleans, one byte a weight, and taken for numbers as TFMOT's masks are.

    Operators, NumPy and the operations of Keras and TensorFlow get 1 and 0 in the weight's dtype,
    which is `dtype` here. `value` is the boolean variable, for what must not pay for a conversion.
    """

    _taken_as: str

    @property
    def dtype(self) -> str:
        """The weight's dtype."""
        return self._taken_as

    def numpy(self) -> np.ndarray[Any, Any]:
        """Return the mask as an array of 1 and 0."""
        return np.asarray(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.asarray(super().__array__()).astype(dtype or self.dtype)

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        return tf.cast(tf.convert_to_tensor(self.value), dtype or self.dtype, name=name)


def _of_numbers(operator: Any) -> Any:
    """Return an operator of Keras variables, which is one of their `value`, for masks."""

    def operate(mask: MaskVariable, *others: Any) -> Any:
        return operator(SimpleNamespace(value=mask.__tf_tensor__()), *others)

    return operate


_OPERATORS = (
    *("getitem", "neg", "pos", "abs", "round", "eq", "ne", "lt", "le", "gt", "ge"),
    *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"),
    *("radd", "rsub", "rmul", "rtruediv", "rfloordiv", "rmod", "rpow", "rmatmul"),
)
for _name in _OPERATORS:
    setattr(MaskVariable, f"__{_name}__", _of_numbers(getattr(keras.Variable, f"__{_name}__")))


def mask_taken_as(variable: keras.Variable, dtype: str) -> keras.Variable:
    """Let a boolean variable be taken for numbers of a dtype."""
    variable.__class__ = MaskVariable  # a layer makes its variables itself, and of one class
    variable._taken_as = dtype
    return variable


class CountVariable(keras.Variable):
    """A number that knows whether it was set, other than by `write`, since `was_set` was cleared.

    To read a number from TensorFlow takes a tenth of a small model's training step.
    """

    was_set = False

    def assign(self, value: Any) -> Any:
        """Set the number, as whatever loads a state does."""
        self.was_set = True
        return super().assign(value)

    def _restore_from_tensors(self, restored_tensors: Any) -> Any:
        # TensorFlow's checkpoints set a variable so.
        self.was_set = True
        return super()._restore_from_tensors(restored_tensors)


def as_count(variable: keras.Variable) -> CountVariable:
    """Let a variable know whether it was set."""
    variable.__class__ = CountVariable
    return cast(CountVariable, variable)


def stored_dtype(variable: keras.Variable) -> str:
    """Return the dtype of the values that a variable holds."""
    return str(keras.backend.standardize_dtype(variable.value.dtype))
