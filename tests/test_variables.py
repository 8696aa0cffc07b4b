"""Reading costs no copy; writing is seen by everyone."""

import keras
import numpy as np
import pytest

from pruneplug import variables


@pytest.fixture(params=["tensorflow", "another backend"])
def _backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go TensorFlow's own way, and that of the other backends, which leads there with it too."""
    monkeypatch.setattr(keras.backend, "backend", lambda: request.param)


on_every_backend = pytest.mark.usefixtures("_backend")


def test_reading_copies_nothing() -> None:
    variable = keras.Variable(np.ones((64, 64), np.float32))
    assert np.shares_memory(variables.read(variable), variables.read(variable))


@on_every_backend
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "bool", "int64"])
def test_reads_what_was_written(dtype: str) -> None:
    variable = keras.Variable([[0, 1], [1, 0]], dtype=dtype)
    value = np.array([[1, 0], [0, 0]]).astype(variables.read(variable).dtype)
    variables.write(variable, value)
    np.testing.assert_array_equal(variables.read(variable), value)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int64"])
def test_reads_a_value_without_axes(dtype: str) -> None:
    value = variables.read(keras.Variable(3, dtype=dtype))
    assert (value.shape, float(value), value.dtype.name) == ((), 3.0, dtype)


def test_what_was_read_stays_when_the_variable_changes() -> None:
    variable = keras.Variable(np.zeros(4, np.float32))
    before = variables.read(variable)
    variable.assign_add(np.ones(4, np.float32))
    variables.write(variable, variables.read(variable) + 1)
    assert before.tolist() == [0.0] * 4
    assert variables.read(variable).tolist() == [2.0] * 4


@on_every_backend
def test_refuses_another_shape() -> None:
    with pytest.raises(ValueError, match="shape"):
        variables.write(keras.Variable(np.zeros((2, 2), np.float32)), np.zeros(4, np.float32))


@on_every_backend
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_what_is_masked_is_a_positive_zero_and_the_rest_keeps_its_bits(dtype: str) -> None:
    variable = keras.Variable([-1.5, -2.5, -0.0, 3.5, 1e-7, np.inf], dtype=dtype)
    before = variables.read(variable)
    mask = keras.Variable([False, True, True, False, True, False], dtype="bool")
    variables.write_masked(variable, mask)
    expected = np.where(variables.read(mask), before, before.dtype.type(0))
    assert variables.read(variable).tobytes() == expected.tobytes()
    after = variables.masked(keras.ops.convert_to_tensor(before), mask.value)
    assert keras.ops.convert_to_numpy(after).tobytes() == expected.tobytes()
