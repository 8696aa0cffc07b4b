"""Each policy leaves out what it says, with its reason in the report."""

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras
from keras import layers as L
from oracle import reference
from sparse import HALF, check_sparse, train, zeros

from pruneplug import (
    AllOf,
    ByName,
    KeepEndsDense,
    MinimumSize,
    PruneForLatencyOnXNNPack,
    PruningPolicy,
    SkipUnsupported,
    prune_low_magnitude,
    sparsity_report,
)


class Odd(L.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],))

    def call(self, x):
        return x * self.scale


def _network(*extra: L.Layer) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            L.Conv2D(4, 3, name="conv_first"),
            L.Conv2D(4, 3, name="conv_second"),
            *extra,
            L.Flatten(),
            L.Dense(16, name="hidden"),
            L.Dense(4, name="head"),
        ]
    )


def _left_out(model: keras.Model, policy: Any, **kwargs: Any) -> dict[str, str]:
    """Layers that a policy left out of a model, and the reasons in the report."""
    pruned = prune_low_magnitude(model, pruning_policy=policy, **kwargs)
    report = sparsity_report(pruned)
    wrapped = {weight.name.partition("/")[0] for weight in report.weights}
    skipped = {skipped.layer: skipped.reason for skipped in report.skipped}
    with_weights = {layer.name for layer in model.layers if layer.weights}
    assert wrapped | set(skipped) == with_weights
    assert not wrapped & set(skipped)
    return skipped


class OnlyDense(PruningPolicy):
    """As a user of TFMOT writes one."""

    def allow_pruning(self, layer):
        return isinstance(layer, L.Dense)

    def ensure_model_supports_pruning(self, model):
        if not model.built:
            raise ValueError("build it first")


def test_a_policy_of_tfmots_two_methods_works() -> None:
    default = "left out by the pruning policy"
    assert _left_out(_network(), OnlyDense()) == {"conv_first": default, "conv_second": default}
    with pytest.raises(ValueError, match="build it first"):
        prune_low_magnitude(keras.Sequential([L.Dense(3)]), pruning_policy=OnlyDense())


def test_a_policy_needs_both_methods() -> None:
    class Half(PruningPolicy):
        def allow_pruning(self, layer):
            return True

    with pytest.raises(TypeError, match="ensure_model_supports_pruning"):
        Half()


def test_any_object_with_the_two_methods_is_a_policy() -> None:
    class Plain:
        allow_pruning = OnlyDense.allow_pruning
        ensure_model_supports_pruning = OnlyDense.ensure_model_supports_pruning

    assert _left_out(_network(), Plain()) == _left_out(_network(), OnlyDense())
    both = AllOf(Plain(), ByName(exclude="head"))
    assert set(_left_out(_network(), both)) == {"conv_first", "conv_second", "head"}
    with pytest.raises(ValueError, match="build it first"):
        prune_low_magnitude(keras.Sequential([L.Dense(3)]), pruning_policy=Plain())


@pytest.mark.parametrize("wrong", ["skip", OnlyDense])
def test_a_policy_must_be_one(wrong: Any) -> None:
    with pytest.raises(ValueError, match="must be an instance of a PruningPolicy class; got"):
        prune_low_magnitude(_network(), pruning_policy=wrong)


def test_an_unsupported_layer_is_an_error_unless_it_is_skipped() -> None:
    model = _network(Odd(name="odd"))
    with pytest.raises(ValueError, match=r"'odd' \(Odd\) cannot be pruned"):
        prune_low_magnitude(model)
    skipped = _left_out(model, SkipUnsupported())
    assert skipped == {"odd": "not supported: its class is not known to pruneplug"}
    assert not SkipUnsupported().allow_pruning(Odd())


@pytest.mark.parametrize("pattern", [{"block_size": (4, 4)}, {"block_size": (1, 4)}])
def test_a_pattern_that_does_not_fit_a_layer_can_be_skipped(pattern: dict[str, Any]) -> None:
    skipped = _left_out(_network(), SkipUnsupported(), **pattern)
    assert set(skipped) == {"conv_first", "conv_second"}
    assert re.match(r"Block .* 2 axes; got conv_first/kernel .*block_size=", skipped["conv_first"])
    with pytest.raises(ValueError, match="Block sparsity must be used on weights with 2 axes"):
        prune_low_magnitude(_network(), **pattern)


