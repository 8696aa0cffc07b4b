"""A multilayer perceptron, for samples of any shape."""

from collections.abc import Sequence

import keras
from keras import layers


def build(
    input_shape: tuple[int, ...],
    num_classes: int,
    hidden: Sequence[int] = (128, 64),
    dropout: float = 0.0,
) -> keras.Model:
    """Build dense layers with ReLU and a softmax over the classes.

    Args:
        input_shape: Shape of one sample; it is flattened.
        num_classes: Number of outputs.
        hidden: Units of each hidden layer, from the input on; none gives a linear classifier.
        dropout: Share of each hidden layer's outputs dropped in training, in [0, 1).

    Returns:
        A model from (batch, *input_shape) to class probabilities (batch, num_classes).

    Raises:
        ValueError: If Keras refuses a size or rate.
    """
    inputs = keras.Input(input_shape, name="sample")
    x = layers.Flatten(name="flatten")(inputs)
    for number, units in enumerate(hidden, start=1):
        x = layers.Dense(units, activation="relu", name=f"hidden_{number}")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"dropout_{number}")(x)
    outputs = layers.Dense(num_classes, activation="softmax", name="predictions")(x)
    return keras.Model(inputs, outputs, name="mlp")
