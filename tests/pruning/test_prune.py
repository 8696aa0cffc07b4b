"""Kinds of models that are pruned, and what becomes of the original."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L
from sparse import HALF, check_sparse, dense_model, in_new_process, random_batch, train, zeros

from pruneplug import (
    ByName,
    ConstantSparsity,
    PolynomialDecay,
    PruneLowMagnitude,
    Pruner,
    UpdatePruningStep,
    prune_low_magnitude,
    prune_scope,
    sparsity_report,
    strip_pruning,
)
from pruneplug.pruning.surgery import dense_class
from pruneplug.pruning.wrapper import pruned_layers


def _names(model: keras.Model) -> list[str]:
    return [weight.name for weight in sparsity_report(model).weights]


@pytest.mark.parametrize("spelling", ["import keras", "from tensorflow import keras"])
def test_the_reference_snippets_run_as_written(spelling: str) -> None:
    code = f"""
        {spelling}
        from pruneplug import prune_low_magnitude, ConstantSparsity, PolynomialDecay
        Sequential, Dense = keras.Sequential, keras.layers.Dense

        whole = prune_low_magnitude(
            Sequential([Dense(10, activation='relu', input_shape=(100,)),
                        Dense(2, activation='sigmoid')]),
            pruning_schedule=ConstantSparsity(0.5, 0),
            block_size=(1, 1), block_pooling_type='AVG')
        part = Sequential([
            Dense(10, activation='relu', input_shape=(100,)),
            prune_low_magnitude(
                Dense(2, activation='tanh'),
                pruning_schedule=PolynomialDecay(initial_sparsity=0.2, final_sparsity=0.8,
                                                 begin_step=1000, end_step=2000),
                block_size=(2, 3), block_pooling_type='MAX')])
        first = Sequential([prune_low_magnitude(Dense(3, input_shape=(100,))), Dense(1)])
        for model in (whole, part, first):
            assert model.built, model
            assert model.output_shape in [(None, 2), (None, 1)]
            print(*[layer.name for layer in model.layers])
    """
    lines = in_new_process(code).splitlines()
    assert [len(line.split()) for line in lines] == [2, 2, 2]
    assert [line.count("prune_low_magnitude_dense") for line in lines] == [2, 1, 1]


def test_the_original_stays_as_it_is_and_shares_its_weights() -> None:
    model = dense_model()
    model.compile("adam", "mse")
    before = model.get_config()
    weights = model.get_weights()
    pruned = prune_low_magnitude(model, HALF)
    assert pruned is not model
    assert model.get_config() == before
    assert model.compiled
    assert not getattr(pruned, "optimizer", None)
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))
    assert pruned.name == model.name
    assert [layer.name for layer in pruned.layers] == [
        f"prune_low_magnitude_{layer.name}" for layer in model.layers
    ]
    train(pruned)
    assert all(a.layer is b for a, b in zip(pruned.layers, model.layers, strict=True))
    assert zeros(model.layers[0].kernel) == 24


def test_a_list_keeps_what_needs_no_wrapper() -> None:
    done = PruneLowMagnitude(L.Dense(3))
    layers = [L.InputLayer((8,)), L.Dense(4), L.ReLU(), done]
    result = prune_low_magnitude(layers, HALF)
    assert [type(x).__name__ for x in result] == [
        "InputLayer", "PruneLowMagnitude", "ReLU", "PruneLowMagnitude",
    ]  # fmt: skip
    assert result[3] is done
    train(keras.Sequential(result))


def test_a_wrapper_inside_another_layer_is_not_pruned_twice() -> None:
    inside = prune_low_magnitude(L.Dense(3), HALF)
    model = keras.Sequential([keras.Input((2, 4)), L.TimeDistributed(inside)])
    pruned = prune_low_magnitude(model, HALF)
    assert pruned_layers(pruned) == [inside]
    train(pruned)
    check_sparse(pruned)
    assert sparsity_report(pruned).skipped == ()


def test_layer_keywords_go_to_the_wrapper() -> None:
    assert prune_low_magnitude(L.Dense(3), HALF, name="mine").name == "mine"


@pytest.mark.parametrize("wrong", ["model", None, 3, lambda x: x])
def test_other_things_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="to_prune must be a Keras 3 layer, a list of layers or"):
        prune_low_magnitude(wrong)


def test_a_model_of_the_old_keras_is_refused() -> None:
    import tf_keras

    with pytest.raises(ValueError, match=r"Keras 3 .* got tf_keras"):
        prune_low_magnitude(tf_keras.Sequential([tf_keras.layers.Dense(2)]))


def test_an_unbuilt_sequential_is_pruned_when_it_is_built() -> None:
    pruned = prune_low_magnitude(keras.Sequential([L.Dense(4), L.Dense(1)]), HALF)
    assert not pruned.built
    train(pruned, np.ones((4, 8)), np.ones((4, 1)))
    check_sparse(pruned)


def _siamese() -> keras.Model:
    left, right = keras.Input((8,), name="left"), keras.Input((8,), name="right")
    shared = L.Dense(6, name="shared")
    merged = L.Concatenate()([shared(left), shared(right)])
    a, b = L.Dense(1, name="a")(merged), L.Dense(2, name="b")(merged)
    return keras.Model({"left": left, "right": right}, {"a": a, "b": b})


def test_a_shared_layer_has_one_mask_and_counts_each_step_once() -> None:
    pruned = prune_low_magnitude(_siamese(), ConstantSparsity(0.5, 3, 3))
    assert _names(pruned) == ["shared/kernel", "a/kernel", "b/kernel"]
    shared = next(x for x in pruned_layers(pruned) if x.layer.name == "shared")
    loss = {"a": "mse", "b": "mse"}
    train(pruned, epochs=1, loss=loss)
    assert int(shared.pruning_step) == 1
    assert zeros(shared.layer.kernel) == 0
    train(pruned, epochs=1, loss=loss)
    assert int(shared.pruning_step) == 2
    check_sparse(pruned)


def test_inputs_and_outputs_keep_their_structure_and_names() -> None:
    model = _siamese()
    pruned = prune_low_magnitude(model, HALF)
    stripped = strip_pruning(pruned)
    for other in (pruned, stripped):
        assert set(other.input) == {"left", "right"}
        assert set(other.output) == {"a", "b"}
    assert stripped.get_config() == model.get_config()


def test_nested_models_are_pruned_layer_by_layer() -> None:
    inner = keras.Sequential([keras.Input((8,)), L.Dense(8, name="x"), L.Dense(8, name="y")])
    deep = keras.Sequential([keras.Input((8,)), inner, L.Dense(8, name="z")])
    inputs = keras.Input((8,))
    outputs = L.Dense(1, name="head")(deep(inputs) + inner(inputs))
    model = keras.Model(inputs, outputs)
    before = model.get_config()
    pruned = prune_low_magnitude(model, HALF)
    assert sorted(_names(pruned)) == ["head/kernel", "x/kernel", "y/kernel", "z/kernel"]
    train(pruned)
    check_sparse(pruned)
    assert model.get_config() == before
    assert strip_pruning(pruned).get_config() == before


def test_layers_of_the_same_name_in_nested_models_stay_apart() -> None:
    def inner(name: str) -> keras.Model:
        return keras.Sequential([keras.Input((8,)), L.Dense(8, name="dense")], name=name)

    last = [L.Dense(8, name="dense_1"), L.Dense(1, name="dense")]
    model = keras.Sequential([keras.Input((8,)), inner("a"), inner("b"), *last])
    pruned = prune_low_magnitude(model, HALF)
    assert _names(pruned) == ["dense/kernel", "dense_2/kernel", "dense_1/kernel", "dense_3/kernel"]
    assert len(Pruner(pruned).start().metrics()) == 2 * 4 + 1


def test_operations_between_layers_stay() -> None:
    inputs = keras.Input((8,))
    x = L.Dense(8)(inputs)
    x = keras.ops.relu(x[:, :4] * 2.0 + keras.ops.mean(x, axis=1, keepdims=True))
    model = keras.Model(inputs, L.Dense(1)(x))
    batch, _ = random_batch(model)
    expected = model(batch)
    pruned = prune_low_magnitude(model, HALF)
    assert np.array_equal(pruned(batch), expected)
    train(pruned)
    check_sparse(pruned)
    assert strip_pruning(pruned).get_config() == model.get_config()


@pytest.mark.parametrize("layer", [L.LSTM, L.GRU])
def test_masks_of_padded_sequences_are_passed_on(layer: Any) -> None:
    model = keras.Sequential(
        [keras.Input((5,), dtype="int32"), L.Embedding(9, 4, mask_zero=True), layer(3), L.Dense(1)]
    )
    pruned = prune_low_magnitude(model, HALF)
    short, padded = np.array([[3, 4, 0, 0, 0]]), np.array([[3, 4, 0, 0, 0]])
    assert np.array_equal(model(short), pruned(padded))
    unmasked = keras.Sequential([L.Embedding(9, 4), layer(3), L.Dense(1)])
    unmasked(short)
    unmasked.set_weights(model.get_weights())
    assert not np.allclose(unmasked(short), pruned(short))
    train(pruned)
    check_sparse(pruned)
    assert pruned.layers[0].compute_mask(keras.ops.array(short), None) is not None


def test_recurrent_layers_keep_their_arguments() -> None:
    sequence, state = keras.Input((3, 4)), keras.Input((5,))
    outputs = L.GRU(5)(sequence, initial_state=state)
    model = keras.Model([sequence, state], outputs)
    pruned = prune_low_magnitude(model, HALF)
    batch, _ = random_batch(model)
    assert np.array_equal(model(batch), pruned(batch))
    train(pruned)
    check_sparse(pruned)


def test_attention_keeps_its_arguments() -> None:
    query, value = keras.Input((3, 4)), keras.Input((2, 4))
    outputs, scores = L.MultiHeadAttention(2, 4)(
        query, value, return_attention_scores=True, use_causal_mask=True
    )
    model = keras.Model([query, value], [outputs, scores])
    pruned = prune_low_magnitude(model, HALF)
    batch, _ = random_batch(model)
    for ours, original in zip(pruned(batch), model(batch), strict=True):
        assert np.array_equal(ours, original)


def test_the_training_argument_reaches_the_layer() -> None:
    model = keras.Sequential([keras.Input((3, 8)), L.LSTM(4, dropout=0.9)])
    pruned = prune_low_magnitude(model, HALF)
    batch, _ = random_batch(pruned)
    assert np.array_equal(pruned(batch), pruned(batch, training=False))
    assert not np.array_equal(pruned(batch, training=True), pruned(batch, training=False))


@pytest.mark.parametrize("freeze_before", [True, False])
def test_frozen_layers_are_left_alone_and_reported(freeze_before: bool) -> None:
    inputs = keras.Input((8,))
    model = keras.Model(inputs, L.Dense(1, name="b")(L.Dense(6, name="a")(inputs)))
    model.get_layer("a").trainable = not freeze_before
    pruned = prune_low_magnitude(model, HALF)
    model.get_layer("a").trainable = False
    before = model.get_layer("a").kernel.numpy()
    train(pruned)
    assert not model.get_layer("a").trainable
    assert np.array_equal(model.get_layer("a").kernel, before)
    report = sparsity_report(pruned)
    assert [weight.name for weight in report.weights] == ["b/kernel"]
    assert [(s.layer, s.reason) for s in report.skipped] == [("a/kernel", "frozen (not trainable)")]
    stripped = strip_pruning(pruned)
    assert np.array_equal(stripped.get_layer("a").kernel, before)
    assert not stripped.get_layer("a").trainable


def test_a_frozen_model_stays_frozen_and_a_thawed_layer_is_pruned() -> None:
    model = dense_model()
    model.trainable = False
    pruned = prune_low_magnitude(model, HALF)
    assert not pruned.trainable
    assert not pruned.trainable_variables
    pruned.trainable = True
    train(pruned)
    check_sparse(pruned)


class Subclassed(keras.Model):
    """Layers in attributes and lists, a nested model and a layer made of layers."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.first = L.Dense(6, name="first")
        self.stack = [L.Dense(6, name="second"), L.Dense(6, name="third")]
        self.nested = keras.Sequential([L.Dense(6, name="fourth"), L.Dropout(0.1)])
        self.block = Block(name="block")
        self.scale = L.BatchNormalization(name="scale")

    def call(self, x: Any) -> Any:
        x = self.first(x)
        for layer in self.stack:
            x = layer(x)
        return self.scale(self.block(self.nested(x)))


