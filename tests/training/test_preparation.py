import keras
import pytest

from pruneplug import ConstantSparsity, prune_low_magnitude, strip_pruning
from pruneplug.callbacks import UpdatePruningStep
from pruneplug.training.preparation import Pruning, callback_list, check_monitor
from pruneplug.wrapper import pruned_layers

SCHEDULE = ConstantSparsity(0.5, 0)


def build() -> keras.Model:
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


def test_wraps_a_dense_model_and_leaves_a_pruned_one() -> None:
    model = Pruning(SCHEDULE, {}).wrap(build())
    assert len(pruned_layers(model)) == 1
    strip_pruning(model)
    assert Pruning(None, {}).wrap(model) is model
    assert type(model.trainable_variables[0].constraint).__name__ == "MaskConstraint"


def test_needs_exactly_one_schedule() -> None:
    with pytest.raises(ValueError, match="got schedule=None"):
        Pruning(None, {}).wrap(build())
    with pytest.raises(ValueError, match="schedule must be None"):
        Pruning(SCHEDULE, {}).wrap(prune_low_magnitude(build(), SCHEDULE))


def test_callbacks_get_model_and_history() -> None:
    model = build()
    stop = keras.callbacks.EarlyStopping()
    listed = callback_list([stop], model, epochs=2, steps=3)
    assert [type(c).__name__ for c in listed.callbacks] == ["EarlyStopping", "History"]
    assert stop.model is model
    assert stop.params["steps"] == 3
    with pytest.raises(ValueError, match="must not contain UpdatePruningStep"):
        callback_list([UpdatePruningStep()], model, 2, 3)


def test_the_monitor_must_be_measured() -> None:
    names = frozenset({"loss", "accuracy"})
    check_monitor("val_loss", names, None)
    check_monitor("accuracy", names, None)
    with pytest.raises(ValueError, match=r"one of \['accuracy', 'loss'\]; got monitor='acc'"):
        check_monitor("acc", names, None)
