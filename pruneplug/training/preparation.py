"""From a user's model and data to a session that is ready to run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from pruneplug.callbacks import UpdatePruningStep
from pruneplug.prune import prune_low_magnitude
from pruneplug.schedules import PruningSchedule
from pruneplug.training.evaluation import Evaluation
from pruneplug.training.feed import Data, evaluation_feed
from pruneplug.wrapper import pruned_layers


@dataclass(frozen=True)
class Pruning:
    """How to prune a model: the arguments of `prune_low_magnitude`."""

    schedule: PruningSchedule | None
    options: Mapping[str, Any]

    def wrap(self, model: keras.Model) -> keras.Model:
        """Return the model to train; one that is already pruned is returned as it is.

        Raises:
            ValueError: If the model is pruned and a schedule is given too, or neither.
        """
        layers = pruned_layers(model)
        if not layers:
            if self.schedule is None:
                raise ValueError(
                    "schedule must be given for a model that is not pruned yet; got schedule=None. "
                    "Pass PolynomialDecay(...) or ConstantSparsity(...)."
                )
            return prune_low_magnitude(model, self.schedule, **self.options)
        if self.schedule is not None:
            raise ValueError(
                "schedule must be None for a model whose layers bring their own; "
                f"got schedule={self.schedule!r} and {len(layers)} pruned layers. "
                "Leave it out, or pass the model before prune_low_magnitude."
            )
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


def check_monitor(monitor: str, train: frozenset[str], validation: Evaluation | None) -> None:
    """Refuse a metric that no epoch will have.

    Raises:
        ValueError: With the names there are.
    """
    names = set(train)
    if validation is not None:
        names |= {f"val_{name}" for name in validation.names}
    elif monitor.startswith("val_"):
        return  # without validation there is no best model, only a last one
    if names and monitor not in names:
        raise ValueError(f"monitor must be one of {sorted(names)}; got monitor={monitor!r}.")
