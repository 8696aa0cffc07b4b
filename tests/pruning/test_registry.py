"""Every Keras layer is prunable with known weights, has nothing to prune, or is refused."""

import copy
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import pytest
from keras import layers as L
from places import TESTS
from sparse import HALF, check_sparse, in_new_process, random_batch, train

from pruneplug import (
    PrunableLayer,
    PruneLowMagnitude,
    prune_low_magnitude,
    register_prunable,
    sparsity_report,
    strip_pruning,
)
from pruneplug.pruning import known_layers, registry


class Case(NamedTuple):
    """A layer, how it is called, and the names of its weights that can be pruned."""

    make: Callable[[], Any]
    shape: tuple[int, ...]
    weights: str
    dtype: str = "float32"

    def model(self) -> keras.Model:
        """A model of this layer alone."""
        inputs = keras.Input(self.shape, dtype=self.dtype)
        layer = self.make()
        if isinstance(layer, L.MultiHeadAttention | L.GroupQueryAttention):
            return keras.Model(inputs, layer(inputs, inputs))
        if isinstance(layer, L.ReversibleEmbedding):
            return keras.Model(inputs, layer(layer(inputs), reverse=True))
        return keras.Model(inputs, layer(inputs))


RECURRENT = "kernel recurrent_kernel"
ATTENTION = "query/kernel key/kernel value/kernel output/kernel"
GATED = "query/kernel key/kernel value/kernel gate/kernel output/kernel"

PRUNABLE = {
    "Dense": Case(lambda: L.Dense(4), (6,), "kernel"),
    "EinsumDense": Case(lambda: L.EinsumDense("abc,cd->abd", (3, 4)), (3, 6), "kernel"),
    "Embedding": Case(lambda: L.Embedding(9, 4), (3,), "embeddings", "int32"),
    "ReversibleEmbedding": Case(
        lambda: L.ReversibleEmbedding(9, 4, tie_weights=False),
        (3,),
        "embeddings reverse_embeddings",
        "int32",
    ),
    "Conv1D": Case(lambda: L.Conv1D(4, 2), (5, 3), "kernel"),
    "Conv2D": Case(lambda: L.Conv2D(4, 2), (5, 5, 3), "kernel"),
    "Conv3D": Case(lambda: L.Conv3D(4, 2), (4, 4, 4, 3), "kernel"),
    "Conv1DTranspose": Case(lambda: L.Conv1DTranspose(4, 2), (5, 3), "kernel"),
    "Conv2DTranspose": Case(lambda: L.Conv2DTranspose(4, 2), (5, 5, 3), "kernel"),
    "Conv3DTranspose": Case(lambda: L.Conv3DTranspose(4, 2), (4, 4, 4, 3), "kernel"),
    "SeparableConv1D": Case(lambda: L.SeparableConv1D(4, 2), (5, 3), "pointwise_kernel"),
    "SeparableConv2D": Case(lambda: L.SeparableConv2D(4, 2), (5, 5, 3), "pointwise_kernel"),
    "SimpleRNN": Case(lambda: L.SimpleRNN(4), (3, 5), RECURRENT),
    "GRU": Case(lambda: L.GRU(4), (3, 5), RECURRENT),
    "LSTM": Case(lambda: L.LSTM(4), (3, 5), RECURRENT),
    "SimpleRNNCell": Case(lambda: L.RNN(L.SimpleRNNCell(4)), (3, 5), RECURRENT),
    "GRUCell": Case(lambda: L.RNN(L.GRUCell(4)), (3, 5), RECURRENT),
    "LSTMCell": Case(lambda: L.RNN(L.LSTMCell(4)), (3, 5), RECURRENT),
    "RNN": Case(lambda: L.RNN(L.LSTMCell(4)), (3, 5), RECURRENT),
    "StackedRNNCells": Case(
        lambda: L.RNN(L.StackedRNNCells([L.LSTMCell(4), L.GRUCell(3)])),
        (3, 5),
        "cells/0/kernel cells/0/recurrent_kernel cells/1/kernel cells/1/recurrent_kernel",
    ),
    "ConvLSTM1D": Case(lambda: L.ConvLSTM1D(4, 2), (3, 4, 2), RECURRENT),
    "ConvLSTM2D": Case(lambda: L.ConvLSTM2D(4, 2), (3, 4, 4, 2), RECURRENT),
    "ConvLSTM3D": Case(lambda: L.ConvLSTM3D(2, 2), (2, 3, 3, 3, 2), RECURRENT),
    "Bidirectional": Case(
        lambda: L.Bidirectional(L.LSTM(4)),
        (3, 5),
        "forward/kernel forward/recurrent_kernel backward/kernel backward/recurrent_kernel",
    ),
    "TimeDistributed": Case(lambda: L.TimeDistributed(L.Dense(4)), (3, 5), "kernel"),
    "Pipeline": Case(lambda: L.Pipeline([L.Dense(4), L.ReLU()]), (3,), "layers/0/kernel"),
    "MultiHeadAttention": Case(lambda: L.MultiHeadAttention(2, 3), (3, 6), ATTENTION),
    "MultiHeadAttention with a gate": Case(
        lambda: L.MultiHeadAttention(2, 3, use_gate=True), (3, 6), GATED
    ),
    "GroupQueryAttention": Case(lambda: L.GroupQueryAttention(3, 4, 2), (3, 6), ATTENTION),
    "GroupQueryAttention with a gate": Case(
        lambda: L.GroupQueryAttention(3, 4, 2, use_gate=True), (3, 6), GATED
    ),
}

