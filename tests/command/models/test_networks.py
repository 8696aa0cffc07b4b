"""One battery for all built-in networks, on all kinds of samples they take."""

from types import ModuleType

import keras
import numpy as np
import pytest

from pruneplug.command.models import cnn, mlp, outputs_logits, resnet

IMAGES = [(8, 8), (8, 8, 1), (9, 11, 3), (28, 28, 1)]
CASES = [(network, shape) for network in (cnn, resnet) for shape in IMAGES]
CASES += [(mlp, shape) for shape in [*IMAGES, (5,), (2, 3, 4, 5)]]


@pytest.mark.parametrize(("network", "shape"), CASES)
def test_probabilities_for_every_class(network: ModuleType, shape: tuple[int, ...]) -> None:
    model = network.build(shape, 3)
    samples = np.random.default_rng(0).random((2, *shape), np.float32)
    probabilities = keras.ops.convert_to_numpy(model(samples))
    assert probabilities.shape == (2, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert not outputs_logits(model)


@pytest.mark.parametrize("network", [mlp, cnn, resnet])
def test_names_are_the_same_in_every_run(network: ModuleType) -> None:
    first, second = (network.build((8, 8, 1), 10) for _ in range(2))
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]
    assert first.layers[-1].name == "predictions"


@pytest.mark.parametrize("network", [cnn, resnet])
@pytest.mark.parametrize("shape", [(64,), (8, 8, 8, 1)])
def test_other_samples_than_images(network: ModuleType, shape: tuple[int, ...]) -> None:
    name = network.__name__.rsplit(".", 1)[-1]
    with pytest.raises(ValueError, match=f"{name} network needs images.*got input_shape="):
        network.build(shape, 10)


def test_mlp_layers() -> None:
    model = mlp.build((8, 8, 1), 10, hidden=(32, 16), dropout=0.5)
    assert [layer.name for layer in model.layers[2:]] == [
        "hidden_1",
        "dropout_1",
        "hidden_2",
        "dropout_2",
        "predictions",
    ]
    assert model.get_layer("hidden_2").units == 16


def test_cnn_without_dropout() -> None:
    names = [layer.name for layer in cnn.build((8, 8, 1), 10, filters=(4,), dropout=0).layers]
    assert names == ["image", "conv_1", "pool_1", "flatten", "hidden", "predictions"]


def test_resnet_stages_halve_the_image() -> None:
    model = resnet.build((32, 32, 3), 10, filters=(4, 8), blocks=2)
    assert model.get_layer("stage_1_block_2_add").output.shape == (None, 32, 32, 4)
    assert model.get_layer("stage_2_block_2_add").output.shape == (None, 16, 16, 8)
