"""A small convolutional network, for images."""

from collections.abc import Sequence

import keras
from keras import layers

from pruneplug.command.models.images import image_input


def build(
    input_shape: tuple[int, ...],
    num_classes: int,
    filters: Sequence[int] = (32, 64),
    hidden: int = 128,
    dropout: float = 0.25,
) -> keras.Model:
    """Build a 5x5 and 3x3 convolutions, each halved by pooling, a hidden layer and a softmax.

    Args:
        input_shape: Shape of one image, (height, width) or (height, width, channels).
        num_classes: Number of outputs.
        filters: Filters of each convolution, from the input on.
        hidden: Units of the dense layer behind the convolutions.
        dropout: Share of that layer's inputs dropped in training, in [0, 1).

    Returns:
        A model from (batch, *input_shape) to class probabilities (batch, num_classes).

    Raises:
        ValueError: If the samples are no images, or Keras refuses a size or rate.
    """
    inputs, x = image_input(input_shape, "cnn")
    for number, width in enumerate(filters, start=1):
        # The first sees few channels, so a wider look is cheap there.
        side = 5 if number == 1 else 3
        x = layers.Conv2D(width, side, padding="same", activation="relu", name=f"conv_{number}")(x)
        # "same" keeps the last row, so that images of any size pass.
        x = layers.MaxPooling2D(2, padding="same", name=f"pool_{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Dense(hidden, activation="relu", name="hidden")(x)
    outputs = layers.Dense(num_classes, activation="softmax", name="predictions")(x)
    return keras.Model(inputs, outputs, name="cnn")
