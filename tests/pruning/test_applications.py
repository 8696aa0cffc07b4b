"""Every family in keras.applications is pruned as a whole, trained a step and stripped."""

import keras
import numpy as np
import pytest
from keras import layers as L
from sparse import HALF, check_sparse, train

from pruneplug import prune_low_magnitude, sparsity_report, strip_pruning

# The smallest member of each family, and the smallest image it takes.
FAMILIES = {
    "ConvNeXtTiny": 32,
    "DenseNet121": 32,
    "EfficientNetB0": 32,
    "EfficientNetV2B0": 32,
    "InceptionResNetV2": 75,
    "InceptionV3": 75,
    "MobileNet": 32,
    "MobileNetV2": 32,
    "MobileNetV3Small": 32,
    "NASNetMobile": 32,
    "ResNet50": 32,
    "ResNet50V2": 32,
    "VGG16": 32,
    "Xception": 71,
}
LARGER = ("ConvNeXt", "DenseNet", "EfficientNetB", "EfficientNetV2", "MobileNetV3", "NASNet")
LARGER += ("ResNet", "VGG")


def test_no_family_is_missing() -> None:
    members = {name for name in vars(keras.applications) if name[0].isupper()}
    assert set(FAMILIES) <= members
    assert all(name.startswith(LARGER) for name in members - set(FAMILIES))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_pruned_trained_and_stripped(name: str) -> None:
    size = FAMILIES[name]
    model = getattr(keras.applications, name)(
        weights=None, include_top=False, pooling="avg", input_shape=(size, size, 3)
    )
    for layer in model._flatten_layers():
        # On maps of 1x1, its variance over two images makes dense models predict NaN as well.
        layer.trainable = not isinstance(layer, L.BatchNormalization)
    config = model.get_config()
    pruned = prune_low_magnitude(model, HALF)
    x = np.random.default_rng(0).random((2, size, size, 3), "f")
    y = np.zeros((2, *model.output_shape[1:]))
    train(pruned, x, y, optimizer="sgd", run_eagerly=True)
    check_sparse(pruned)
    kinds = (L.Dense, L.Conv2D, L.SeparableConv2D)
    expected = {layer.name for layer in model._flatten_layers() if isinstance(layer, kinds)}
    report = sparsity_report(pruned)
    assert {weight.name.partition("/")[0] for weight in report.weights} == expected
    assert {skipped.reason for skipped in report.skipped} <= {"nothing to prune in it"}
    predictions = keras.ops.convert_to_numpy(pruned(x))
    assert np.all(np.isfinite(predictions))
    stripped = strip_pruning(pruned)
    assert np.array_equal(stripped(x), predictions)
    assert stripped.get_config() == config
