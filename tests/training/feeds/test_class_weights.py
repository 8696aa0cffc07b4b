from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pruneplug.training.feeds.class_weights import check_class_weight, weigh_classes

WEIGHTS = {0: 0.5, 2: 3.0}
LABELS = np.array([0, 1, 2, 5])


@pytest.mark.parametrize(
    "y", [LABELS, LABELS[:, None], LABELS.astype("float32"), keras.utils.to_categorical(LABELS, 6)]
)
def test_each_sample_weighs_what_its_class_does(y: Any) -> None:
    weigh = weigh_classes(WEIGHTS, "training data")
    x = np.zeros((4, 1))
    assert weigh(x, y)[2].numpy().tolist() == [0.5, 1.0, 3.0, 1.0]
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(4).map(weigh)
    assert next(iter(dataset))[2].numpy().tolist() == [0.5, 1.0, 3.0, 1.0]


@pytest.mark.parametrize("parts", [(1,), (1, 2, 3), (1, [2, 2])])
def test_refuses_data_without_one_target(parts: Any) -> None:
    with pytest.raises(ValueError, match="class_weight must be given for training data of the"):
        weigh_classes(WEIGHTS, "training data")(*parts)


@pytest.mark.parametrize("wrong", [{}, [1.0], {"a": 1.0}, {0: -1.0}, {0: float("nan")}, {-1: 1.0}])
def test_refuses_what_is_no_table_of_weights(wrong: Any) -> None:
    with pytest.raises(ValueError, match="class_weight must map class ids to weights"):
        check_class_weight(wrong)
