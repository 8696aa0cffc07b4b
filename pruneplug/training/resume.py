"""Which checkpoint a run resumes from, and whether it is its own."""

import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras

from pruneplug.pruner import Pruner
from pruneplug.serialization import describe_schedule
from pruneplug.training.checkpoint import Checkpoint, read_checkpoint
from pruneplug.training.checkpoint_store import CheckpointStore
from pruneplug.training.differences import as_lines, differences
from pruneplug.training.feed import Feed
from pruneplug.wrapper import PruneLowMagnitude


def find_checkpoint(store: CheckpointStore | None, resume: str, epochs: int) -> Checkpoint | None:
    """Return the checkpoint to resume from; None starts afresh.

    Args:
        store: The checkpoints of the run's folder, if it has one.
        resume: "auto", "never", or the path of a checkpoint or of a run's folder.
        epochs: Epochs planned; a run that finished fewer is continued from its last step.

    Raises:
        ValueError: If "never" would mix two runs in a folder.
        FileNotFoundError: If there is no valid checkpoint at the path.
    """
    if resume == "never":
        if store is not None and store.exists():
            raise ValueError(
                "folder must not hold the checkpoints of another run; "
                f"got folder={str(store.folder.parent)!r}. "
                "Continue that run with resume='auto', or choose another folder."
            )
        return None
    if resume == "auto" and store is not None:
        return next(_suitable(store, epochs), None)
    path = Path(resume)
    if (path / "manifest.json").exists():
        return read_checkpoint(path)
    found = next(_suitable(CheckpointStore(path / "checkpoints"), epochs), None)
    if found is None:
        raise FileNotFoundError(
            f"resume must be 'auto', 'never' or the path of a checkpoint or of a run's folder; "
            f"got resume={resume!r}, where no valid checkpoint is."
        )
    return found


def identity(
    model: keras.Model, pruner: Pruner, feed: Feed, seed: int, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return, fit for JSON, what must not differ between a run and the one that resumes it.

    Args:
        model: Compiled, before its first step.
        pruner: Of the model.
        feed: Of the training data.
        seed: Of everything random.
        settings: Whatever else makes the run what it is.
    """
    configs = [_pruning_config(layer) for layer in pruner.layers]
    found = {
        "pruning": [config for i, config in enumerate(configs) if config not in configs[:i]],
        "optimizer": _unnamed(keras.optimizers.serialize(model.optimizer)),
        "data": dict(feed.describe()),
        "seed": seed,
        "steps_per_epoch": feed.steps_per_epoch,
        "settings": dict(settings),
    }
    # As it will come back from the checkpoint.
    return dict(json.loads(json.dumps(found, default=str)))


def _unnamed(config: Any) -> Any:
    """Leave out what an optimizer is called: Keras numbers them within a process."""
    if not isinstance(config, dict):
        return config
    return {key: _unnamed(value) for key, value in config.items() if key != "name"}


def _pruning_config(layer: PruneLowMagnitude) -> dict[str, Any]:
    config = layer.get_pruning_config(describe_schedule)
    # Which weights are pruned shows in the variables of a checkpoint.
    for name in ("weight_names", "with_model"):
        del config[name]
    return config


def check_identity(
    checkpoint: Checkpoint, identity: Mapping[str, Any], epochs: int, force: bool = False
) -> bool:
    """Refuse a checkpoint of a run that differs in schedule, optimizer, data order or seed.

    Args:
        checkpoint: To resume from.
        identity: Of the run that resumes.
        epochs: Its epochs. They make no other run, but a schedule may depend on them.
        force: Only warn.

    Returns:
        Whether it differs.

    Raises:
        ValueError: With every difference.
    """
    found = differences(checkpoint.facts["identity"], identity)
    before = checkpoint.facts["epochs"]
    if epochs != before and any(name.startswith("schedule.") for name in found):
        found = {"trainer.epochs": (before, epochs), **found}
    if found and force:
        warnings.warn(
            "Resumed with other settings, as forced; epochs before do not count for the best "
            f"model:{as_lines(found)}",
            stacklevel=2,
        )
    elif found:
        raise ValueError(
            f"A run must be resumed with the settings it began with; {checkpoint.path} differs:"
            f"{as_lines(found)}\nSet them back, use another folder, or force it (force_resume)."
        )
    return bool(found)


def check_rest(checkpoint: Checkpoint, steps: int) -> None:
    """Refuse to go on with other settings where no step is left to train with them.

    Args:
        checkpoint: Of a run that differs.
        steps: Steps planned in all.

    Raises:
        ValueError: If the run has finished, or reached the end of the plan.
    """
    if checkpoint.facts["outcome"] is not None or checkpoint.step >= steps:
        raise ValueError(
            "A run that goes on with other settings must have steps left to train; got "
            f"{checkpoint.path} at step {checkpoint.step}, and {steps} planned. Train for more "
            "epochs, or use another folder."
        )


def _suitable(store: CheckpointStore, epochs: int) -> Iterator[Checkpoint]:
    for checkpoint in store.candidates():
        finished = checkpoint.facts["outcome"] is not None
        if not finished or checkpoint.facts["epochs"] == epochs:
            yield checkpoint
