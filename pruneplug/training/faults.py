"""What a fault in the middle of a training says, and what it leaves intact."""

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from pruneplug.training.checkpoints.variables import view_variables

# TensorFlow names the operation that failed; this one brings the next element of a data set.
_FETCH = "IteratorGetNext"


class TrainingDivergedError(FloatingPointError):
    """The loss or a weight is NaN or infinite."""


def failed_to_fetch(error: BaseException) -> bool:
    """Tell whether the training data raised, so that the step it was for has not begun."""
    return _FETCH in str(error)


def check_loss(logs: Mapping[str, Any] | None, step: int | None) -> None:
    """Refuse to go on from a loss that is no number.

    Args:
        logs: Of the steps just taken.
        step: The first step with such a loss, None if there was none.

    Raises:
        TrainingDivergedError: With the step.
    """
    if step is not None:
        loss = float((logs or {}).get("loss", math.nan))
        raise TrainingDivergedError(
            f"The loss must stay finite; got loss={loss} at step {step}. "
            "A lower learning rate is the usual way out."
        )


def check_weights(model: keras.Model, step: int) -> None:
    """Refuse to save weights that are no numbers.

    Raises:
        TrainingDivergedError: With step and weight.
    """
    for path, value in view_variables(model.trainable_variables):
        if not np.isfinite(value).all():
            raise TrainingDivergedError(
                f"Weights must stay finite; got NaN or infinity in {path} after step {step}. "
                "A lower learning rate is the usual way out."
            )
