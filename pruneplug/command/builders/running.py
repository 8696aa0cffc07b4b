"""Data, network, optimizer and tracker from their settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pruneplug.command.data import Splits, digits, fashion_mnist, npz
from pruneplug.command.outputs import JOURNAL
from pruneplug.command.settings import Settings, options
from pruneplug.command.settings.groups import MlflowSettings, TrackingSettings
from pruneplug.tracking import Journal, NullTracker, Tracker

if TYPE_CHECKING:
    import keras

DATA: dict[str, Callable[..., Splits]] = {
    "digits": digits.load,
    "fashion_mnist": fashion_mnist.load,
    "npz": npz.load,
}
# With no epochs given: so many, unless they would make more steps than these.
AUTOMATIC_EPOCHS = 40
AUTOMATIC_STEPS = 17_000

OPTIMIZERS = {"adam": "Adam", "sgd": "SGD", "adamw": "AdamW"}


def build_data(settings: Settings) -> Splits:
    """Load the data set; the seed chooses its validation part.

    Raises:
        OSError: If a file is missing.
        ValueError: If a file is malformed.
    """
    return DATA[settings.data.name](**options(settings.data), seed=settings.seed)


def epochs(settings: Settings, examples: int) -> int:
    """Return the passes over the data; with none given, enough for small data and large."""
    if settings.trainer.epochs is not None:
        return settings.trainer.epochs
    fitting = AUTOMATIC_STEPS // _steps_per_epoch(settings, examples)
    return min(max(fitting, 1), AUTOMATIC_EPOCHS)


def planned_steps(settings: Settings, examples: int) -> int:
    """Return the optimizer steps of the whole training."""
    return epochs(settings, examples) * _steps_per_epoch(settings, examples)


def _steps_per_epoch(settings: Settings, examples: int) -> int:
    # The last batch of an epoch may be small.
    return math.ceil(examples / settings.trainer.batch_size)


def build_model(settings: Settings, splits: Splits) -> keras.Model:
    """Build or load the network and check that it fits the data.

    Raises:
        OSError: If a file is missing.
        ValueError: If a file is malformed or the network does not fit the data.
    """
    from pruneplug.command.models import check_output, cnn, mlp, resnet, saved

    builders: dict[str, Any] = {"mlp": mlp.build, "cnn": cnn.build, "resnet": resnet.build}
    arguments = options(settings.model)
    if settings.model.name == "saved":
        model = saved.load(**arguments)
    else:
        shape, classes = splits.input_shape, splits.num_classes
        model = builders[settings.model.name](shape, classes, **arguments)
    check_output(model, splits)
    return model


def build_loss(model: keras.Model) -> keras.losses.Loss:
    """Build the cross-entropy of class ids, on probabilities or logits as the model ends in."""
    import keras

    from pruneplug.command.models import outputs_logits

    return keras.losses.SparseCategoricalCrossentropy(from_logits=outputs_logits(model))


def build_optimizer(settings: Settings) -> keras.optimizers.Optimizer:
    """Build the optimizer."""
    import keras

    optimizer = getattr(keras.optimizers, OPTIMIZERS[settings.optimizer.name])
    return optimizer(**options(settings.optimizer))


def build_tracker(
    settings: Settings, folder: Path, run_name: str, parent: Path | None = None
) -> Tracker:
    """Build the tracker; all but `none` keep a journal in the run folder.

    Args:
        settings: All settings.
        folder: The run folder.
        run_name: What MLflow calls the run.
        parent: The journal of the sweep that the run is a job of.

    Raises:
        OSError: If the journal cannot be written.
        ValueError: If the tracking address is none.
    """
    resume = settings.trainer.resume != "never"
    return open_tracker(settings.tracking, folder, run_name, resume, parent)


def open_tracker(
    tracking: TrackingSettings,
    folder: Path,
    run_name: str,
    resume: bool,
    parent: Path | None = None,
) -> Tracker:
    """Build a tracker from its own settings alone; see `build_tracker`."""
    from pruneplug.tracking.mlflow import MlflowTracker

    if tracking.name == "none":
        return NullTracker()
    journal = Journal(folder / JOURNAL, resume=resume, parent=parent)
    if isinstance(tracking, MlflowSettings):
        return MlflowTracker(journal, tracking.uri, tracking.experiment, run_name)
    return journal