class Block(L.Layer):
    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.dense = L.Dense(1)

    def build(self, shape: Any) -> None:
        self.dense.build(shape)

    def call(self, x: Any) -> Any:
        return self.dense(x)


X, Y = np.random.default_rng(0).normal(size=(4, 8)).astype("f"), np.zeros((4, 1), "f")


def _subclassed() -> keras.Model:
    model = Subclassed()
    model(X)
    return model


SUBCLASSED = [
    "first/kernel",
    "second/kernel",
    "third/kernel",
    "fourth/kernel",
    "block/dense/kernel",
]


def test_a_subclassed_model_is_pruned_in_place() -> None:
    model = _subclassed()
    pruned = prune_low_magnitude(model, HALF)
    assert pruned is model
    assert sorted(_names(model)) == sorted(SUBCLASSED)
    train(model, X, Y, epochs=2)
    check_sparse(model)
    assert [(s.layer, s.reason) for s in sparsity_report(model).skipped] == [
        ("scale", "nothing to prune in it")
    ]


def test_a_subclassed_model_that_has_trained_before_is_pruned_too() -> None:
    model = _subclassed()
    model.compile("adam", "mse", jit_compile=False)
    model.fit(X, Y, verbose=0)
    prune_low_magnitude(model, HALF)
    model.fit(X, Y, verbose=0, callbacks=[UpdatePruningStep()])
    check_sparse(model)
    strip_pruning(model)
    model.fit(X, Y, verbose=0)
    assert zeros(model.first.kernel) == 0


