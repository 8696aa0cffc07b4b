"""A model whose graph is built anew gives, layer by layer, what the dense one gives."""

import copy
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L
from keras import ops
from sparse import HALF, check_sparse, random_batch, train, zeros

from pruneplug import ByName, prune_low_magnitude, strip_pruning
from pruneplug.pruning.layer_parts import model_parts
from pruneplug.pruning.wrapper import pruned_layers


@keras.saving.register_keras_serializable("tests")
class Residual(L.Layer):
    """A layer of the user's own, of layers that are no part of the graph."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.blocks = [L.Dense(4), L.LayerNormalization()]

    def build(self, shape: Any) -> None:
        for block in self.blocks:
            block.build(shape)

    def call(self, x: Any) -> Any:
        for block in self.blocks:
            x = x + block(x)
        return x


def _convolutional() -> keras.Model:
    inputs = keras.Input((6, 6, 2))
    x = L.Activation("relu", name="act")(L.BatchNormalization()(L.Conv2D(4, 3)(inputs)))
    return keras.Model(inputs, L.Dense(3, name="head")(L.GlobalAveragePooling2D()(x)))


def _chain() -> keras.Model:
    layers = [L.Embedding(9, 4), L.LSTM(3), L.Dropout(0.5), L.Dense(2), L.Softmax()]
    return keras.Sequential([keras.Input((5,), dtype="int32"), *layers])


def _late_first_call() -> keras.Model:
    """A layer that is first called on the input that is nearer to the output."""
    near, far = keras.Input((4,), name="near"), keras.Input((4,), name="far")
    shared = L.Dense(4, name="shared")
    first = shared(near)
    again = L.ReLU()(shared(L.Dense(4)(L.Dense(4)(far))))
    return keras.Model({"near": near, "far": far}, L.Concatenate()([again, first]))


def _nested() -> keras.Model:
    inner = keras.Input((4,))
    x = L.ReLU(name="inner_relu")(L.Dense(4, name="inner_dense")(inner))
    encoder = keras.Model(inner, [x, L.Dense(2)(x)], name="encoder")
    tower = keras.Sequential([L.Dense(3), L.ReLU()], name="tower")
    inputs = keras.Input((4,))
    features, code = encoder(inputs)
    again, _ = encoder(features)
    return keras.Model(inputs, [tower(again), code])


def _with_operations() -> keras.Model:
    inputs = keras.Input((5, 4))
    attention = L.MultiHeadAttention(2, 3)
    x = attention(inputs, value=ops.relu(inputs) * 2)
    x, state, _ = L.LSTM(4, return_state=True, name="lstm")(x)
    x = Residual()(L.TimeDistributed(L.Dense(4))(ops.expand_dims(x, 1)))
    return keras.Model(inputs, (x[:, 0] + state, state))


MODELS = [_convolutional, _chain, _late_first_call, _nested, _with_operations]
FORMS: dict[str, Callable[[keras.Model], keras.Model]] = {
    "pruned": lambda model: prune_low_magnitude(model, HALF),
    "partly pruned": lambda model: prune_low_magnitude(
        model, HALF, pruning_policy=ByName(exclude=[_prunable(model)[-1]])
    ),
    "pruned twice": lambda model: prune_low_magnitude(prune_low_magnitude(model, HALF), HALF),
    "stripped": lambda model: strip_pruning(prune_low_magnitude(model, HALF)),
    "stripped twice": lambda model: strip_pruning(
        strip_pruning(prune_low_magnitude(strip_pruning(model), HALF))
    ),
    "copied": lambda model: copy.deepcopy(prune_low_magnitude(model, HALF)),
}


def _prunable(model: keras.Model) -> list[str]:
    return [part.layers[0].name for part in model_parts(model) if part.takes_part]


def _layers(model: keras.Model) -> list[L.Layer]:
    return [layer for layer in model.layers if not isinstance(layer, L.InputLayer)]


def _graphs(model: keras.Model) -> list[keras.Model]:
    """A model and the graphs nested in it."""
    return [model] + [
        g for inner in model.layers if hasattr(inner, "layers") for g in _graphs(inner)
    ]


def _features(model: keras.Model, x: Any) -> list[np.ndarray]:
    """What each layer of a graph puts out, and the model itself, by a model on `layer.output`."""
    # A nested Functional model's `output` is that of its own graph.
    taps = [layer.output for layer in _layers(model) if not hasattr(layer, "output_names")]
    extractor = keras.Model(model.inputs, [taps, model.outputs])
    return [np.asarray(value) for value in keras.tree.flatten(extractor(x))]


@pytest.mark.filterwarnings("ignore:A pruning schedule")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("make", MODELS)
def test_the_outputs_of_all_layers_are_those_of_the_dense_model(make, form: str) -> None:
    dense = make()
    batches = [keras.tree.flatten(random_batch(graph)[0]) for graph in _graphs(dense)]
    expected = [_features(g, x) for g, x in zip(_graphs(dense), batches, strict=True)]
    config = dense.get_config()
    model = FORMS[form](dense)
    for again in (model, dense):
        for graph, x, values in zip(_graphs(again), batches, expected, strict=True):
            found = _features(graph, x)
            assert len(found) == len(values)
            assert all(map(np.array_equal, found, values))
    assert dense.get_config() == config
    if form.startswith("stripped"):
        assert model.get_config() == config
        kinds = [list(map(type, g.layers)) for g in _graphs(model)]
        assert kinds == [list(map(type, g.layers)) for g in _graphs(dense)]
        assert all(a is b for a, b in zip(model.variables, dense.variables, strict=True))


def test_gradients_flow_from_the_output_to_any_layer() -> None:
    dense = _convolutional()
    x, _ = random_batch(dense)
    pruned = prune_low_magnitude(dense, HALF)
    for model in (pruned, strip_pruning(pruned)):
        grad_cam = keras.Model(model.inputs, [model.get_layer("act").output, model.output])
        with tf.GradientTape() as tape:
            features, scores = grad_cam([ops.convert_to_tensor(x)])
            score = scores[:, 0]
        assert np.any(tape.gradient(score, features))


def test_a_new_head_on_a_pruned_model_trains_with_its_masks() -> None:
    pruned = prune_low_magnitude(_convolutional(), HALF)
    model = keras.Model(pruned.inputs, L.Dense(7)(pruned.layers[-2].output))
    assert len(pruned_layers(model)) == 1
    train(model)
    check_sparse(model)


def test_models_that_come_and_go_leave_nothing_in_the_layers() -> None:
    dense = _convolutional()
    before = [len(layer._inbound_nodes) for layer in dense.layers]
    for _ in range(3):
        stripped = strip_pruning(prune_low_magnitude(dense, HALF))
        stripped = strip_pruning(prune_low_magnitude(stripped, HALF))
    assert [len(layer._inbound_nodes) for layer in dense.layers] == before
    train(pruned := prune_low_magnitude(dense, HALF))
    assert zeros(stripped.layers[1].kernel) == zeros(dense.layers[1].kernel) > 0
    assert np.array_equal(stripped(x := random_batch(dense)[0]), pruned(x))


def test_layers_on_the_same_variables_can_be_changed_apart() -> None:
    dense = _chain()
    names = [v.path for v in dense.variables]
    stripped = strip_pruning(prune_low_magnitude(dense, HALF))
    stripped.layers[3].enable_lora(2)
    stripped.layers[3].name = "other"
    assert len(stripped.variables) == len(names) + 2
    assert [v.path for v in dense.variables] == names
    assert dense.layers[3].name != "other"


def test_a_quantized_stripped_model_leaves_the_dense_one_as_it_is() -> None:
    dense = keras.Sequential([keras.Input((8,)), L.Dense(4), L.ReLU()])
    stripped = strip_pruning(prune_low_magnitude(dense, HALF))
    stripped.layers[0].quantize("int8")
    assert stripped.layers[0].kernel.dtype == "int8"
    assert dense.layers[0].kernel.dtype == "float32"


def test_masks_of_a_model_pruned_twice_are_stepped_from_either() -> None:
    first = prune_low_magnitude(_convolutional(), HALF)
    second = prune_low_magnitude(first, HALF)
    train(second)
    train(first)
    check_sparse(second)
    assert [int(w.pruning_step) for m in (first, second) for w in pruned_layers(m)] == [2] * 4


@keras.saving.register_keras_serializable("tests")
class Own(keras.Model):
    """A model of the user's own that is built from its ends."""

    def doubled(self) -> float:
        """Something the class adds."""
        return 2 * self.rate

    def train_step(self, data: Any) -> Any:
        """Train, and count."""
        self.seen.append(data)
        return super().train_step(data)