def test_m_by_n_is_skipped_where_it_does_not_fit() -> None:
    model = keras.Sequential([keras.Input((6, 4)), L.Conv1D(4, 2), L.Dense(4)])
    (reason,) = _left_out(model, SkipUnsupported(), sparsity_m_by_n=(2, 4)).values()
    assert "m-by-n" in reason


def test_lora_layers_are_skipped_where_unsupported_is() -> None:
    model = _network()
    model.get_layer("hidden").enable_lora(2)
    (reason,) = _left_out(model, SkipUnsupported()).values()
    assert "must hold a floating-point variable in kernel" in reason


def test_layers_are_chosen_by_name() -> None:
    assert _left_out(_network(), ByName(only="conv*")) == {
        "hidden": "its name matches none of 'conv*'",
        "head": "its name matches none of 'conv*'",
    }
    assert _left_out(_network(), ByName(exclude=["head", "*_first"])) == {
        "conv_first": "its name is excluded by '*_first'",
        "head": "its name is excluded by 'head'",
    }
    both = ByName(only=["conv*", "h*"], exclude="head")
    assert set(_left_out(_network(), both)) == {"head"}


@pytest.mark.parametrize("policy", [ByName("Conv*"), ByName(exclude="haed")])
def test_a_name_pattern_that_matches_nothing_is_an_error(policy: ByName) -> None:
    with pytest.raises(ValueError, match=r"must match a layer .*; got '(Conv\*|haed)'.*conv_first"):
        prune_low_magnitude(_network(), pruning_policy=policy)


def test_small_layers_are_left_out() -> None:
    skipped = _left_out(_network(), MinimumSize(65))
    assert skipped == {
        "conv_first": "it has 36 weights to prune, fewer than 65",
        "head": "it has 64 weights to prune, fewer than 65",
    }
    assert not _left_out(_network(), MinimumSize(36))


def test_sizes_need_a_built_model_and_a_sensible_bound() -> None:
    with pytest.raises(ValueError, match="must be built for its layers to be judged by their size"):
        prune_low_magnitude(keras.Sequential([L.Dense(2)]), pruning_policy=MinimumSize(10))
    with pytest.raises(ValueError, match="weights must be at least 0; got weights=-1"):
        MinimumSize(-1)


@pytest.mark.parametrize(
    ("policy", "names"),
    [
        (KeepEndsDense(), {"conv_first", "head"}),
        (KeepEndsDense(last=False), {"conv_first"}),
        (KeepEndsDense(first=False), {"head"}),
        (AllOf(KeepEndsDense(), MinimumSize(150)), {"conv_first", "head", "conv_second"}),
        (AllOf(ByName(exclude="hidden"), KeepEndsDense()), {"conv_first", "head", "hidden"}),
        (AllOf(), set()),
    ],
)
def test_ends_are_left_dense_and_policies_combine(policy: PruningPolicy, names: set[str]) -> None:
    assert set(_left_out(_network(), policy)) == names


def test_which_layers_are_the_ends_depends_on_the_model() -> None:
    layer = L.Dense(4)
    assert KeepEndsDense().allow_pruning(layer)
    model = keras.Sequential([keras.Input((4,)), layer])
    assert KeepEndsDense().skip_reason(layer, model) == "it is the first layer that could be pruned"


def test_ends_are_found_in_nested_models() -> None:
    inner = keras.Sequential([keras.Input((4,)), L.Dense(4, name="a"), L.Dense(4, name="b")])
    model = keras.Sequential([keras.Input((4,)), inner, L.Dense(4, name="c")])
    report = sparsity_report(prune_low_magnitude(model, pruning_policy=KeepEndsDense()))
    assert [(skipped.layer, skipped.reason) for skipped in report.skipped] == [
        ("a", "it is the first layer that could be pruned"),
        ("c", "it is the last layer that could be pruned"),
    ]


def test_a_combined_policy_asks_each() -> None:
    model = _network(Odd(name="odd"))
    with pytest.raises(ValueError, match="cannot be pruned"):
        prune_low_magnitude(model, pruning_policy=AllOf(KeepEndsDense(), MinimumSize(0)))
    policy = AllOf(SkipUnsupported(), ByName(exclude="head"), MinimumSize(100))
    assert set(_left_out(model, policy)) == {"odd", "head", "conv_first"}
    assert not policy.allow_pruning(L.Dense(2, name="head"))
    assert not policy.allow_pruning(Odd())


