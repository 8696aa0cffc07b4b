"""Weights of classes, as in `fit`: they become weights of samples."""

import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

import keras
import tensorflow as tf


def check_class_weight(class_weight: Mapping[int, float]) -> None:
    """Refuse what does not map class ids to weights.

    Raises:
        ValueError: With what it is.
    """
    right = isinstance(class_weight, Mapping) and bool(class_weight) and all(
        isinstance(label, Integral) and label >= 0 and isinstance(weight, Real)
        and math.isfinite(weight) and weight >= 0
        for label, weight in class_weight.items()
    )  # fmt: skip
    if not right:
        raise ValueError(
            "class_weight must map class ids to weights of at least 0, like {0: 0.5, 1: 2.0}; got "
            f"class_weight={class_weight!r}."
        )


def weigh_classes(class_weight: Mapping[int, float], name: str) -> Callable[..., Any]:
    """Return a function that turns `(x, y)` into `(x, y, sample_weight)`.

    Labels are class ids or one-hot rows; a class that is not in the table weighs 1.

    Args:
        class_weight: Weights by class id.
        name: What the data is called in errors.
    """
    last = max(class_weight)
    table = tf.constant(
        [float(class_weight.get(label, 1.0)) for label in range(last + 1)], keras.config.floatx()
    )

    def weigh(*batch: Any) -> tuple[Any, Any, Any]:
        if len(batch) != 2 or keras.tree.is_nested(batch[1]):
            raise ValueError(
                f"class_weight must be given for {name} of the form (x, y) with one target and no "
                f"sample weights; got {len(batch)} parts. Multiply it into sample weights instead."
            )
        x, y = batch
        labels = _labels(tf.convert_to_tensor(y))
        weights = tf.gather(table, tf.clip_by_value(labels, 0, last))
        return x, y, tf.where(labels > last, tf.ones_like(weights), weights)

    return weigh


def _labels(y: Any) -> Any:
    if y.shape.rank is not None and y.shape.rank > 1:
        if y.shape[-1] != 1:
            return tf.argmax(y, axis=-1)
        y = tf.squeeze(y, axis=-1)
    return tf.cast(tf.round(y) if y.dtype.is_floating else y, tf.int64)
