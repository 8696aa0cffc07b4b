import re

import keras
import pytest

from pruneplug import ConstantSparsity, GlobalAllocation, prune_low_magnitude, strip_pruning
from pruneplug.callbacks import UpdatePruningStep
from pruneplug.training.preparation import Pruning, callback_list
from pruneplug.wrapper import pruned_layers

SCHEDULE = ConstantSparsity(0.5, 0)


def build() -> keras.Model:
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


def test_wraps_a_dense_model_and_leaves_a_pruned_one() -> None:
    options = {"block_size": (1, 3), "allocation": GlobalAllocation()}
    model = Pruning(SCHEDULE, options).wrap(build())
    (layer,) = pruned_layers(model)
    assert layer.block_size == (1, 3)
    assert layer.allocation == GlobalAllocation()
    strip_pruning(model)
    assert Pruning(None, {}).wrap(model) is model
    assert type(model.trainable_variables[0].constraint).__name__ == "MaskConstraint"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("block_sise", "Did you mean block_size?"),
        ("pruning_schedule", "Did you mean schedule?"),
        ("to_prune", "or those of prune_low_magnitude (block_size"),
    ],
)
def test_refuses_arguments_that_nobody_takes(name: str, hint: str) -> None:
    with pytest.raises(TypeError, match=re.escape(hint)):
        Pruning(SCHEDULE, {name: 1})


def test_needs_exactly_one_schedule() -> None:
    with pytest.raises(ValueError, match="got schedule=None"):
        Pruning(None, {}).check(build())
    pruned = prune_low_magnitude(build(), SCHEDULE)
    with pytest.raises(ValueError, match="schedule must be left out"):
        Pruning(SCHEDULE, {}).check(pruned)
    with pytest.raises(ValueError, match=r"block_size must be left out .* got block_size=.2, 1"):
        Pruning(None, {"block_size": (2, 1)}).check(pruned)
    with pytest.raises(TypeError, match=r"model must be a Keras 3 model; got builtins\.str"):
        Pruning(SCHEDULE, {}).check("model")  # type: ignore[arg-type]


def test_callbacks_get_model_and_history() -> None:
    model = build()
    stop = keras.callbacks.EarlyStopping()
    listed = callback_list([stop], model, epochs=2, steps=3)
    assert [type(c).__name__ for c in listed.callbacks] == ["EarlyStopping", "History"]
    assert stop.model is model
    assert stop.params["steps"] == 3
    with pytest.raises(ValueError, match="must not contain UpdatePruningStep"):
        callback_list([UpdatePruningStep()], model, 2, 3)