class Pair(L.Layer):
    """A layer of one's own that is made of layers."""

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.left, self.right = L.Dense(units, name="left"), L.Dense(units, name="right")

    def build(self, shape):
        self.left.build(shape)
        self.right.build(shape)

    def call(self, x):
        return self.left(x) + self.right(x)


class Body(keras.Model):
    """A subclassed model of layers, of which one is made of layers."""

    def __init__(self) -> None:
        super().__init__(name="body")
        self.first = L.Dense(8, name="first")
        self.pair = Pair(8, name="pair")

    def call(self, x):
        return self.pair(self.first(x))


def _with_body() -> keras.Model:
    inputs = keras.Input((8,))
    return keras.Model(inputs, L.Dense(2, name="head")(Body()(L.Dense(4, name="stem")(inputs))))


def _with_body_in_place() -> keras.Model:
    class Whole(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.body = L.Dense(4, name="stem"), Body()
            self.head = L.Dense(2, name="head")

        def call(self, x):
            return self.head(self.body(self.stem(x)))

    model = Whole()
    model(keras.ops.ones((2, 8)))
    return model


class ByCheck(PruningPolicy):
    """As a user of TFMOT writes one: for layers of a model."""

    def __init__(self, allow: Callable[[Any], bool]):
        self.allow_pruning = allow  # type: ignore[method-assign]

    def allow_pruning(self, layer):
        raise NotImplementedError

    def ensure_model_supports_pruning(self, model):
        pass


SEEN_INSIDE: list[tuple[PruningPolicy, str]] = [
    (ByName(exclude="first"), "stem left right head"),
    (ByName("right"), "right"),
    (ByName("pair"), "left right"),
    (ByName(exclude=["pair", "stem"]), "first head"),
    (ByName(["*first", "*/left"]), "first left"),
    (KeepEndsDense(), "first left right"),
    (AllOf(KeepEndsDense(), ByName(exclude="left")), "first right"),
    (MinimumSize(64), "left right"),
    (MinimumSize(33), "left right"),
    (ByCheck(lambda layer: layer.name != "first"), "stem left right head"),
    (ByCheck(lambda layer: not isinstance(layer, Pair)), "stem first head"),
    (ByCheck(lambda layer: "pair" in layer.name), "left right"),
]


@pytest.mark.parametrize(("policy", "expected"), SEEN_INSIDE)
@pytest.mark.parametrize("make", [_with_body, _with_body_in_place])
def test_a_policy_sees_what_models_and_layers_are_made_of(
    make: Callable[[], keras.Model], policy: PruningPolicy, expected: str
) -> None:
    pruned = prune_low_magnitude(make(), HALF, pruning_policy=policy)
    train(pruned, np.ones((4, 8), "f"), np.ones((4, 2), "f"))
    check_sparse(pruned)
    report = sparsity_report(pruned)
    all_names = {"stem", "first", "left", "right", "head"}
    assert {weight.name.split("/")[-2] for weight in report.weights} == set(expected.split())
    layers = {layer.name: layer for layer in pruned._flatten_layers()}
    dense = {name for name in all_names if zeros(layers[name].kernel) == 0}
    assert dense == all_names - set(expected.split())
    named = {skipped.layer.split("/")[-1] for skipped in report.skipped}
    assert named | ({"left", "right"} if "pair" in named else set()) == dense | (named & {"pair"})


def test_a_name_may_be_the_one_in_reports() -> None:
    pruned = prune_low_magnitude(
        _with_body(), HALF, pruning_policy=ByName(exclude=["body/first", "body/pair/left"])
    )
    assert {skipped.layer for skipped in sparsity_report(pruned).skipped} == {
        "body/first", "body/pair/left",
    }  # fmt: skip


def test_what_is_unsupported_in_a_layer_is_skipped_alone() -> None:
    class Several(Pair):
        def __init__(self, **kwargs: Any):
            super().__init__(4, **kwargs)
            self.odd, self.conv = Odd(name="odd"), L.Conv1D(4, 2, padding="same", name="conv")

        def build(self, shape):
            super().build(shape)
            self.odd.build((None, 3, 4))
            self.conv.build((None, 3, 4))

        def call(self, x):
            return self.conv(self.odd(super().call(x)))

    model = keras.Sequential([keras.Input((3, 8)), Several(name="several")])
    with pytest.raises(ValueError, match=r"'odd' \(Odd\) cannot be pruned"):
        prune_low_magnitude(model, HALF)
    policy = SkipUnsupported()
    report = sparsity_report(prune_low_magnitude(model, HALF, (2, 2), pruning_policy=policy))
    assert [w.name for w in report.weights] == ["several/left/kernel", "several/right/kernel"]
    reasons = {skipped.layer: skipped.reason for skipped in report.skipped}
    assert "not known" in reasons["several/odd"]
    assert "Block sparsity must" in reasons["several/conv"]


# Models are functions of a Keras, so that both Keras 3 and the reference's can make them.
Build = Callable[[Any, Any], Any]
STRIDE = {"strides": 2, "padding": "valid"}


def _mobile(middle: Build, start: Build | None = None, keepdims: bool = False) -> Build:
    def build(k: Any, x: Any) -> Any:
        x = start(k, x) if start else _start(k, x)
        x = k.layers.Conv2D(4, 1)(x)
        x = middle(k, x)
        x = k.layers.Conv2D(4, 1)(x)
        x = k.layers.GlobalAveragePooling2D(keepdims=keepdims)(x)
        return k.layers.Dense(2)(x)

    return build


def _start(k: Any, x: Any) -> Any:
    return k.layers.Conv2D(4, 3, **STRIDE)(k.layers.ZeroPadding2D(1)(x))


def _layer(name: str, *args: Any, **kwargs: Any) -> Build:
    return lambda k, x: getattr(k.layers, name)(*args, **kwargs)(x)


def _padded(margin: Any, *args: Any, **kwargs: Any) -> Build:
    def build(k: Any, x: Any) -> Any:
        return k.layers.DepthwiseConv2D(*args, **kwargs)(k.layers.ZeroPadding2D(margin)(x))

    return build


def _two_branches(k: Any, x: Any) -> Any:
    x = _start(k, x)
    left, right = k.layers.Conv2D(4, 1)(x), k.layers.Conv2D(4, 1)(x)
    x = k.layers.GlobalAveragePooling2D()(k.layers.Add()([left, right]))
    return [k.layers.Dense(2)(x), k.layers.Dense(3)(x)]


def _two_poolings(keepdims: bool) -> Build:
    def build(k: Any, x: Any) -> Any:
        x = k.layers.GlobalAveragePooling2D(keepdims=keepdims)(_start(k, x))
        x = x if keepdims else k.layers.Reshape((1, 1, 4))(x)
        return k.layers.GlobalAveragePooling2D()(k.layers.Conv2D(4, 1)(x))

    return build


def _way_around_pooling(k: Any, x: Any) -> Any:
    x = _start(k, x)
    return [k.layers.GlobalAveragePooling2D()(x), k.layers.Flatten()(x)]


LATENCY_MODELS: dict[str, Build] = {
    "plain": _mobile(lambda k, x: x),
    "pooling keeps dims": _mobile(lambda k, x: x, keepdims=True),
    "operators": _mobile(lambda k, x: (x + x) * x - x),
    "subtract layer": _mobile(lambda k, x: k.layers.Subtract()([x, x])),
    "add layer": _mobile(lambda k, x: k.layers.Add()([x, x])),
    "multiply layer": _mobile(lambda k, x: k.layers.Multiply()([x, x])),
    "concatenate": _mobile(lambda k, x: k.layers.Concatenate()([x, x])),
    "two outputs": _two_branches,
    "two poolings": _two_poolings(keepdims=True),
    "two poolings and a reshape": _two_poolings(keepdims=False),
    "a way around the pooling": _way_around_pooling,
    "no start": _mobile(lambda k, x: x, start=lambda k, x: x),
    "start without padding": _mobile(lambda k, x: x, start=_layer("Conv2D", 4, 3, **STRIDE)),
    "start of stride 1": _mobile(
        lambda k, x: x, start=lambda k, x: k.layers.Conv2D(4, 3)(k.layers.ZeroPadding2D(1)(x))
    ),
    "start padded unevenly": _mobile(
        lambda k, x: x,
        start=lambda k, x: k.layers.Conv2D(4, 3, **STRIDE)(
            k.layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
        ),
    ),
    "start with same": _mobile(
        lambda k, x: x,
        start=lambda k, x: k.layers.Conv2D(4, 3, strides=2, padding="same")(
            k.layers.ZeroPadding2D(1)(x)
        ),
    ),
    **{
        f"{name} {args} {kwargs}": _mobile(_layer(name, *args, **kwargs))
        for name, args, kwargs in [
            ("ReLU", (), {}),
            ("ReLU", (6.0,), {}),
            ("LeakyReLU", (), {}),
            ("ELU", (), {}),
            ("PReLU", (), {}),
            ("Dropout", (0.1,), {}),
            ("SpatialDropout2D", (0.1,), {}),
            ("Activation", ("relu",), {}),
            ("Activation", ("sigmoid",), {}),
            ("Activation", ("tanh",), {}),
            ("BatchNormalization", (), {}),
            ("BatchNormalization", (), {"axis": 3}),
            ("BatchNormalization", (), {"axis": 1}),
            ("UpSampling2D", (), {"interpolation": "bilinear"}),
            ("UpSampling2D", (), {}),
            ("MaxPooling2D", (), {}),
            ("ZeroPadding2D", (2,), {}),
            ("Conv2D", (4, 3), {}),
            ("Conv2D", (4, 1), {"strides": 2}),
            ("Conv2D", (4, 1), {"groups": 2}),
            ("Conv2D", (4, 1), {"dilation_rate": 2}),
            ("SeparableConv2D", (4, 3), {}),
            ("DepthwiseConv2D", (3,), {"padding": "same"}),
            ("DepthwiseConv2D", (3,), {"padding": "valid"}),
            ("DepthwiseConv2D", (5,), {"padding": "same"}),
            ("DepthwiseConv2D", (7,), {"padding": "same"}),
            ("DepthwiseConv2D", (3,), {"padding": "same", "strides": 2}),
            ("DepthwiseConv2D", (3,), {"padding": "same", "depth_multiplier": 2}),
            ("DepthwiseConv2D", (3,), {"padding": "same", "dilation_rate": 2}),
        ]
    },
    **{
        f"padded by {margin}, depthwise {size} strides {strides}": _mobile(
            _padded(margin, size, strides=strides)
        )
        for margin, size, strides in [(1, 3, 2), (1, 3, 1), (2, 5, 2), (2, 3, 2), (1, 5, 1)]
    },
}  # fmt: skip


def _accepts(k: Any, policy: Any, build: Build) -> tuple[bool, list[bool]]:
    """Whether a policy accepts a model, and which of its layers it prunes."""
    inputs = k.Input((32, 32, 3))
    model = k.Model(inputs, build(k, inputs))
    layers = [x for x in model.layers if isinstance(x, k.layers.Conv2D | k.layers.Dense)]
    depthwise = k.layers.DepthwiseConv2D
    allowed = [policy.allow_pruning(x) for x in layers if not isinstance(x, depthwise)]
    try:
        policy.ensure_model_supports_pruning(model)
    except ValueError:
        return False, allowed
    return True, allowed


def test_the_latency_policy_accepts_and_prunes_what_the_reference_does() -> None:
    theirs_policy = reference.PruneForLatencyOnXNNPack()
    accepted = 0
    for name, build in LATENCY_MODELS.items():
        theirs = _accepts(tf_keras, theirs_policy, build)
        assert _accepts(keras, PruneForLatencyOnXNNPack(), build) == theirs, name
        accepted += theirs[0]
    assert 0 < accepted < len(LATENCY_MODELS)


def test_the_latency_policy_takes_built_graphs_only() -> None:
    class Subclassed(keras.Model):
        pass

    for model in (Subclassed(), keras.Sequential([L.Conv2D(2, 1)])):
        with pytest.raises(ValueError, match="must be a built Sequential or Functional model"):
            prune_low_magnitude(model, pruning_policy=PruneForLatencyOnXNNPack())


def test_the_latency_policy_takes_a_pruned_model_and_gives_its_reason() -> None:
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, LATENCY_MODELS["plain"](keras, inputs))
    policy = PruneForLatencyOnXNNPack()
    pruned = prune_low_magnitude(model, pruning_policy=policy)
    policy.ensure_model_supports_pruning(pruned)
    report = sparsity_report(pruned)
    assert len(report.weights) == 2
    assert {skipped.reason for skipped in report.skipped} == {
        "it is not a 1x1 Conv2D, as XNNPACK needs"
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no start", "must lead each input through a ZeroPadding2D"),
        ("a way around the pooling", "must lead through a GlobalAveragePooling2D"),
        ("concatenate", r"'concatenate' \(Concatenate\) is not supported between"),
    ],
)
def test_the_latency_policy_says_what_it_misses(name: str, message: str) -> None:
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, LATENCY_MODELS[name](keras, inputs))
    with pytest.raises(ValueError, match=message):
        prune_low_magnitude(model, pruning_policy=PruneForLatencyOnXNNPack())