def test_models_of_a_class_of_the_users_own_keep_it_and_what_they_hold() -> None:
    inputs = keras.Input((8,))
    hidden = L.ReLU(name="relu")(L.Dense(4, name="hidden")(inputs))
    model = Own(inputs, L.Dense(1, name="out")(hidden))
    model.rate, model.seen, model._labels = 0.5, [], ("a", "b")
    model.head, model.parts = model.get_layer("out"), {"all": [model.get_layer("hidden")]}
    model.middle, model.tracker = hidden, keras.metrics.Mean(name="own")
    model.compile("adam", "mse")
    pruned = prune_low_magnitude(model, HALF)
    assert pruned.get_layer("hidden") is pruned.get_layer("prune_low_magnitude_hidden")
    for new in (pruned, stripped := strip_pruning(pruned)):
        assert isinstance(new, Own)
        assert type(new).__name__ == "Own"
        assert new.doubled() == 1
        assert new._labels == ("a", "b")
        assert new.head is new.layers[-1]
        assert new.parts["all"][0] is new.layers[1]
        assert new.middle is new.get_layer("relu").output
        assert new.tracker is model.tracker
        assert not new.compiled
        assert not hasattr(new, "optimizer")
        assert len(new.trainable_variables) == 4
    assert type(stripped) is Own
    train(pruned)
    assert pruned.seen
    check_sparse(pruned)
    for again in (copy.deepcopy(pruned), keras.models.clone_model(pruned)):
        assert isinstance(again, Own)
        assert again.get_layer("out").kernel.shape == (4, 1)
        assert len(pruned_layers(again)) == 2
    assert type(strip_pruning(again)) is Own


def test_a_class_that_does_not_save_its_graph_is_said_to_lose_its_pruning() -> None:
    @keras.saving.register_keras_serializable("tests")
    class Anything(keras.Model):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            inputs = keras.Input((4,), name="in")
            ends = args or (inputs, L.Dense(1)(inputs))
            super().__init__(*ends, **kwargs)

        def get_config(self) -> dict[str, Any]:
            return {"name": self.name}

    pruned = prune_low_magnitude(Anything(), HALF)
    assert len(pruned_layers(pruned)) == 1
    with pytest.warns(UserWarning, match="is not pruned as it was when it was saved"):
        type(pruned).from_config(pruned.get_config())


def test_plain_models_keep_what_the_user_has_noted_in_them() -> None:
    model = _convolutional()
    model.labels = ["cat", "dog"]
    pruned = prune_low_magnitude(model, HALF)
    assert list(pruned.labels) == list(strip_pruning(pruned).labels) == ["cat", "dog"]