# Reviewed one by one: their weights, where they have any, are vectors, tables that are not
# trained, or depthwise kernels.
NOTHING_TO_PRUNE = set(
    re.findall(
        r"\w+",
        """
    Activation ELU LeakyReLU PReLU ReLU Softmax
    ActivityRegularization AlphaDropout Dropout GaussianDropout GaussianNoise SpatialDropout1D
    SpatialDropout2D SpatialDropout3D
    AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
    AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D AveragePooling1D
    AveragePooling2D AveragePooling3D GlobalAveragePooling1D GlobalAveragePooling2D
    GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D MaxPooling1D
    MaxPooling2D MaxPooling3D
    Add Average Concatenate Dot Maximum Minimum Multiply Subtract
    AdditiveAttention Attention
    BatchNormalization GroupNormalization LayerNormalization RMSNormalization UnitNormalization
    DepthwiseConv1D DepthwiseConv2D
    Cropping1D Cropping2D Cropping3D Flatten Permute RepeatVector Reshape UpSampling1D UpSampling2D
    UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
    Identity InputLayer Lambda Masking
    CategoryEncoding Discretization HashedCrossing Hashing IntegerLookup MelSpectrogram
    Normalization Rescaling STFTSpectrogram StringLookup TextVectorization
    AugMix AutoContrast CenterCrop ContrastLimitedAdaptiveHistogramEqualization CutMix Equalization
    MaxNumBoundingBoxes MixUp RandAugment RandomBrightness RandomColorDegeneration
    RandomColorJitter RandomContrast RandomCrop RandomElasticTransform RandomErasing RandomFlip
    RandomGaussianBlur RandomGrayscale RandomHue RandomInvert RandomPerspective
    RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear
    RandomTranslation RandomZoom Resizing Solarization
    """,
    )
)

REFUSED = {
    "SpectralNormalization": "rewrites its kernel",
    "TFSMLayer": "not Keras variables",
    "JaxLayer": "not Keras variables",
    "FlaxLayer": "not Keras variables",
    "TorchModuleWrapper": "not Keras variables",
}

ABSTRACT = {"Layer", "Wrapper"}


def test_every_keras_layer_is_in_one_list() -> None:
    # By class: some have several names (AvgPool2D, Convolution2D).
    classes = {c for c in vars(L).values() if isinstance(c, type) and issubclass(c, L.Layer)}
    names = [*(n for n in PRUNABLE if " " not in n), *NOTHING_TO_PRUNE, *REFUSED, *ABSTRACT]
    reviewed = {getattr(L, name) for name in names}
    assert len(reviewed) == len(names)
    missing = classes - reviewed
    assert not missing, f"review what can be pruned in {missing}"