def test_pruning_in_place_twice_changes_nothing() -> None:
    model = prune_low_magnitude(_subclassed(), HALF)
    wrappers = pruned_layers(model)
    assert pruned_layers(prune_low_magnitude(model, HALF)) == wrappers


def test_a_policy_chooses_layers_of_a_subclassed_model() -> None:
    model = prune_low_magnitude(_subclassed(), HALF, pruning_policy=ByName(["f*", "block"]))
    assert sorted(_names(model)) == ["block/dense/kernel", "first/kernel", "fourth/kernel"]
    reasons = {skipped.layer: skipped.reason for skipped in sparsity_report(model).skipped}
    assert reasons["second"] == "its name matches none of 'f*', 'block'"


def test_a_subclassed_model_must_be_built() -> None:
    with pytest.raises(ValueError, match=r"\(Subclassed\) must be built .* Call it on a batch"):
        prune_low_magnitude(Subclassed())


class GraphWithOwnStep(keras.Model):
    """A Functional subclass that can be built anew from inputs and outputs."""

    def train_step(self, data: Any) -> Any:
        return super().train_step(data) | {"own": 1.0}


class GraphOfItsOwn(keras.Model):
    """A Functional subclass that makes its graph itself."""

    def __init__(self, units: int):
        inputs = keras.Input((8,))
        super().__init__(inputs, L.Dense(1)(L.Dense(units)(inputs)))
        self.units = units

    def train_step(self, data: Any) -> Any:
        return super().train_step(data) | {"own": 1.0}


