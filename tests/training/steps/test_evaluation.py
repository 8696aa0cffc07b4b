from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pruneplug.training.feeds.base import evaluation_feed
from pruneplug.training.steps.evaluation import Evaluation

X, Y = np.random.default_rng(0).normal(size=(10, 3)), np.arange(10) % 2


class Count(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self.batches.append(batch)


def test_equals_keras_evaluate_with_and_without_batch_hooks() -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    expected = model.evaluate(X, Y, batch_size=4, return_dict=True, verbose=0)
    count = Count()
    for callbacks in ([], [count]):
        feed = evaluation_feed((X, Y), "data", 4, model.distribute_strategy)
        listed = keras.callbacks.CallbackList(callbacks, model=model)
        evaluation = Evaluation(model, feed, listed)
        assert evaluation.run() == evaluation.run() == expected
    assert count.batches == [0, 1, 2, 0, 1, 2]
    assert evaluation.names == {"loss", "accuracy"}


def test_goes_on_with_a_file_of_somebody_else_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("iterator.index").write_text("no position of ours")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)
    feed = evaluation_feed(data, "data", 4, model.distribute_strategy)
    evaluation = Evaluation(model, feed, keras.callbacks.CallbackList([], model=model))
    with pytest.warns(UserWarning, match="1 batches were read and dropped"):
        evaluation.restore(0, 1)
    assert evaluation.run().keys() == {"loss"}
