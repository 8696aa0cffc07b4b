"""What Keras callbacks remember, saved and brought back."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from pruneplug.training.checkpoints.arrays import Array
from pruneplug.training.checkpoints.callbacks.memory import Memory
from pruneplug.training.checkpoints.callbacks.values import BROKEN


class CallbackState:
    """Finds, saves and restores the state of callbacks.

    State is what has changed since the beginning of training, in the callbacks and in the objects
    that they hold: so no callback needs to know about this. What has changed and is no data is
    warned of; what every run makes itself, such as open files and functions, is not.

    A checkpoint may come from anyone. So it sets only what the run's own code changes in training:
    attributes that a method assigns after the setting up, and values that change in place, such as
    lists. What only the constructor assigns stays, and so does whatever is a method, holds an
    object or names a file. No text is taken that may name a file, and no object is made but those
    that are data.

    Args:
        callbacks: After their `on_train_begin`.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        self._memories = [Memory(callback) for callback in callbacks]
        self._said: set[tuple[str, str]] = set()

    def save(self) -> tuple[list[dict[str, Any]], list[tuple[str, Array]]]:
        """Return the state as JSON, and its arrays with their paths."""
        arrays: list[tuple[str, Array]] = []
        states = []
        for memory in self._memories:
            values: dict[str, Any] = {}
            for path, value in memory.changed():
                try:
                    memory.check(path, value)
                except BROKEN as error:
                    if not memory.made_anew(path, value):
                        self._say(memory, path, f"has changed and cannot be saved: {error}")
                    continue
                values[path] = [value.plain, len(arrays), len(value.arrays)]
                arrays.extend((f"{memory.name}/{path}", array) for array in value.arrays)
            states.append({"callback": memory.name, "values": values})
        return states, arrays

    def restore(self, states: Sequence[Mapping[str, Any]], arrays: Sequence[Array]) -> None:
        """Bring back what `save` returned; warn of what no checkpoint may set.

        Raises:
            ValueError: If the callbacks are others than those that were saved.
        """
        saved = [state["callback"] for state in states]
        own = [memory.name for memory in self._memories]
        if saved != own:
            raise ValueError(
                "callbacks must be those of the run that is resumed, in the same order; "
                f"got callbacks={own} instead of {saved}."
            )
        for memory, state in zip(self._memories, states, strict=True):
            for path, (plain, first, count) in state["values"].items():
                try:
                    memory.restore(path, plain, list(arrays[first : first + count]))
                except BROKEN as error:
                    self._say(memory, path, f"was not taken from the checkpoint: {error}")

    def _say(self, memory: Memory, path: str, what: str) -> None:
        if (memory.name, path) not in self._said:
            self._said.add((memory.name, path))
            warnings.warn(
                f"{memory.name}.{path} {what}. A run that resumes begins with what the callback "
                "itself gives to it.",
                stacklevel=2,
            )