def _graph_with_own_step() -> keras.Model:
    inputs = keras.Input((8,))
    return GraphWithOwnStep(inputs, L.Dense(1)(L.Dense(6)(inputs)))


@pytest.mark.parametrize("make", [_graph_with_own_step, lambda: GraphOfItsOwn(6)])
def test_functional_subclasses_keep_their_class_and_train_step(make: Any) -> None:
    model = make()
    names = [v.path for v in model.variables]
    pruned = prune_low_magnitude(model, HALF)
    assert isinstance(pruned, dense_class(type(model)))
    assert "own" in train(pruned).history
    check_sparse(pruned)
    stripped = strip_pruning(pruned)
    assert type(stripped) is dense_class(type(model))
    assert [v.path for v in stripped.variables] == names


def test_a_sequential_subclass_keeps_its_class() -> None:
    class Chain(keras.Sequential):
        def __init__(self, factor: float):
            super().__init__([keras.Input((8,)), L.Dense(4), L.Dense(1)])
            self.factor = factor

        def train_step(self, data: Any) -> Any:
            return super().train_step(data) | {"own": self.factor}

    model = Chain(2.0)
    pruned = prune_low_magnitude(model, HALF)
    assert train(pruned).history["own"] == [2.0]
    check_sparse(pruned)
    stripped = strip_pruning(pruned)
    assert type(stripped) is Chain
    assert not pruned_layers(stripped)
    assert stripped.get_config() == model.get_config()


