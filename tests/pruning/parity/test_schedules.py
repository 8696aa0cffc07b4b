"""Schedules are due at TFMOT's steps, with TFMOT's sparsity."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from oracle import reference

from pruneplug import ConstantSparsity, PolynomialDecay


def _answers(schedule: reference.PruningSchedule, steps: range) -> tuple[list[bool], np.ndarray]:
    asked = [schedule(tf.constant(step, tf.int64)) for step in steps]
    return [bool(due) for due, _ in asked], np.array([sparsity.numpy() for _, sparsity in asked])


@pytest.mark.parametrize("seed", range(8))
def test_constant_sparsity_at_every_step(seed: int, compared: Callable[[int], None]) -> None:
    rng = np.random.default_rng(seed)
    begin = int(rng.integers(0, 40))
    end = -1 if seed % 2 else begin + int(rng.integers(0, 60))
    arguments = (float(rng.uniform()), begin, end, int(rng.integers(1, 20)))
    steps = range(max(begin, end) + 40)
    due, sparsity = _answers(reference.ConstantSparsity(*arguments), steps)
    ours = ConstantSparsity(*arguments)
    assert [ours(step)[0] for step in steps] == due
    np.testing.assert_array_equal(np.float32([ours(step)[1] for step in steps]), sparsity)
    compared(len(steps))


@pytest.mark.parametrize("power", [1, 2, 3, 4, 0.5, 1.7, 2.5])
@pytest.mark.parametrize("seed", range(3))
def test_polynomial_decay_at_every_step(
    power: float, seed: int, compared: Callable[[int], None]
) -> None:
    rng = np.random.default_rng(seed)
    begin, frequency = int(rng.integers(0, 40)), int(rng.integers(1, 20))
    # A range that is a multiple of the frequency: where it is not, TFMOT misses the last update.
    end = begin + frequency * int(rng.integers(1, 6))
    arguments = (float(rng.uniform()), float(rng.uniform()), begin, end, power, frequency)
    steps = range(end + 20)
    due, sparsity = _answers(reference.PolynomialDecay(*arguments), steps)
    ours = PolynomialDecay(*arguments)
    assert [ours(step)[0] for step in steps] == due
    # TFMOT's powf and Python's pow round the last bit of float32 differently now and then.
    rounding = 2**-24
    np.testing.assert_allclose(
        np.float32([ours(step)[1] for step in steps]), sparsity, rtol=0, atol=rounding
    )
    compared(len(steps))
