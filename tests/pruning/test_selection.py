"""What is pruned already is pruned again as asked, or that is refused; each weight once."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from sparse import HALF, check_sparse, train, zeros

from pruneplug import (
    ByName,
    ConstantSparsity,
    GlobalAllocation,
    KeepEndsDense,
    MByN,
    PrunableLayer,
    PruneLowMagnitude,
    PruningPolicy,
    UniformAllocation,
    prune_low_magnitude,
    sparsity_report,
    strip_pruning,
)
from pruneplug.pruning.wrapper import pruned_layers

MORE = ConstantSparsity(0.75, begin_step=1, frequency=1)


def _chain() -> keras.Model:
    layers = [L.Dense(8, name="a"), L.Dense(8, name="b"), L.Dense(4, name="c")]
    return keras.Sequential([keras.Input((8,)), *layers])


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = L.Dense(8, name="a"), L.Dense(8, name="b"), L.Dense(4, name="c")

    def call(self, x: Any) -> Any:
        return self.c(self.b(self.a(x)))


def _in_place() -> keras.Model:
    model = Subclassed()
    model(np.ones((2, 8), "f"))
    return model


def _nested() -> keras.Model:
    return keras.Sequential([keras.Input((8,)), _chain(), L.Dense(2, name="head")])


def _subclassed_inside() -> keras.Model:
    inputs = keras.Input((8,))
    return keras.Model(inputs, L.Dense(2, name="head")(Subclassed()(inputs)))


def _masks(model: keras.Model) -> list[int]:
    """What tells masks: a layer may be another one in a model that is made anew."""
    return [id(mask) for layer in pruned_layers(model) for _, mask, _ in layer.pruning_vars]


every_kind = pytest.mark.parametrize("make", [_chain, _in_place, _nested, _subclassed_inside])

OTHER_ARGUMENTS: list[dict[str, Any]] = [
    {"pruning_schedule": MORE},
    {"block_size": (2, 2)},
    {"block_size": (2, 2), "block_pooling_type": "MAX"},
    {"sparsity_m_by_n": (2, 4)},
    {"sparsity_m_by_n": MByN(2, 4, scheduled=True)},
    {"allocation": GlobalAllocation()},
    {"pruning_policy": KeepEndsDense()},
    {"pruning_policy": ByName("b")},
]


@every_kind
@pytest.mark.parametrize("other", OTHER_ARGUMENTS, ids=lambda other: "-".join(other))
def test_a_pruned_model_is_not_pruned_in_another_way(
    make: Callable[[], keras.Model], other: dict[str, Any]
) -> None:
    pruned = prune_low_magnitude(make(), HALF)
    (name, value) = list(other.items())[-1]
    expected = "a policy that leaves it out" if name == "pruning_policy" else f"{name}="
    with pytest.raises(ValueError, match=f"must be stripped before .* got .*{expected}.*strip"):
        prune_low_magnitude(pruned, **{"pruning_schedule": HALF} | other)
    again = prune_low_magnitude(strip_pruning(pruned), **{"pruning_schedule": HALF} | other)
    assert all(getattr(wrapper, name, value) == value for wrapper in pruned_layers(again))


def _masks(model: keras.Model) -> list[int]:
    return [id(mask) for wrapper in pruned_layers(model) for _, mask, _ in wrapper.pruning_vars]


@every_kind
@pytest.mark.parametrize("policy", [None, KeepEndsDense(), ByName(exclude=["a", "b"])])
def test_the_same_again_changes_nothing(
    make: Callable[[], keras.Model], policy: PruningPolicy | None
) -> None:
    pruned = prune_low_magnitude(make(), HALF, pruning_policy=policy)
    again = prune_low_magnitude(
        pruned, ConstantSparsity(0.5, 1, frequency=1), pruning_policy=policy
    )
    assert _masks(again) == _masks(pruned)
    assert sparsity_report(again) == sparsity_report(pruned)


def test_a_loaded_model_is_not_pruned_in_another_way(tmp_path: Any) -> None:
    prune_low_magnitude(_chain(), HALF).save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    prune_low_magnitude(loaded, HALF)
    with pytest.raises(ValueError, match="must be stripped before"):
        prune_low_magnitude(loaded, MORE)


def test_rounds_of_strip_and_prune_reach_their_targets() -> None:
    model = _chain()
    for target in (0.25, 0.5, 0.75):
        pruned = prune_low_magnitude(model, ConstantSparsity(target, 1, frequency=1))
        train(pruned)
        check_sparse(pruned, target)
        model = strip_pruning(pruned)
        assert sparsity_report(model).total == target


def test_layers_that_were_left_out_are_pruned_later_in_another_way() -> None:
    pruned = prune_low_magnitude(_chain(), HALF, pruning_policy=ByName("a"))
    pruned = prune_low_magnitude(pruned, MORE, pruning_policy=ByName(exclude="a"))
    assert [layer.pruning_schedule for layer in pruned.layers] == [HALF, MORE, MORE]
    ends = prune_low_magnitude(_chain(), HALF, pruning_policy=KeepEndsDense())
    assert len(pruned_layers(prune_low_magnitude(ends, HALF))) == 3


def test_what_was_left_out_of_a_wrapped_layer_stays_out_or_is_refused() -> None:
    policy = ByName(exclude="a")
    pruned = prune_low_magnitude(_subclassed_inside(), HALF, pruning_policy=policy)
    with pytest.raises(ValueError, match=r"'subclassed.*/a' must be .*; got no policy that leaves"):
        prune_low_magnitude(pruned, HALF)


def test_layers_wrapped_by_hand_keep_their_arguments_among_others() -> None:
    def model() -> keras.Model:
        wrapped = prune_low_magnitude(L.Dense(8, name="a"), MORE)
        return keras.Sequential([keras.Input((8,)), wrapped, L.Dense(4, name="b")])

    pruned = prune_low_magnitude(model(), HALF)
    assert [layer.pruning_schedule for layer in pruned.layers] == [MORE, HALF]
    again = prune_low_magnitude(pruned, HALF)
    assert _masks(again) == _masks(pruned)
    without = prune_low_magnitude(model(), HALF, pruning_policy=ByName(exclude="a"))
    assert [layer.pruning_schedule for layer in without.layers] == [MORE, HALF]
    with pytest.raises(ValueError, match="'b' must be stripped"):
        prune_low_magnitude(pruned, MORE)
    with pytest.raises(ValueError, match="'a' must be stripped"):
        prune_low_magnitude(keras.Sequential(model().layers[:1]), HALF)


def test_a_wrapper_and_lists_of_them_are_not_wrapped_in_another_way() -> None:
    wrapped = prune_low_magnitude(L.Dense(3), MORE)
    assert prune_low_magnitude(wrapped, MORE) is wrapped
    assert prune_low_magnitude([wrapped, L.Dense(2)], HALF)[0] is wrapped
    for again in (wrapped, [wrapped], [wrapped, L.ReLU()]):
        with pytest.raises(ValueError, match="must be stripped before it is pruned in another way"):
            prune_low_magnitude(again, HALF)
    model = prune_low_magnitude(_chain(), MORE)
    with pytest.raises(ValueError, match="'a' must be stripped"):
        prune_low_magnitude([*model.layers, L.Dense(2)], HALF)


def test_a_layer_that_comes_twice_in_a_list_is_wrapped_once() -> None:
    layer = L.Dense(3)
    first, second = prune_low_magnitude([layer, layer], HALF)
    assert first is second


THINGS: list[Callable[[], Any]] = [
    _chain,
    lambda: [L.Dense(2)],
    lambda: prune_low_magnitude(L.Dense(2), HALF),
]


@pytest.mark.parametrize("make", THINGS)
def test_an_unknown_argument_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match=r"must be among .*block_size.*; got block_sise"):
        prune_low_magnitude(make(), HALF, block_sise=(4, 4))
    with pytest.raises((TypeError, ValueError), match="block_sise"):
        prune_low_magnitude(L.Dense(2), HALF, block_sise=(4, 4))


@pytest.mark.parametrize("make", [*THINGS[1:], lambda: L.Dense(2)])
def test_a_policy_needs_a_model(make: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="pruning_policy must be used with a model"):
        prune_low_magnitude(make(), HALF, pruning_policy=KeepEndsDense())


@pytest.mark.parametrize("wrong", ["layer", None, keras.KerasTensor((2, 2))])
def test_a_list_holds_layers(wrong: Any) -> None:
    with pytest.raises(ValueError, match="to_prune must be a Keras 3 layer, a list of layers"):
        prune_low_magnitude([L.Dense(2), wrong], HALF)


class Transposed(L.Layer):
    """Uses the kernel of a layer that it holds."""

    def __init__(self, dense: L.Layer, **kwargs: Any):
        super().__init__(**kwargs)
        self.dense = dense

    def build(self, shape: Any) -> None:
        self.offset = self.add_weight(shape=(self.dense.kernel.shape[0],), name="offset")

    def call(self, x: Any) -> Any:
        return ops.matmul(x, ops.transpose(self.dense.kernel)) + self.offset


class Holder(L.Layer):
    def __init__(self, dense: L.Layer, **kwargs: Any):
        super().__init__(**kwargs)
        self.dense = dense

    def call(self, x: Any) -> Any:
        return self.dense(x)


class NamesBoth(Holder, PrunableLayer):
    """Names a weight of its own and that of the layer it holds."""

    def build(self, shape: Any) -> None:
        self.own = self.add_weight(shape=(8, 8), name="own")

    def call(self, x: Any) -> Any:
        return self.dense(ops.matmul(x, self.own))

    def get_prunable_weights(self) -> list[Any]:
        return [self.own, self.dense.kernel]


def _autoencoder() -> list[L.Layer]:
    first, second = L.Dense(6, name="enc1"), L.Dense(4, name="enc2")
    return [first, second, Transposed(second, name="dec2"), Transposed(first, name="dec1")]


def _built(layers: list[L.Layer]) -> keras.Model:
    return keras.Sequential([keras.Input((8,)), *layers])


class Autoencoder(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.chain = _autoencoder()

    def call(self, x: Any) -> Any:
        for layer in self.chain:
            x = layer(x)
        return x


def _autoencoder_in_place() -> keras.Model:
    model = Autoencoder()
    model(np.ones((2, 8), "f"))
    return model


def _two_holders() -> keras.Model:
    dense = L.Dense(8, name="held")
    dense.build((None, 8))
    return _built([Holder(dense, name="first"), Holder(dense, name="second")])


def _named_by_another() -> keras.Model:
    dense = L.Dense(8, name="dense")
    return _built([dense, NamesBoth(dense, name="both")])


def _called_twice() -> keras.Model:
    inputs, dense = keras.Input((3, 8)), L.Dense(4, name="dense")
    return keras.Model(inputs, L.TimeDistributed(dense, name="each")(inputs) + dense(inputs))


class Tied(NamedTuple):
    make: Callable[[], keras.Model]
    names: set[str]
    borrowed: dict[str, str]
    shape: tuple[int, ...] = (8,)


TIED = {
    name: Tied(make, {"enc1/kernel", "enc2/kernel"}, {"dec1": "enc1", "dec2": "enc2"})
    for name, make in {
        "autoencoder": lambda: _built(_autoencoder()),
        "not built": lambda: keras.Sequential(_autoencoder()),
        "in place": _autoencoder_in_place,
    }.items()
} | {
    "two holders": Tied(_two_holders, {"first/dense/kernel"}, {"second": "first/dense"}),
    "named by another": Tied(
        _named_by_another, {"dense/kernel", "both/own"}, {}
    ),
    "called twice": Tied(_called_twice, {"dense/kernel"}, {"each": "dense"}, (3, 8)),
}  # fmt: skip


@pytest.mark.parametrize(("make", "names", "borrowed", "shape"), TIED.values(), ids=TIED)
def test_a_weight_that_two_layers_use_is_pruned_and_counted_once(
    make: Any, names: set[str], borrowed: dict[str, str], shape: tuple[int, ...]
) -> None:
    pruned = prune_low_magnitude(make(), HALF)
    x = np.random.default_rng(0).normal(size=(4, *shape)).astype("f")
    train(pruned, x, np.zeros_like(pruned(x)))
    check_sparse(pruned)
    report = sparsity_report(pruned)
    assert {weight.name for weight in report.weights} == names
    assert report.total == 0.5
    reasons = {skipped.layer: skipped.reason for skipped in report.skipped}
    for name, owner in borrowed.items():
        assert reasons[name] == f"it uses the weights of '{owner}'"
    assert prune_low_magnitude(pruned, HALF) is not None
    assert {w.name for w in sparsity_report(strip_pruning(pruned)).weights} == names


@pytest.mark.parametrize("make", [lambda: _built(_autoencoder()), _autoencoder_in_place])
def test_a_policy_that_leaves_out_the_owner_leaves_out_the_weight(make: Any) -> None:
    pruned = prune_low_magnitude(make(), HALF, pruning_policy=ByName(exclude="enc1"))
    x = np.random.default_rng(0).normal(size=(4, 8)).astype("f")
    train(pruned, x, x)
    (wrapper,) = pruned_layers(pruned)
    assert wrapper.layer.name == "enc2"
    held = next(layer for layer in pruned._flatten_layers() if layer.name == "enc1")
    assert zeros(held.kernel) == 0


def test_a_layer_holds_another_twice_and_has_one_mask_for_it() -> None:
    class Both(L.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.dense = L.Dense(8)
            self.back = Transposed(self.dense)

        def call(self, x: Any) -> Any:
            return self.back(self.dense(x))

    wrapper = PruneLowMagnitude(Both(), HALF)
    wrapper(np.ones((2, 8), "f"))
    assert wrapper.weight_names == ["dense/kernel"]


@pytest.mark.parametrize("make", [_chain, _in_place, _nested])
def test_overrides_are_refused_before_training(make: Callable[[], keras.Model]) -> None:
    pruned = prune_low_magnitude(make(), HALF, allocation=GlobalAllocation({"b": 0.9}))
    assert len(pruned_layers(pruned)) >= 3
    with pytest.raises(ValueError, match="overrides must name pruned layers or weights; got 'd'"):
        prune_low_magnitude(make(), HALF, allocation=GlobalAllocation({"d": 0.9}))
    with pytest.raises(ValueError, match="Overrides must leave room for the total"):
        prune_low_magnitude(make(), MORE, allocation=GlobalAllocation({"a": 0.0, "b": 0.0}))
    policy = ByName(exclude="b")
    with pytest.raises(ValueError, match="got 'b', and the weights are a/kernel"):
        prune_low_magnitude(
            make(), HALF, pruning_policy=policy, allocation=GlobalAllocation({"b": 0.9})
        )


@pytest.mark.parametrize("make", [_chain, lambda: L.Dense(4), lambda: [L.Dense(4)]])
def test_an_allocation_without_effect_is_refused(make: Callable[[], Any]) -> None:
    prune_low_magnitude(make(), sparsity_m_by_n=(2, 4), allocation=UniformAllocation())
    scheduled = MByN(2, 4, scheduled=True)
    prune_low_magnitude(make(), sparsity_m_by_n=scheduled, allocation=GlobalAllocation())
    for pattern in ((2, 4), MByN(2, 4)):
        with pytest.raises(ValueError, match="allocation must be left out with m-by-n sparsity"):
            prune_low_magnitude(make(), sparsity_m_by_n=pattern, allocation=GlobalAllocation())


def test_a_plain_schedule_shares_out_as_asked() -> None:
    def schedule(step: int) -> tuple[bool, float]:
        return step == 1, 0.5

    model = _chain()
    model.get_layer("a").kernel.assign(np.full((8, 8), 0.001))
    pruned = prune_low_magnitude(model, schedule, allocation=GlobalAllocation())
    train(pruned)
    report = {weight.name: weight.sparsity for weight in sparsity_report(pruned).weights}
    assert report["a/kernel"] > report["b/kernel"]
