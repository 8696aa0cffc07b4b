"""Pruning for `model.fit`: a few lines each on the engine."""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Mapping
from typing import Any

import keras

from pruneplug.pruning import keras_internals
from pruneplug.pruning.pruner import Pruner
from pruneplug.pruning.sparsity import PruningEvent, unique_names
from pruneplug.pruning.wrapper import collect_prunable_layers


class UpdatePruningStep(keras.callbacks.Callback):
    """Updates the masks of a pruned model while it trains in `fit`.

    It may also be called by hand in a loop of your own: `on_train_begin`, then
    `on_train_batch_begin` before each step, with or without `on_train_batch_end` after it, and
    `on_epoch_end`.

    Example:
        >>> model.fit(x, y, callbacks=[UpdatePruningStep()])  # doctest: +SKIP
    """

    def __init__(self) -> None:
        super().__init__()
        self.pruner: Pruner | None = None
        self._in_step = False
        self._said: int | None = 1  # how many steps a batch is, None if only the model knows
        self._first: tuple[int, int] | None = None  # the first epoch, and the steps before it
        self._planned = True

    def on_train_begin(self, logs: Any = None) -> None:
        """Start or resume the pruning of the model."""
        self.pruner = Pruner(self.model)
        if not self.pruner.layers:
            warnings.warn(
                f"UpdatePruningStep has nothing to do: model '{self.model.name}' has no pruned "
                "layer. Pass it through prune_low_magnitude first.",
                stacklevel=2,
            )
        per_call = getattr(self.model, "steps_per_execution", 1)
        # Keras does not say how many steps an execution of several really took.
        self._said = 1 if per_call == 1 else None
        self._first, self._planned = None, True
        self.pruner.start(stride=per_call)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Bring up to date what other callbacks may have loaded between two epochs."""
        if self.pruner is not None:
            self.pruner.catch_up()
            self._first = self._first or (epoch, self.pruner.step)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Note where the step begins; a step before it that nobody ended is ended now."""
        self._end_step(self._said)
        self._in_step = True

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Update the masks that are due."""
        self._end_step(self._said)

    def on_epoch_end(self, *_: Any, **__: Any) -> None:
        """End the last step, in loops that do not say when a step ends."""
        # Only the model knows whether there was one: Keras begins one that finds no more data.
        self._end_step()

    def on_train_end(self, logs: Any = None) -> None:
        """Apply the masks once more: an optimizer may have written averages at the end."""
        self._end_step()
        if self.pruner is not None:
            self.pruner.finish()

    def _warn_of_plan(self, pruner: Pruner) -> None:
        # No error, unlike in the Trainer: another `fit` may follow. Asked after the first step,
        # which shows how many optimizer steps a batch takes.
        steps, epochs = (self.params or {}).get("steps"), (self.params or {}).get("epochs")
        if self._planned and steps is not None and epochs is not None and self._first is not None:
            epoch, begin = self._first
            pruner.warn_of_plan(begin, steps * (epochs - epoch) * pruner.rate)
        self._planned = False

    def _end_step(self, said: int | None = None) -> None:
        if self.pruner is not None and self._in_step:
            self.pruner.advance(said)
            self._warn_of_plan(self.pruner)
        self._in_step = False


class PruningSummaries(keras.callbacks.TensorBoard):
    """Writes sparsity and threshold of each pruned weight to TensorBoard, once an epoch.

    Under the folder `metrics` they have TFMOT's tags: `<wrapper>/mask:0/sparsity` and
    `<wrapper>/threshold:0/threshold`. Under `train` they have those of `sparsity_report`:
    `sparsity/<layer>/<weight>`, `threshold/<layer>/<weight>` and `sparsity/total`. The step is
    the model's own, which goes on when it is compiled again.

    Args:
        log_dir: Folder for the event files.
        update_freq: When Keras writes losses and metrics, as in `keras.callbacks.TensorBoard`.
        **kwargs: Further arguments of `keras.callbacks.TensorBoard`.

    Raises:
        ValueError: `log_dir` is not a non-empty string.
        ImportError: The package tensorboard is not installed.
    """

    def __init__(self, log_dir: str, update_freq: str | int = "epoch", **kwargs: Any):
        if not isinstance(log_dir, str) or not log_dir:
            raise ValueError(f"log_dir must be a non-empty string; got log_dir={log_dir!r}.")
        if importlib.util.find_spec("tensorboard") is None:
            raise ImportError("PruningSummaries needs tensorboard: pip install tensorboard")
        super().__init__(log_dir=log_dir, update_freq=update_freq, **kwargs)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Write how sparse the model is before this epoch."""
        super().on_epoch_begin(epoch, logs)
        self._write_sparsity()

    def on_train_end(self, logs: Any = None) -> None:
        """Write how sparse the model has become."""
        self._write_sparsity()
        super().on_train_end(logs)

    def _write_sparsity(self) -> None:
        event = standing(self.model)
        self._write(keras_internals.train_writer(self), event.metrics(), event.step)
        writers = keras_internals.writers(self)
        if "metrics" not in writers:  # Keras closes those that are there
            folder = os.path.join(self.log_dir, "metrics")
            writers["metrics"] = self.summary.create_file_writer(folder)
        self._write(writers["metrics"], _named_as_in_tfmot(self.model), event.step)

    def _write(self, writer: Any, values: Mapping[str, float], step: int) -> None:
        with writer.as_default():
            for name, value in values.items():
                self.summary.scalar(name, value, step=step)
        writer.flush()  # in a loop of one's own, nothing closes it


def standing(model: keras.Model) -> PruningEvent:
    """Return how sparse a model is, under the number of steps that it was trained for."""
    pruner = Pruner(model)
    # An optimizer's count starts again when the model is compiled with another.
    step = pruner.step if pruner.layers else int(model.optimizer.iterations)
    return PruningEvent(step, pruner.weights())


def _named_as_in_tfmot(model: keras.Model) -> dict[str, float]:
    pruned = [
        (layer.name, mask, threshold)
        for layer in collect_prunable_layers(model)
        for _, mask, threshold in layer.pruning_vars
    ]
    values: dict[str, float] = {}
    for kind in ("mask", "threshold"):
        # Of a layer with several weights, TFMOT gives all the same name, and the last is written.
        names = unique_names([f"{layer}/{kind}" for layer, *_ in pruned])
        for name, (_, mask, threshold) in zip(names, pruned, strict=True):
            if kind == "mask":
                values[f"{name}:0/sparsity"] = 1.0 - float(keras.ops.mean(mask))
            else:
                values[f"{name}:0/threshold"] = float(keras.ops.convert_to_numpy(threshold))
    return values
