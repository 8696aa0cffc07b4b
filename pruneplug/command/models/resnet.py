"""A small residual network, for images from 8x8 pixels up.

Reference:
    He, Zhang, Ren, Sun: "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from pruneplug.command.models.images import image_input


def build(
    input_shape: tuple[int, ...],
    num_classes: int,
    filters: Sequence[int] = (16, 32, 64),
    blocks: int = 1,
) -> keras.Model:
    """Build stages of residual blocks, each stage at half the resolution of the one before.

    Args:
        input_shape: Shape of one image, (height, width) or (height, width, channels).
        num_classes: Number of outputs.
        filters: Filters of each stage, from the input on.
        blocks: Residual blocks, of two convolutions each, in every stage.

    Returns:
        A model from (batch, *input_shape) to class probabilities (batch, num_classes).

    Raises:
        ValueError: If the samples are no images, or Keras refuses a size.
    """
    inputs, x = image_input(input_shape, "resnet")
    x = _convolve(x, filters[0], 1, "stem")
    x = layers.ReLU(name="stem_relu")(x)
    for stage, width in enumerate(filters, start=1):
        for block in range(1, blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            x = _residual_block(x, width, stride, f"stage_{stage}_block_{block}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    outputs = layers.Dense(num_classes, activation="softmax", name="predictions")(x)
    return keras.Model(inputs, outputs, name="resnet")


def _residual_block(x: Any, filters: int, stride: int, name: str) -> Any:
    """Add two convolutions to their input, which is projected where its shape changes."""
    shortcut = x
    if stride != 1 or x.shape[-1] != filters:
        shortcut = _convolve(x, filters, stride, f"{name}_shortcut", size=1)
    x = _convolve(x, filters, stride, f"{name}_conv_1")
    x = layers.ReLU(name=f"{name}_relu_1")(x)
    x = _convolve(x, filters, 1, f"{name}_conv_2")
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.ReLU(name=f"{name}_relu_2")(x)


def _convolve(x: Any, filters: int, stride: int, name: str, size: int = 3) -> Any:
    """Convolve and normalise; the normalisation's offset makes a bias useless."""
    convolution = layers.Conv2D(
        filters, size, strides=stride, padding="same", use_bias=False, name=name
    )
    return layers.BatchNormalization(name=f"{name}_norm")(convolution(x))
