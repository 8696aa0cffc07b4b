from typing import Any

import keras
import pytest
from keras import layers as L

from pruneplug.training.model.keras_compile import check_compile, compile_model

NOTHING = dict.fromkeys(("optimizer", "loss", "loss_weights", "metrics", "jit_compile"), "auto")


def plain() -> keras.Model:
    return keras.Sequential([keras.Input((3,)), L.Dense(2)])


def own_loss(y: Any, p: Any) -> Any:
    return keras.ops.mean((y - p) ** 2)


class OwnCompile(keras.Sequential):
    def compile(self, optimizer: Any, teacher: str) -> None:  # type: ignore[override]
        super().compile(optimizer, loss=own_loss)
        self.teacher = teacher


class Passing(keras.Sequential):
    def compile(self, **arguments: Any) -> None:
        super().compile(**arguments)
        self.extra = True


def test_a_model_that_is_not_compiled_gets_the_defaults_and_what_is_said() -> None:
    model = plain()
    arguments = compile_model(model, model, {**NOTHING, "optimizer": "sgd", "metrics": None})
    assert arguments["loss"] == "sparse_categorical_crossentropy"
    assert arguments["metrics"] is None
    assert isinstance(model.optimizer, keras.optimizers.SGD)
    assert Passing(plain().layers).compiled is False
    passing = Passing([keras.Input((3,)), L.Dense(2)])
    compile_model(passing, passing, NOTHING)
    assert passing.extra


def test_a_compiled_model_is_used_as_it_is() -> None:
    source, model = plain(), plain()
    source.compile(keras.optimizers.SGD(0.5), own_loss, weighted_metrics=["mae"], jit_compile=False)
    arguments = compile_model(model, source, NOTHING)
    assert model.optimizer is source.optimizer
    assert model.loss is own_loss
    assert arguments["weighted_metrics"] == ["mae"]
    before = source._compile_loss
    compile_model(source, source, NOTHING)
    assert source._compile_loss is before


def test_what_is_said_stands_in_for_what_it_has() -> None:
    source, model = plain(), plain()
    source.compile("sgd", "mse", loss_weights=2.0, metrics=["mae"])
    arguments = compile_model(model, source, {**NOTHING, "optimizer": "adam"})
    assert (arguments["loss"], arguments["loss_weights"]) == ("mse", 2.0)
    arguments = compile_model(model, source, {**NOTHING, "loss": "mae"})
    assert "loss_weights" not in arguments
    assert arguments["metrics"] == ["mae"]


def test_a_compile_of_its_own_must_have_been_called() -> None:
    model = OwnCompile([keras.Input((3,)), L.Dense(2)])
    with pytest.raises(ValueError, match=r"OwnCompile.compile\(optimizer.*, teacher.*Compile it"):
        check_compile(model, NOTHING)
    model.compile("sgd", teacher="t")
    check_compile(model, NOTHING)
    compile_model(model, model, NOTHING)
    assert isinstance(model.optimizer, keras.optimizers.SGD)
    with pytest.raises(ValueError, match="must be compiled before it is given"):
        check_compile(model, {**NOTHING, "optimizer": "adam"})


def test_refuses_to_run_eagerly() -> None:
    model = plain()
    model.compile("sgd", "mse", run_eagerly=True)
    with pytest.raises(ValueError, match="run_eagerly must be False"):
        check_compile(model, NOTHING)