@pytest.mark.parametrize("name", PRUNABLE)
def test_a_prunable_layer_is_pruned_trained_and_stripped(name: str) -> None:
    case = PRUNABLE[name]
    model = case.model()
    layer = model.layers[-1]
    before = layer.get_config()
    assert registry.unsupported_reason(case.make()) is None
    assert registry.has_prunable_weights(case.make())
    assert " ".join(weight for weight, _ in registry.prunable_weights(layer)) == case.weights
    pruned = prune_low_magnitude(model, HALF)
    train(pruned, epochs=2, run_eagerly=True)
    check_sparse(pruned)
    _check_names(pruned.layers[-1])
    x, _ = random_batch(pruned)
    expected = pruned(x)
    stripped = strip_pruning(pruned)
    assert type(stripped.layers[-1]) is type(layer)
    assert layer.get_config() == stripped.layers[-1].get_config() == before
    assert list(map(id, stripped.layers[-1].variables)) == list(map(id, layer.variables))
    assert keras.ops.max(abs(stripped(x) - expected)) == 0


def _check_names(wrapper: PruneLowMagnitude) -> None:
    """Assert that masks, thresholds and steps have different names, as the h5 format needs."""
    own = {id(v) for v in wrapper.layer.variables}
    names = {v.name for v in wrapper.variables if id(v) not in own}
    assert len(names) == 1 + 3 * len(wrapper.pruning_vars)


def test_layers_with_nothing_to_prune_are_accepted() -> None:
    for name in NOTHING_TO_PRUNE:
        # The class decides, and some need arguments or packages that have no part in this.
        layer = object.__new__(getattr(L, name))
        assert registry.unsupported_reason(layer) is None, name
        assert not registry.has_prunable_weights(layer), name


def test_refused_layers_have_their_reason() -> None:
    for name, reason in REFUSED.items():
        layer = object.__new__(getattr(L, name))
        assert reason in registry.unsupported_reason(layer)
        assert not registry.has_prunable_weights(layer)


def test_an_error_names_layer_class_reason_and_ways_out() -> None:
    layer = L.SpectralNormalization(L.Dense(3), name="odd")
    expected = r"'odd' \(SpectralNormalization\) .* rewrites .*PrunableLayer.*register.*policy"
    with pytest.raises(ValueError, match=expected):
        prune_low_magnitude(layer)


class Unknown(L.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1], 2))

    def call(self, x):
        return x @ self.scale


class OwnWeights(Unknown, PrunableLayer):
    def get_prunable_weights(self):
        return [self.scale]


class Block(L.Layer):
    """Layers in attributes, lists and dicts."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = L.Dense(4)
        self.rest = [L.Dense(4), L.Dense(4)]
        self.heads = {"out": L.Dense(2)}

    def build(self, shape):
        for layer in (self.first, *self.rest, self.heads["out"]):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def compute_output_shape(self, shape):
        return (*shape[:-1], 2)

    def call(self, x):
        for layer in (self.first, *self.rest, self.heads["out"]):
            x = layer(x)
        return x


@keras.saving.register_keras_serializable()
class Cell(L.Layer, PrunableLayer):
    state_size = 4

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 4), name="kernel")

    def call(self, x, states):
        return x @ self.kernel, states

    def get_prunable_weights(self):
        return [self.kernel]


def _prune_alone(layer: Any, shape: tuple[int, ...]) -> keras.Model:
    model = keras.Sequential([keras.Input(shape), layer])
    pruned = prune_low_magnitude(model, HALF)
    train(pruned, epochs=2, run_eagerly=True)
    check_sparse(pruned)
    return pruned


@pytest.mark.parametrize(
    ("make", "shape", "weights"),
    [
        (OwnWeights, (6,), ["variable"]),
        (lambda: L.RNN(Cell()), (3, 5), ["kernel"]),
        (
            lambda: L.RNN(L.StackedRNNCells([Cell(), L.GRUCell(4)])),
            (3, 5),
            ["cells/0/kernel", "cells/1/kernel", "cells/1/recurrent_kernel"],
        ),
        (
            Block,
            (6,),
            ["first/kernel", "rest/0/kernel", "rest/1/kernel", "heads/out/kernel"],
        ),
        (lambda: L.TimeDistributed(Block()), (3, 6), ["first/kernel", "rest/0/kernel"]),
        (
            lambda: L.TimeDistributed(keras.Sequential([L.Dense(3, name="a"), L.Dense(2)])),
            (3, 6),
            ["a/kernel"],
        ),
        (lambda: L.Bidirectional(L.RNN(Cell())), (3, 5), ["forward/kernel", "backward/kernel"]),
    ],
)  # fmt: skip
def test_other_peoples_layers_are_pruned(make: Any, shape: Any, weights: list[str]) -> None:
    layer = make()
    _prune_alone(layer, shape)
    assert [name for name, _ in registry.prunable_weights(layer)][: len(weights)] == weights


def test_a_layer_of_an_unknown_class_is_refused() -> None:
    model = keras.Sequential([keras.Input((6,)), Unknown(name="mine")])
    with pytest.raises(ValueError, match=r"'mine' \(Unknown\) cannot be pruned.* not known"):
        prune_low_magnitude(model)


class Doubled(L.Layer):
    """Nothing but a function."""

    def call(self, x):
        return 2 * x


class Sampled(L.Layer):
    """A random state is not a weight."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed = keras.random.SeedGenerator(0)

    def build(self, shape):
        self.units = shape[-1]

    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x), seed=self.seed)


