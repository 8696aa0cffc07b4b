"""Reading costs no copy; writing is seen by everyone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pruneplug.pruning import variables


def test_reading_copies_nothing() -> None:
    variable = keras.Variable(np.ones((64, 64), np.float32))
    assert np.shares_memory(variables.read(variable), variables.read(variable))


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


def test_refuses_another_shape() -> None:
    with pytest.raises(ValueError, match="shape"):
        variables.write(keras.Variable(np.zeros((2, 2), np.float32)), np.zeros(4, np.float32))


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


def _mask(dtype: str = "float32") -> keras.Variable:
    mask = keras.Variable([[1, 0, 1], [0, 0, 1]], dtype="bool", trainable=False)
    return variables.mask_taken_as(mask, dtype)


def test_a_mask_takes_one_byte_a_weight_and_is_read_as_booleans() -> None:
    mask = _mask()
    assert variables.stored_dtype(mask) == "bool"
    assert variables.read(mask).nbytes == 6
    assert np.shares_memory(variables.read(mask), variables.read(mask))
    assert variables.stored_dtype(keras.Variable([1.0], dtype="float16")) == "float16"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_mask_is_taken_for_numbers(dtype: str) -> None:
    mask = _mask(dtype)
    ones = keras.ops.ones((2, 3), dtype)
    assert mask.dtype == keras.ops.convert_to_numpy(mask).dtype.name == dtype
    for total in (keras.ops.sum(mask), keras.ops.sum(mask * ones), keras.ops.sum(ones * mask)):
        assert (total.dtype.name, float(total)) == (dtype, 3.0)
    assert float(keras.ops.mean(mask)) == 0.5
    inverse = 1 - mask
    assert inverse.dtype.name == dtype
    np.testing.assert_array_equal(np.asarray(inverse), [[0, 1, 0], [1, 1, 0]])
    np.testing.assert_array_equal(keras.ops.where(mask, 2, 3), [[2, 3, 2], [3, 3, 2]])
    assert keras.ops.cast(mask, "bool").dtype == tf.bool


def test_every_operator_of_variables_takes_a_mask_for_numbers() -> None:
    mask, same = _mask(), keras.Variable([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    two = np.full((2, 3), 2.0, "float32")
    for operator in variables._OPERATORS:
        others = {"getitem": (0,), "matmul": (two.T,), "rmatmul": (two.T,)}.get(operator, (two,))
        if operator in ("neg", "pos", "abs", "round"):
            others = ()
        results = [getattr(x, f"__{operator}__")(*others) for x in (mask, same)]
        np.testing.assert_array_equal(*results, err_msg=operator)
        assert results[0].dtype == results[1].dtype


def test_a_mask_is_set_by_numbers_and_by_booleans() -> None:
    mask = _mask()
    for value in (np.eye(2, 3), np.eye(2, 3, dtype=bool), keras.ops.eye(2, 3), 0.5 * np.eye(2, 3)):
        mask.assign(np.zeros((2, 3)))
        mask.assign(value)
        np.testing.assert_array_equal(mask, np.eye(2, 3))


def test_a_mask_is_read_inside_a_graph_as_it_is_then() -> None:
    mask = _mask()
    total = tf.function(lambda: tf.reduce_sum(mask))
    assert float(total()) == 3
    mask.assign(np.ones((2, 3)))
    assert float(total()) == 6
