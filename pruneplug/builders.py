"""From settings to the objects they describe: one table of names for each group of `conf/`.

TensorFlow is imported by what a function builds, not by this module.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pruneplug.data import Splits, digits, fashion_mnist, npz
from pruneplug.outputs import JOURNAL
from pruneplug.schedules import ConstantSparsity, PolynomialDecay, PruningSchedule
from pruneplug.settings import Settings, options
from pruneplug.settings.groups import MlflowSettings, PolynomialSettings, TimedSettings
from pruneplug.tracking import Journal, NullTracker, Tracker

if TYPE_CHECKING:
    import keras

DATA: dict[str, Callable[..., Splits]] = {
    "digits": digits.load,
    "fashion_mnist": fashion_mnist.load,
    "npz": npz.load,
}
OPTIMIZERS = {"adam": "Adam", "sgd": "SGD", "adamw": "AdamW"}

# With no frequency given, so many updates lie between begin and end, ...
AUTOMATIC_UPDATES = 50
# ... but never more steps than this between two of them.
LONGEST_PAUSE = 100


def build_data(settings: Settings) -> Splits:
    """Load the data set; the seed chooses its validation part.

    Raises:
        OSError: If a file is missing.
        ValueError: If a file is malformed.
    """
    return DATA[settings.data.name](**options(settings.data), seed=settings.seed)


def planned_steps(settings: Settings, examples: int) -> int:
    """Return the optimizer steps of the whole training: the last batch of an epoch may be small."""
    return settings.trainer.epochs * math.ceil(examples / settings.trainer.batch_size)


def build_schedule(settings: Settings, planned: int) -> PruningSchedule:
    """Build the schedule, fractions turned into steps.

    Args:
        settings: All settings; `sparsity` is what the schedule ends at.
        planned: Optimizer steps of the whole training.

    Raises:
        ValueError: If it would end before it begins, or change nothing in the planned steps.
    """
    timing = settings.schedule
    if not isinstance(timing, TimedSettings):
        raise TypeError(f"schedule must say when to update; got {type(timing).__name__}.")
    begin = _as_step(timing.begin, planned)
    end = planned if timing.end is None else _as_step(timing.end, planned)
    if begin > end:
        raise ValueError(
            f"schedule.begin must not come after schedule.end; got schedule.begin={timing.begin} "
            f"(step {begin}), schedule.end={timing.end} (step {end})."
        )
    schedule = _schedule(settings, begin, end, _frequency(timing, end - begin, planned))
    if next(schedule.due_steps(0, planned), None) is None:
        raise ValueError(
            f"The schedule must update the masks at least once in the {planned} planned steps; got "
            f"schedule.begin={begin}, schedule.end={end}, schedule.frequency={schedule.frequency}"
            " in steps. Begin earlier, or train for more epochs."
        )
    return schedule


def _schedule(
    settings: Settings, begin: int, end: int, frequency: int
) -> ConstantSparsity | PolynomialDecay:
    if isinstance(settings.schedule, PolynomialSettings):
        initial, power = settings.schedule.initial, settings.schedule.power
        return PolynomialDecay(initial, settings.sparsity, begin, end, power, frequency)
    return ConstantSparsity(settings.sparsity, begin, end, frequency)


def _as_step(point: int | float, planned: int) -> int:
    return point if isinstance(point, int) else round(point * planned)


def _frequency(timing: TimedSettings, span: int, planned: int) -> int:
    if timing.frequency is not None:
        return max(1, _as_step(timing.frequency, planned))
    return max(1, min(span // AUTOMATIC_UPDATES, LONGEST_PAUSE))


def build_model(settings: Settings, splits: Splits) -> keras.Model:
    """Build or load the network and check that it fits the data.

    Raises:
        OSError: If a file is missing.
        ValueError: If a file is malformed or the network does not fit the data.
    """
    from pruneplug.models import check_output, cnn, mlp, resnet, saved

    builders: dict[str, Any] = {"mlp": mlp.build, "cnn": cnn.build, "resnet": resnet.build}
    arguments = options(settings.model)
    if settings.model.name == "saved":
        model = saved.load(**arguments)
    else:
        shape, classes = splits.input_shape, splits.num_classes
        model = builders[settings.model.name](shape, classes, **arguments)
    check_output(model, splits)
    return model


def prune(settings: Settings, dense: keras.Model, schedule: PruningSchedule) -> keras.Model:
    """Return the model to train, which shares its weights with the dense one.

    Raises:
        ValueError: If a layer cannot be pruned, or not in these blocks.
    """
    from pruneplug.prune import prune_low_magnitude

    block = settings.block
    return prune_low_magnitude(dense, schedule, block.size, block.pooling)


def build_loss(model: keras.Model) -> keras.losses.Loss:
    """Build the cross-entropy of class ids, on probabilities or logits as the model ends in."""
    import keras

    from pruneplug.models import outputs_logits

    return keras.losses.SparseCategoricalCrossentropy(from_logits=outputs_logits(model))


def build_optimizer(settings: Settings) -> keras.optimizers.Optimizer:
    """Build the optimizer."""
    import keras

    optimizer = getattr(keras.optimizers, OPTIMIZERS[settings.optimizer.name])
    return optimizer(**options(settings.optimizer))


def build_tracker(settings: Settings, folder: Path, run_name: str) -> Tracker:
    """Build the tracker; all but `none` keep a journal in the run folder.

    Args:
        settings: All settings.
        folder: The run folder.
        run_name: What MLflow calls the run.

    Raises:
        OSError: If the journal cannot be written.
        ValueError: If the tracking address is none.
    """
    from pruneplug.tracking.mlflow import MlflowTracker

    tracking = settings.tracking
    if tracking.name == "none":
        return NullTracker()
    journal = Journal(folder / JOURNAL, resume=settings.trainer.resume != "never")
    if isinstance(tracking, MlflowSettings):
        return MlflowTracker(journal, tracking.uri, tracking.experiment, run_name)
    return journal
