import keras
import numpy as np
import pytest

from pruneplug.training.faults import (
    TrainingDivergedError,
    check_loss,
    check_weights,
    failed_to_fetch,
)


def test_a_loss_that_is_no_number_names_its_step() -> None:
    check_loss({"loss": 1.0}, None)
    with pytest.raises(TrainingDivergedError, match="got loss=nan at step 7"):
        check_loss({"loss": float("nan")}, 7)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_name_the_weight(value: float) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="out")])
    check_weights(model, 4)
    model.layers[0].kernel.assign([[0.0, value, 0.0]] * 2)
    with pytest.raises(TrainingDivergedError, match=r"in .*out/kernel after step 4"):
        check_weights(model, 4)


def test_tells_the_data_from_the_step() -> None:
    assert failed_to_fetch(RuntimeError("[[{{node IteratorGetNext}}]]"))
    assert not failed_to_fetch(RuntimeError("[[{{node MatMul}}]]"))
