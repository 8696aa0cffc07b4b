"""Private names of Keras are touched in one module, and each is there in the Keras installed."""

import ast
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L
from places import ROOT
from private_names import classes_of, is_private, keras_names, text_of, touched

from pruneplug.pruning import keras_internals

PACKAGE = ROOT / "pruneplug"
HOME = Path(keras_internals.__file__)
SOURCES = {path: ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}


def test_no_other_module_touches_a_private_name_of_keras() -> None:
    classes = classes_of(SOURCES.values())
    found = {str(path): touched(tree, classes) for path, tree in SOURCES.items() if path != HOME}
    found = {path: names for path, names in found.items() if names}
    assert not found, f"pruning/keras_internals.py must hold what they touch: {found}"


@pytest.mark.parametrize(
    "code",
    [
        "from keras.src.models.functional import Functional",
        "from keras import src",
        "import keras.src.utils as utils",
        "keras.src.backend.common",
        "importlib.import_module('keras.src.utils')",
        "tensor._keras_history.operation",
        "model._tracker.unlock()",
        "layer._trainable = False",
        "getattr(model, '_functional', model)",
        "hasattr(layer, '_input_shape_arg')",
        "setattr(node, '_inbound_nodes', [])",
        "vars(model)['_compile_config']",
        "vars(model).pop('_compile_loss', None)",
        "operator.attrgetter('_compile_config.config')",
        "NAMES = {'_query_dense': 'query'}",
        "f'{layer._layers} are inside'",
        "class Own:\n    _tracker = 0\n    def f(self, model):\n        return model._tracker",
        "class Own:\n    def f(self):\n        return self._flatten_layers()",
        "class Own(keras.Model):\n    def f(self):\n        return self._flatten_layers()",
        "class Own(keras.Layer):\n    def f(self):\n        self._losses = 3",
        "class Own(keras.Layer):\n    def _flatten_layers(self):\n        return []",
        "class Own(keras.Layer):\n    _layers = ()",
        "class A(keras.Layer): ...\nclass B(A):\n    def _open_name_scope(self): ...",
        "class Own(Functional):\n    def f(self):\n        super()._flatten_layers()",
        "layer._maybe_build(spec)",
    ],
)
def test_the_check_finds_what_touches_one(code: str) -> None:
    tree = ast.parse(code)
    assert touched(tree, classes_of([tree]))


@pytest.mark.parametrize(
    "code",
    [
        "layer.built and keras.ops.add(1, 2)",
        "from keras import ops",
        "_layers = _flatten_layers(_call_spec)",
        "self.layer, self._of_ours_alone",
        "key.endswith('_initializer') or name.strip('_')",
        "f'{name}_add'",
        "'A text of _layers and others.'",
        "class Own:\n    def __init__(self):\n        self._tracker = getattr(self, '_layers', 0)"
        "\n    def _layers(self):\n        return self._tracker",
        "class A:\n    def _build(self): ...\nclass B(A):\n    def f(self): self._build()",
        "class Own(keras.Layer):\n    def _maybe_build(self, spec): super()._maybe_build(spec)",
    ],
)
def test_the_check_finds_nothing_else(code: str) -> None:
    tree = ast.parse(code)
    assert not touched(tree, classes_of([tree]))


# --- What the one module holds ---


def test_keras_defines_every_name() -> None:
    nodes = list(ast.walk(SOURCES[HOME]))
    names = {n.attr for n in nodes if isinstance(n, ast.Attribute)} | set(map(text_of, nodes))
    assert {name for name in names if is_private(name)} - keras_names() == set()


