"""The wrapper: what it holds, passes on, refuses and is called."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L
from sparse import HALF, check_sparse, dense_model, masks, train

from pruneplug import ConstantSparsity, PruneLowMagnitude, prune_low_magnitude
from pruneplug.pruning.constraint import MaskConstraint
from pruneplug.pruning.wrapper import pruned_layers


def _built(layer: L.Layer, shape: tuple[int | None, ...], **kwargs: Any) -> PruneLowMagnitude:
    wrapper = PruneLowMagnitude(layer, **kwargs)
    wrapper.build(shape)
    return wrapper


def test_the_references_attributes_are_there() -> None:
    schedule = ConstantSparsity(0.5, 0)
    wrapper = _built(
        L.Dense(4, name="d"), (None, 6), pruning_schedule=schedule, block_size=[2, 3],
        block_pooling_type="MAX",
    )  # fmt: skip
    assert wrapper.name == "prune_low_magnitude_d"
    assert wrapper.pruning_schedule is schedule
    assert wrapper.block_size == (2, 3)
    assert wrapper.block_pooling_type == "MAX"
    assert wrapper.sparsity_m_by_n is None
    assert int(wrapper.pruning_step) == -1
    ((weight, mask, threshold),) = wrapper.pruning_vars
    assert weight is wrapper.layer.kernel
    assert mask.shape == weight.shape
    assert np.all(mask.numpy())
    assert float(threshold) == 0


def test_masks_do_not_train_and_layers_stay_what_they_are() -> None:
    wrapper = _built(L.Dense(4, activation="relu"), (None, 6))
    assert wrapper.trainable_variables == wrapper.layer.trainable_variables
    assert len(wrapper.non_trainable_variables) == 4
    assert wrapper.layer.get_config()["kernel_constraint"] is None
    assert isinstance(wrapper.layer.kernel.constraint, MaskConstraint)
    assert wrapper.layer.bias.constraint is None


def test_building_is_left_to_the_layer() -> None:
    built = L.Dense(4)
    built.build((None, 6))
    kernel = built.kernel
    wrapper = PruneLowMagnitude(built)
    assert wrapper.built
    assert wrapper.pruning_vars[0][0] is kernel
    wrapper.build((None, 6))
    assert len(wrapper.pruning_vars) == 1
    later = PruneLowMagnitude(L.Dense(4))
    assert not later.built
    assert later(np.ones((2, 6), "f")).shape == (2, 4)
    assert later.built


def test_what_keras_asks_a_layer_is_answered_by_the_layer() -> None:
    layer = L.Conv2D(4, 3)
    wrapper = PruneLowMagnitude(layer)
    assert wrapper.compute_output_shape((None, 8, 8, 3)) == (None, 6, 6, 4)
    assert wrapper.compute_output_spec(keras.KerasTensor((2, 8, 8, 3))).shape == (2, 6, 6, 4)
    assert PruneLowMagnitude(L.LSTM(3)).supports_masking
    assert PruneLowMagnitude(L.Dense(3, dtype="mixed_float16")).compute_dtype == "float16"
    assert not PruneLowMagnitude(L.Dense(3, trainable=False)).trainable


@pytest.mark.filterwarnings("ignore:Do not pass an `input_shape`")
def test_the_first_layer_of_a_sequential_may_be_wrapped() -> None:
    model = keras.Sequential([PruneLowMagnitude(L.Dense(3, input_shape=(4,))), L.Dense(1)])
    assert model.built
    assert model.input_shape == (None, 4)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"pruning_schedule": 0.5}, r"pruning_schedule must be a PruningSchedule; got .*0\.5"),
        ({"block_size": (0, 1)}, r"block_size must be at least \(1, 1\)"),
        ({"block_size": 4}, "block_size must be two whole numbers; got block_size=4"),
        ({"block_pooling_type": "SUM"}, r"must be one of .*AVG.*; got .*'SUM'"),
        ({"sparsity_m_by_n": (4, 4)}, r"1 <= m < n.*got sparsity_m_by_n=\(4, 4\)"),
    ],
)
def test_wrong_arguments_are_refused(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PruneLowMagnitude(L.Dense(3), **kwargs)


@pytest.mark.parametrize("wrong", [None, "dense", L.Dense])
def test_only_layers_are_wrapped(wrong: Any) -> None:
    with pytest.raises(ValueError, match="layer must be a Keras layer; got"):
        PruneLowMagnitude(wrong)


def test_a_pattern_is_checked_when_the_shape_is_known() -> None:
    wrapper = PruneLowMagnitude(L.Conv2D(4, 3, name="c"), block_size=(2, 2))
    with pytest.raises(ValueError, match=r"2 axes; got c/kernel of shape \(3, 3, 3, 4\)"):
        wrapper.build((None, 8, 8, 3))


def test_masks_can_be_attached_and_detached_again() -> None:
    constraint = keras.constraints.MaxNorm(1.0)
    wrapper = _built(L.Dense(4, kernel_constraint=constraint), (None, 6))
    weight = wrapper.layer.kernel
    held = weight.constraint
    wrapper.attach()
    assert weight.constraint is held
    wrapper.detach()
    assert weight.constraint is constraint
    wrapper.detach()
    assert weight.constraint is constraint
    wrapper.attach()
    assert weight.constraint.inner is constraint


def test_two_pruned_models_on_the_same_weights_do_not_pile_up() -> None:
    model = dense_model()
    first = prune_low_magnitude(model, HALF)
    second = prune_low_magnitude(model, ConstantSparsity(0.75, 1, frequency=1))
    assert model.layers[0].kernel.constraint.inner is None
    train(second)
    check_sparse(second, 0.75)
    train(first)
    assert [wrapper.layer for wrapper in pruned_layers(first)] == model.layers
    assert [mask.sum() for mask in masks(first)] == [24, 3]


def test_pruned_layers_are_found_once_at_any_depth() -> None:
    wrapper = PruneLowMagnitude(L.Dense(3))
    assert pruned_layers(wrapper) == [wrapper]
    inputs = keras.Input((2, 3))
    inner = L.TimeDistributed(wrapper)
    model = keras.Model(inputs, inner(inner(inputs)))
    assert pruned_layers(model) == [wrapper]
    assert pruned_layers(dense_model()) == []


def test_a_built_wrapper_is_built_again_from_its_configuration() -> None:
    wrapper = _built(L.Dense(4), (None, 6), pruning_schedule=HALF)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(wrapper))
    assert again.built
    assert [v.shape for v in again.variables] == [v.shape for v in wrapper.variables]
    later = PruneLowMagnitude(L.Dense(4))
    later.build_from_config({"input_shape": (None, 6)})
    assert later.pruning_vars[0][1].shape == (6, 4)


@keras.saving.register_keras_serializable("test_wrapper")
class Doubled(L.Layer):
    """Without weights, which only the built layer shows."""

    def build(self, shape: Any) -> None:
        self.built = True

    def call(self, x: Any) -> Any:
        return 2 * x


@keras.saving.register_keras_serializable("test_wrapper")
class Pair(L.Layer):
    def __init__(self, name: str = "pair", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.left, self.right, self.double = L.Dense(6), L.Dense(6), Doubled()

    def build(self, shape: Any) -> None:
        for layer in (self.left, self.right, self.double):
            layer.build(shape)

    def call(self, x: Any) -> Any:
        return self.double(self.left(x) + self.right(x))


@pytest.mark.parametrize(
    ("only", "names"),
    [
        (None, ["left/kernel", "right/kernel"]),
        (["right"], ["right/kernel"]),
        (["left/kernel"], ["left/kernel"]),
    ],
)
def test_the_weights_that_are_pruned_can_be_named_and_stay_so(
    only: list[str] | None, names: list[str], tmp_path: Any
) -> None:
    pair = Pair()
    pair.build((None, 8))
    wrapper = PruneLowMagnitude(pair, HALF, weight_names=only)
    assert wrapper.weight_names == names
    model = keras.Sequential([keras.Input((8,)), wrapper])
    train(model)
    check_sparse(model)
    model.save(tmp_path / "model.keras")
    for other in (
        keras.models.load_model(tmp_path / "model.keras"),
        keras.models.clone_model(model),
    ):
        assert other.layers[0].weight_names == names
        train(other)
        check_sparse(other)


def test_a_named_weight_must_be_there() -> None:
    with pytest.raises(ValueError, match=r"'pair' \(Pair\) must hold a weight 'rihgt'"):
        _built(Pair(), (None, 8), weight_names=["left", "rihgt"])


def test_the_order_of_weights_does_not_depend_on_what_is_frozen() -> None:
    def names(trainable: bool) -> list[str]:
        layers = [keras.layers.Dense(3, name="a"), keras.layers.Dense(2, name="b")]
        model = keras.Sequential([keras.Input((4,)), *layers])
        layers[0].trainable = trainable
        pruned = prune_low_magnitude(model, ConstantSparsity(0.5, 1))
        assert len(pruned.trainable_variables) == (4 if trainable else 2)
        return [weight.name for weight in pruned.weights]

    assert names(trainable=False) == names(trainable=True)
