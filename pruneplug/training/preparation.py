"""From a user's model and data to a session that is ready to run."""

import difflib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from pruneplug.pruning.callbacks import UpdatePruningStep
from pruneplug.pruning.naming import rename_monitors
from pruneplug.pruning.prune import prune_low_magnitude
from pruneplug.pruning.pruner import Pruner
from pruneplug.pruning.schedules import PruningSchedule
from pruneplug.pruning.schedules.reach import computes_steps, never_fires
from pruneplug.pruning.wrapper import pruned_layers
from pruneplug.training.feeds.base import Data, evaluation_feed
from pruneplug.training.model.averages import swaps_averages
from pruneplug.training.steps.evaluation import Evaluation


@dataclass(frozen=True)
class Wrapping:
    """How to prune a model.

    Args:
        schedule: When masks are updated and how sparse they are.
        options: Further arguments of `prune_low_magnitude`.

    Raises:
        TypeError: If it takes no such argument.
    """

    schedule: PruningSchedule | None
    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        parameters = inspect.signature(prune_low_magnitude).parameters.values()
        named = [p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]
        allowed = [name for name in named if name not in ("to_prune", "pruning_schedule")]
        for name in self.options:
            if name not in allowed:
                close = difflib.get_close_matches(name, [*allowed, "schedule"], 1)
                hint = f" Did you mean {close[0]}?" if close else ""
                raise TypeError(
                    "Trainer must be given its own arguments or those of prune_low_magnitude "
                    f"({', '.join(allowed)}); got {name}={self.options[name]!r}.{hint}"
                )

    def check(self, model: keras.Model) -> None:
        """Refuse a model that is pruned twice, or not at all.

        Raises:
            TypeError: If it is no Keras model.
            ValueError: If the model is pruned and arguments for it are given too, or no schedule.
        """
        if not isinstance(model, keras.Model):
            kind = f"{type(model).__module__}.{type(model).__name__}"
            raise TypeError(f"model must be a Keras 3 model; got {kind}.")
        layers = pruned_layers(model)
        given = {**({} if self.schedule is None else {"schedule": self.schedule}), **self.options}
        if layers and given:
            listed = ", ".join(f"{name}={value!r}" for name, value in given.items())
            raise ValueError(
                f"{' and '.join(given)} must be left out for a model whose layers bring their "
                f"own; got {listed} and {len(layers)} pruned layers. Leave it out, or pass the "
                "model before prune_low_magnitude."
            )
        if not layers and self.schedule is None:
            raise ValueError(
                "schedule must be given for a model that is not pruned yet; got schedule=None. "
                "Pass PolynomialDecay(...) or ConstantSparsity(...)."
            )

    def wrap(self, model: keras.Model) -> keras.Model:
        """Return the model to train; one that is already pruned is returned as it is."""
        self.check(model)
        layers = pruned_layers(model)
        if not layers:
            arguments: dict[str, Any] = {"pruning_schedule": self.schedule, **self.options}
            return prune_low_magnitude(model, **arguments)
        # A model that was stripped once has lost its constraints; they belong into the graph.
        for layer in layers:
            layer.attach()
        return model


def callback_list(
    callbacks: Sequence[keras.callbacks.Callback], model: keras.Model, epochs: int, steps: int
) -> keras.callbacks.CallbackList:
    """Return the callbacks as `fit` would hold them, with a History.

    Raises:
        ValueError: If one of them does the Trainer's own work.
    """
    for callback in callbacks:
        if isinstance(callback, UpdatePruningStep):
            raise ValueError(
                "callbacks must not contain UpdatePruningStep: the Trainer steps the pruning "
                f"itself; got callbacks={[type(c).__name__ for c in callbacks]}. Leave it out."
            )
        if swaps_averages(callback):
            # What an earlier run has left in its model is not in this one.
            keras.callbacks.SwapEMAWeights.__init__(callback, callback.swap_on_epoch)
    rename_monitors(callbacks, model)
    return keras.callbacks.CallbackList(
        list(callbacks), add_history=True, model=model, verbose=0, epochs=epochs, steps=steps
    )


def evaluation(
    model: keras.Model,
    data: Data | None,
    name: str,
    batch_size: int,
    callbacks: keras.callbacks.CallbackList,
) -> Evaluation | None:
    """Return the evaluation on some data, None without data."""
    if data is None:
        return None
    feed = evaluation_feed(data, name, batch_size, model.distribute_strategy)
    return Evaluation(model, feed, callbacks)


def check_schedules(pruner: Pruner, steps: int) -> None:
    """Refuse a schedule that can never fire, and warn of one that is only partly used.

    Args:
        pruner: Of the model, which may have been trained before.
        steps: Optimizer steps planned.

    Raises:
        ValueError: If a schedule has no update within them.
    """
    # To ask another schedule about every step may take long: it is looked at when training ends.
    for schedule in filter(computes_steps, pruner.schedules):
        if (message := never_fires(schedule, pruner.step, steps)) is not None:
            raise ValueError(message)
    pruner.warn_of_plan(pruner.step, steps)