@pytest.mark.parametrize("layer_class", [Doubled, Sampled])
def test_layers_without_weights_need_no_registration(layer_class: Any) -> None:
    inside = L.Pipeline([layer_class(), L.ReLU()])
    layers = [keras.Input((3, 6)), layer_class(name="own"), inside, L.Dense(2)]
    pruned = prune_low_magnitude(keras.Sequential(layers), HALF)
    train(pruned)
    check_sparse(pruned)
    assert isinstance(pruned.layers[0], layer_class)
    assert sparsity_report(pruned).skipped == ()


def test_a_layer_that_is_not_built_may_get_weights() -> None:
    own, *_ = prune_low_magnitude([Doubled(), L.Dense(2)], HALF)
    assert isinstance(own, Doubled)
    with pytest.raises(ValueError, match=r"'own' .* not known to pruneplug, and it is not built"):
        prune_low_magnitude([Sampled(name="own"), L.Dense(2)], HALF)


def test_an_unknown_layer_inside_another_is_named() -> None:
    layer = L.TimeDistributed(Unknown(name="mine"), name="outer")
    with pytest.raises(ValueError, match=r"'outer' .*: in 'mine' \(Unknown\) inside it, its class"):
        PruneLowMagnitude(layer)


def test_subclasses_are_treated_like_their_parents() -> None:
    class MyDense(L.Dense):
        pass

    class MyDropout(L.Dropout):
        pass

    assert registry.has_prunable_weights(MyDense(2))
    assert registry.unsupported_reason(MyDropout(0.5)) is None


@pytest.fixture
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_layers, "_PRUNABLE", dict(known_layers._PRUNABLE))


@pytest.mark.usefixtures("_registered")
def test_depthwise_kernels_are_pruned_on_request() -> None:
    register_prunable(L.DepthwiseConv2D, "kernel")
    register_prunable(L.SeparableConv2D, "pointwise_kernel", "depthwise_kernel")
    layers = [L.DepthwiseConv2D(2), L.SeparableConv2D(4, 2)]
    model = keras.Sequential([keras.Input((5, 5, 3)), *layers])
    pruned = prune_low_magnitude(model, HALF)
    train(pruned, run_eagerly=True)
    check_sparse(pruned)
    names = [weight.name.partition("/")[2] for weight in sparsity_report(pruned).weights]
    assert names == ["kernel", "pointwise_kernel", "depthwise_kernel"]


@pytest.mark.usefixtures("_registered")
def test_a_class_can_be_registered_or_declared_to_have_nothing_to_prune() -> None:
    register_prunable(Unknown, "scale")
    _prune_alone(Unknown(), (6,))
    register_prunable(Unknown)
    assert not registry.has_prunable_weights(Unknown())
    assert registry.unsupported_reason(Unknown()) is None


@pytest.mark.usefixtures("_registered")
def test_a_registered_attribute_that_is_not_there_is_an_error() -> None:
    register_prunable(Unknown, "scael")
    model = keras.Sequential([keras.Input((6,)), Unknown(name="mine")])
    with pytest.raises(ValueError, match=r"'mine' \(Unknown\) must have an attribute scael"):
        prune_low_magnitude(model)


@pytest.mark.parametrize("wrong", [L.Dense(2), "Dense", dict])
def test_only_layer_classes_can_be_registered(wrong: Any) -> None:
    with pytest.raises(TypeError, match="layer_class must be a Keras layer class"):
        register_prunable(wrong, "kernel")


def test_prunable_layer_must_be_completed() -> None:
    with pytest.raises(NotImplementedError, match="PrunableLayer must define"):
        PrunableLayer().get_prunable_weights()


