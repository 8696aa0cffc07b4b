"""Which callbacks ask to be called at every batch."""

from collections.abc import Sequence
from typing import Literal

import keras

from pruneplug.pruning import keras_internals

_HOOKS = {
    "train": ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end"),
    "test": ("on_test_batch_begin", "on_test_batch_end"),
}


def wants_batches(
    callbacks: Sequence[keras.callbacks.Callback], mode: Literal["train", "test"]
) -> bool:
    """Tell whether a callback overrides a batch hook: only then must every step come back."""
    # Keras marks its own empty hooks, and a LambdaCallback sets its functions on the instance.
    hooks = (getattr(callback, name) for callback in callbacks for name in _HOOKS[mode])
    return not all(map(keras_internals.is_default_hook, hooks))
