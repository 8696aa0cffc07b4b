"""What the convolutional networks have in common: how an image comes in."""

from typing import Any

import keras


def image_input(input_shape: tuple[int, ...], network: str) -> tuple[Any, Any]:
    """Open a network on images; grey images without a channel axis get one.

    Args:
        input_shape: Shape of one sample, (height, width) or (height, width, channels).
        network: Name of the network, for the error message.

    Returns:
        The input, and the tensor of shape (batch, height, width, channels) to go on with.

    Raises:
        ValueError: If the samples are no images.
    """
    if len(input_shape) not in (2, 3):
        raise ValueError(
            f"The {network} network needs images of shape (height, width) or "
            f"(height, width, channels); got input_shape={input_shape}. "
            "The mlp network takes samples of any shape."
        )
    inputs = keras.Input(input_shape, name="image")
    if len(input_shape) == 3:
        return inputs, inputs
    return inputs, keras.layers.Reshape((*input_shape, 1), name="add_channel")(inputs)