@pytest.mark.parametrize("change", [lambda x: x.enable_lora(2), lambda x: x.quantize("int8")])
@pytest.mark.parametrize("inside", [False, True])
def test_lora_and_quantized_layers_are_refused(change: Any, inside: bool) -> None:
    dense = L.Dense(8, name="changed")
    model = keras.Sequential([keras.Input((3, 8)), L.TimeDistributed(dense) if inside else dense])
    change(dense)
    with pytest.raises(ValueError, match=r"'changed' \(Dense\).*kernel.*LoRA or quantize"):
        prune_low_magnitude(model)


def test_names_are_the_same_in_another_process_after_other_layers_were_made() -> None:
    L.Dense(1), L.LSTMCell(1)
    here = registry.prunable_weights(_built(Block(), (None, 6)))
    code = """
        import keras
        from test_registry import Block, _built
        from pruneplug.pruning import registry
        print(*[name for name, _ in registry.prunable_weights(_built(Block(), (None, 6)))])
    """
    there = in_new_process(code, {"PYTHONPATH": f"{TESTS}:{TESTS}/pruning"})
    assert there.split() == [name for name, _ in here]


def _built(layer: Any, shape: tuple[int | None, ...]) -> Any:
    layer(keras.KerasTensor(shape))
    return layer


def test_names_of_weights_stay_apart() -> None:
    class Twice(L.Layer, PrunableLayer):
        def build(self, shape):
            self.a, self.b = (self.add_weight(shape=(4, 4), name="kernel") for _ in range(2))

        def get_prunable_weights(self):
            return [self.a, self.b]

        def call(self, x):
            return x @ self.a @ self.b

    assert [name for name, _ in registry.prunable_weights(_built(Twice(), (None, 4)))] == [
        "kernel", "kernel_1",
    ]  # fmt: skip


def test_a_wrapped_layer_answers_and_stays_what_it_is() -> None:
    for make in (
        lambda: L.Dense(3),
        lambda: L.LSTM(3),
        lambda: L.Bidirectional(L.GRU(2)),
        lambda: L.RNN([L.LSTMCell(2), L.GRUCell(2)]),
    ):
        layer, untouched = make(), make()
        wrapper = PruneLowMagnitude(layer)
        assert layer.get_prunable_weights() == []  # not built yet
        for built in (layer, untouched):
            built.build((None, 5, 4))
        names = [name for name, _ in registry.prunable_weights(layer)]
        # It is asked by its class as before, not by its answer.
        assert names == [name for name, _ in registry.prunable_weights(untouched)]
        assert [id(w) for w in layer.get_prunable_weights()] == [
            id(w) for _, w in registry.prunable_weights(layer)
        ]
        assert not hasattr(untouched, "get_prunable_weights")
        assert not hasattr(type(layer)(**_arguments(layer)), "get_prunable_weights")
        assert PruneLowMagnitude(layer, name="again").weight_names == names
        assert wrapper.layer is layer


def _arguments(layer: Any) -> dict[str, Any]:
    config = keras.saving.serialize_keras_object(layer)
    loaded = keras.saving.deserialize_keras_object(config)
    assert not hasattr(loaded, "get_prunable_weights")
    kinds = {L.Dense: {"units": 3}, L.LSTM: {"units": 3}, L.RNN: {"cell": L.GRUCell(2)}}
    return kinds.get(type(layer), {"layer": L.GRU(2)})


def test_copies_of_a_wrapped_layer_answer_for_themselves() -> None:
    layer = L.Dense(3)
    PruneLowMagnitude(layer).build((None, 4))
    deep = copy.deepcopy(layer)  # made anew by Keras, and not wrapped
    assert not hasattr(deep, "get_prunable_weights")
    model = keras.Sequential([keras.Input((4,)), L.Dense(3)])
    clone = keras.models.clone_model(prune_low_magnitude(model))
    inner = clone.layers[0].layer
    assert inner.get_prunable_weights()[0] is inner.kernel


def test_a_subclass_that_names_its_own_is_asked_even_after_its_parent_was_wrapped() -> None:
    class Both(L.Dense):
        def get_prunable_weights(self):
            return [self.kernel, self.bias]

    PruneLowMagnitude(L.Dense(3))
    layer = Both(3)
    layer.build((None, 4))
    assert PruneLowMagnitude(layer).weight_names == ["kernel", "bias"]
