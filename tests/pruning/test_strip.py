"""What is stripped is the original model again, with sparse weights."""

import keras
import numpy as np
import pytest
from keras import layers as L
from sparse import HALF, check_sparse, dense_model, random_batch, train, zeros

from pruneplug import PruneLowMagnitude, prune_low_magnitude, strip_pruning
from pruneplug.pruning.wrapper import pruned_layers


def _convolutional() -> keras.Model:
    inputs = keras.Input((6, 6, 2), name="image")
    x = L.Conv2D(4, 3, kernel_constraint="max_norm", kernel_regularizer="l2", name="conv")(inputs)
    x = L.BatchNormalization()(x)
    x = L.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, L.Dense(3, dtype="mixed_float16", name="head")(x), name="net")


def _recurrent() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            L.Embedding(9, 4),
            L.Bidirectional(L.LSTM(3)),
            L.Dense(1),
        ],
        name="text",
    )


@pytest.mark.parametrize("make", [dense_model, _convolutional, _recurrent])
def test_strip_gives_the_original_model_with_sparse_weights(make) -> None:
    model = make()
    config, constraints = model.get_config(), [v.constraint for v in model.variables]
    pruned = prune_low_magnitude(model, HALF)
    train(pruned, epochs=2)
    x, _ = random_batch(model)
    expected = pruned.predict(x, verbose=0)
    stripped = strip_pruning(pruned)
    assert stripped.get_config() == config
    assert stripped.name == model.name
    assert list(map(type, stripped.layers)) == list(map(type, model.layers))
    assert all(a is b for a, b in zip(stripped.variables, model.variables, strict=True))
    assert all(a is v.constraint for a, v in zip(constraints, stripped.variables, strict=True))
    assert all(layer.built for layer in stripped.layers)
    assert not getattr(stripped, "optimizer", None)
    assert np.array_equal(stripped.predict(x, verbose=0), expected)
    assert sum(map(zeros, stripped.trainable_variables)) >= sum(
        np.prod(weight.shape) // 2
        for wrapper in pruned_layers(pruned)
        for weight, *_ in wrapper.pruning_vars
    )


def test_a_stripped_model_loads_without_pruneplug(tmp_path) -> None:
    pruned = prune_low_magnitude(dense_model(), HALF)
    train(pruned)
    stripped = strip_pruning(pruned)
    stripped.save(tmp_path / "model.keras")
    text = (tmp_path / "model.keras").read_bytes()
    assert b"prune" not in text
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x, _ = random_batch(loaded)
    assert np.array_equal(loaded(x), pruned(x))


def test_a_pruned_model_trains_on_after_strip() -> None:
    pruned = prune_low_magnitude(dense_model(), HALF)
    train(pruned, epochs=2)
    stripped = strip_pruning(pruned)
    stripped.compile("adam", "mse", jit_compile=False)
    x, y = random_batch(stripped)
    stripped.fit(x, y, verbose=0, epochs=2)
    assert zeros(stripped.layers[0].kernel) == 0
    train(pruned, epochs=1)
    check_sparse(pruned)
    assert int(pruned.layers[0].pruning_step) == 3
    check = strip_pruning(pruned)
    assert zeros(check.layers[0].kernel) == 24


def test_strip_before_training_and_twice() -> None:
    model = dense_model()
    pruned = prune_low_magnitude(model, HALF)
    first, second = strip_pruning(pruned), strip_pruning(strip_pruning(pruned))
    assert first.get_config() == second.get_config() == model.get_config()
    assert strip_pruning(model).get_config() == model.get_config()


def test_strip_sets_masked_weights_to_zero_whatever_was_assigned() -> None:
    pruned = prune_low_magnitude(dense_model(), HALF)
    train(pruned)
    pruned.layers[0].layer.kernel.assign(np.ones((8, 6)))
    assert zeros(strip_pruning(pruned).layers[0].kernel) == 24


def test_only_models_are_stripped() -> None:
    for wrong in (PruneLowMagnitude(L.Dense(2)), None):
        with pytest.raises(ValueError, match="model must be a Keras model; got"):
            strip_pruning(wrong)


def test_wrappers_in_a_layer_of_the_users_own_are_stripped() -> None:
    class Tower(L.Layer):
        def __init__(self):
            super().__init__()
            self.dense = prune_low_magnitude(L.Dense(4), HALF)
            self.heads = {"a": prune_low_magnitude(L.Dense(1), HALF)}
            self.pair = (L.ReLU(), prune_low_magnitude(L.Dense(4), HALF))

        def call(self, x):
            return self.heads["a"](self.pair[1](self.pair[0](self.dense(x))))

    inputs = keras.Input((8,))
    model = keras.Model(inputs, Tower()(inputs))
    train(model)
    check_sparse(model)
    x, _ = random_batch(model)
    expected = model(x)
    stripped = strip_pruning(model)
    assert not pruned_layers(stripped)
    assert np.array_equal(stripped(x), expected)
    assert len(stripped.variables) == 6