def test_each_is_used() -> None:
    used = set()
    for node in (n for path, tree in SOURCES.items() if path != HOME for n in ast.walk(tree)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("keras_internals"):
            used |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == HOME.stem:
            used.add(node.attr)
    body = SOURCES[HOME].body
    functions = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    targets = [getattr(n, "target", None) or t for n in body for t in getattr(n, "targets", [None])]
    names = functions | {target.id for target in targets if isinstance(target, ast.Name)}
    assert {name for name in names - used if not name.startswith("_")} == {"OVERRIDDEN"}


def test_keras_calls_what_is_overridden() -> None:
    found = {name for name in keras_internals.OVERRIDDEN for kind in _BASES if hasattr(kind, name)}
    assert found == set(keras_internals.OVERRIDDEN)


_BASES = (L.Layer, keras_internals.Functional, keras.Variable)


def small_model() -> keras.Model:
    inputs = keras.Input((3,), name="x")
    return keras.Model(inputs, L.Dense(2, name="d")(inputs))


class OfItsOwn(keras.Model):
    def __init__(self, width: int) -> None:
        super().__init__()


def test_graphs() -> None:
    model = small_model()
    chain = keras.Sequential([keras.Input((3,)), L.Dense(2)])
    assert type(model) is keras_internals.Functional
    assert keras_internals.functional_like_constructor(type(model))
    assert not keras_internals.functional_like_constructor(OfItsOwn)
    dense = model.get_layer("d")
    assert keras_internals.history(model.outputs[0]) == (dense, 0, 0)
    assert [node.operation for node in keras_internals.calls(dense)] == [dense]
    assert keras_internals.graph_of(model) is model
    assert keras_internals.graph_of(chain).outputs == chain.outputs
    assert keras_internals.graph_of(keras.Sequential([L.Dense(2)])) is None
    made_of = [node.operation for node in keras_internals.nodes(model)]
    assert sorted(operation.name for operation in made_of) == ["d", "x"]
    assert all(isinstance(vars(dense)[name], list) for name in keras_internals.CALLS)
    keras_internals.forget_calls(dense)
    assert not keras_internals.calls(dense)


def test_layers() -> None:
    chain = keras.Sequential([keras.Input((3,)), keras.Sequential([keras.Input((3,)), L.Dense(2)])])
    inside = keras_internals.flatten_layers(chain)
    assert inside[0] is chain
    assert any(isinstance(layer, L.Dense) for layer in inside)
    assert [type(layer) for layer in keras_internals.sublayers(chain)] == [
        L.InputLayer,
        keras.Sequential,
    ]
    flat = keras_internals.flatten_layers(chain, include_self=False, recursive=False)
    assert flat == keras_internals.sublayers(chain)
    keras_internals.set_own_trainable(chain, False)
    assert not keras_internals.own_trainable(chain)
    assert inside[-1].trainable


def test_what_layers_are_born_with() -> None:
    assert isinstance(L.ConvLSTM1D(2, 3).cell, keras_internals.ConvLSTMCell)
    assert vars(L.Dense.__new__(L.Dense)).keys() >= keras_internals.BORN_WITH
    assert vars(L.Dense(2)).keys() >= set(keras_internals.CALL_SIGNATURE)
    assert keras_internals.VARIABLE_VALUE in vars(keras.Variable(1.0))
    attention = L.MultiHeadAttention(2, 2, use_gate=True)
    attention(keras.Input((3, 4)), keras.Input((3, 4)))
    assert all(isinstance(getattr(attention, p), L.Layer) for p in keras_internals.PROJECTIONS)
    with pytest.warns(UserWarning, match="input_shape"):
        first = L.Dense(2, input_shape=(3,))
    other = L.Dense(2)
    keras_internals.copy_input_shape(other, first)
    assert keras.Sequential([other]).input_shape == (None, 3)


def test_a_layer_is_built_as_a_call_would() -> None:
    other = L.Dense(2)

    class Spy(L.Layer):
        def _maybe_build(self, call_spec: Any) -> None:
            keras_internals.build_as_called(other, call_spec)

        def call(self, x: Any) -> Any:
            return x

    Spy()(np.ones((1, 3)))
    assert other.built
    assert other.kernel.path.endswith(f"{other.name}/kernel")


def test_trackers() -> None:
    built, other = small_model().get_layer("d"), L.Dense(2)
    assert isinstance(keras_internals.tracker(built), keras_internals.Tracker)
    assert [id(v) for v in keras_internals.tracker(built).config["trainable_variables"][1]] == [
        id(built.kernel),
        id(built.bias),
    ]
    operation = keras_internals.history(keras.ops.relu(keras.Input((3,)))).operation
    assert keras_internals.tracker(operation) is None
    keras_internals.lock_alike(other, built)
    with pytest.raises(ValueError, match="cannot add new elements of state"):
        other.part = L.Dense(2)


def test_what_compile_leaves() -> None:
    model = small_model()
    always = {*keras_internals.LOSS_AND_METRICS, *keras_internals.HOW_TO_RUN}
    assert vars(model).keys() >= always
    assert vars(model).keys().isdisjoint(keras_internals.COMPILED_WITH)
    assert keras_internals.compiled_loss(model) is None
    model.compile("sgd", "mse", metrics=["mae"])
    assert vars(model).keys() >= {*always, *keras_internals.COMPILED_WITH}
    assert keras_internals.compile_arguments(model)["loss"] == "mse"
    keras_internals.symbolic_build(model, (keras.KerasTensor((4, 3)), keras.KerasTensor((4, 2))))
    assert model.optimizer.built
    assert keras_internals.compiled_loss(model).metrics == []
    (mae,) = keras_internals.compiled_metrics(model).metrics
    assert keras_internals.metric_direction(mae) == "down"
    assert keras_internals.metric_direction(keras.metrics.Mean()) is None


def test_what_fit_keeps() -> None:
    model, held = small_model(), []
    model.compile("sgd", "mse")
    x, y = np.ones((2, 3)), np.ones((2, 2))
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: held.append(keras_internals.VALIDATION_BATCHES in vars(model))
    )
    model.fit(x, y, validation_data=(x, y), callbacks=[look], verbose=0)
    assert held == [True]


def test_optimizers() -> None:
    weight, other = keras.Variable(1.0), keras.Variable(2.0)
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2, use_ema=True)
    for _ in range(3):
        optimizer.apply([np.float32(1), np.float32(1)], [weight, other])
    assert int(keras_internals.steps_taken(optimizer)) == 3
    assert int(optimizer.iterations) == 1
    pairs = keras_internals.moving_averages(optimizer)
    assert [id(own) for own, _ in pairs] == [id(weight), id(other)]
    assert all(average.shape == () for _, average in pairs)
    assert keras_internals.strategy_of(optimizer) is tf.distribute.get_strategy()


def test_callbacks(tmp_path: Path) -> None:
    class Own(keras.callbacks.Callback):
        def on_batch_end(self, batch: int, logs: Any = None) -> None: ...

    assert keras_internals.is_default_hook(Own().on_batch_begin)
    assert not keras_internals.is_default_hook(Own().on_batch_end)
    callback = keras.callbacks.TensorBoard(str(tmp_path))
    callback.set_model(small_model())
    writer = keras_internals.train_writer(callback)
    assert keras_internals.writers(callback) == {"train": writer}
    callback.on_train_end()


def test_global_seeds() -> None:
    keras.utils.set_random_seed(3)
    state = np.array(keras_internals.global_seed_generator().state)
    seeds = keras_internals.global_seeds()
    assert 3 in seeds.values()
    keras.utils.set_random_seed(4)
    keras.random.uniform(())
    keras_internals.restore_global_seeds(seeds)
    assert keras_internals.global_seeds() == seeds
    assert np.array_equal(keras_internals.global_seed_generator().state, state)