def test_a_subclassed_model_inside_a_graph_is_pruned() -> None:
    inputs = keras.Input((8,))
    model = keras.Model(inputs, L.Dense(1, name="head")(Subclassed()(inputs)))
    pruned = prune_low_magnitude(model, HALF)
    assert len(_names(pruned)) == 6
    train(pruned)
    check_sparse(pruned)
    assert not pruned_layers(strip_pruning(pruned))


def test_wrapped_layers_in_a_subclassed_model_are_found_and_stripped() -> None:
    class Mixed(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.wrapped = prune_low_magnitude(L.Dense(4, name="a"), HALF)
            self.more = [L.Dense(4, name="b"), prune_low_magnitude(L.Dense(1, name="c"), HALF)]

        def call(self, x: Any) -> Any:
            return self.more[1](self.more[0](self.wrapped(x)))

    model = Mixed()
    train(model, X, Y)
    check_sparse(model)
    assert _names(model) == ["a/kernel", "c/kernel"]
    assert {s.layer: s.reason for s in sparsity_report(model).skipped} == {
        "b": "left out by the pruning policy"
    }
    expected = model(X)
    stripped = strip_pruning(model)
    assert stripped is model
    assert not pruned_layers(model)
    assert [layer.name for layer in model.layers] == ["a", "b", "c"]
    assert [layer.name for layer in [model.wrapped, *model.more]] == ["a", "b", "c"]
    assert np.array_equal(model(X), expected)


def test_a_pruned_model_inside_a_subclassed_one_is_stripped() -> None:
    class Outer(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.inner = prune_low_magnitude(dense_model(), HALF)

        def call(self, x: Any) -> Any:
            return self.inner(x)

    model = Outer()
    train(model, X, Y)
    check_sparse(model)
    expected = model(X)
    strip_pruning(model)
    assert not pruned_layers(model)
    assert len(model.variables) == 4
    assert np.array_equal(model(X), expected)


def test_prune_scope_is_a_scope(tmp_path: Any) -> None:
    pruned = prune_low_magnitude(dense_model(), PolynomialDecay(0.0, 0.5, 0, 10))
    with prune_scope():
        clone = keras.models.clone_model(pruned)
    assert [type(layer) for layer in clone.layers] == [PruneLowMagnitude] * 2
    assert [layer.pruning_schedule for layer in clone.layers] == [
        layer.pruning_schedule for layer in pruned.layers
    ]
    train(clone)
