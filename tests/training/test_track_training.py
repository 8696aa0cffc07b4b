"""What a tracker is told of a `fit`."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import pytest

from pruneplug import ConstantSparsity, TrackTraining, UpdatePruningStep, prune_low_magnitude
from pruneplug.tracking import NullTracker


class Recorder(NullTracker):
    def __init__(self) -> None:
        self.told: list[Any] = []

    def start(self, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        self.told.append(("start", dict(params), dict(tags)))

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self.told.append((step, dict(metrics)))

    def finish(self, status: str) -> None:
        self.told.append(status)


def test_each_epoch_is_told_under_its_step() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5)])
    model = prune_low_magnitude(model, ConstantSparsity(0.5, 0, frequency=1))
    model.compile("sgd", "mse")
    recorder = Recorder()
    callbacks = [UpdatePruningStep(), TrackTraining(recorder, {"size": 5}, {"by": "me"})]
    x = np.ones((6, 4), np.float32)
    model.fit(x, np.ones((6, 5)), batch_size=2, epochs=2, callbacks=callbacks, verbose=0)
    first, one, two, last = recorder.told
    assert first == ("start", {"size": 5}, {"by": "me"})
    assert (one[0], two[0]) == (3, 6)
    assert one[1]["sparsity/dense/kernel"] == pytest.approx(0.5)
    assert {"loss", "sparsity/total", "threshold/dense/kernel"} <= set(two[1])
    assert last == "FINISHED"


@pytest.mark.parametrize("pruned", [True, False])
def test_epochs_are_counted_on_when_the_model_is_compiled_again(pruned: bool) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5)])
    callbacks: list[Any] = []
    if pruned:
        model = prune_low_magnitude(model, ConstantSparsity(0.5, 0, frequency=1))
        callbacks.append(UpdatePruningStep())
    recorder = Recorder()
    for _ in range(2):
        model.compile("sgd", "mse")
        x = np.ones((6, 4), np.float32)
        model.fit(x, np.ones((6, 5)), 2, callbacks=[*callbacks, TrackTraining(recorder)], verbose=0)
    steps = [told[0] for told in recorder.told if isinstance(told[0], int)]
    # Of a dense model, only its optimizer counts the steps.
    assert steps == ([3, 6] if pruned else [3, 3])
