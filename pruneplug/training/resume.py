"""Which checkpoint a run resumes from, and whether it is its own."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pruneplug.pruner import Pruner
from pruneplug.training.checkpoint import Checkpoint, read_checkpoint
from pruneplug.training.checkpoint_store import CheckpointStore
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


def identity(pruner: Pruner, feed: Feed, seed: int) -> dict[str, Any]:
    """Return, fit for JSON, what must not differ between a run and the one that resumes it."""
    configs = [_pruning_config(layer) for layer in pruner.layers]
    return {
        "pruning": [config for i, config in enumerate(configs) if config not in configs[:i]],
        "data": dict(feed.describe()),
        "seed": seed,
        "steps_per_epoch": feed.steps_per_epoch,
    }


def _pruning_config(layer: PruneLowMagnitude) -> dict[str, Any]:
    config = layer.get_config()
    for name in ("layer", "name", "trainable", "dtype"):
        config.pop(name, None)
    # As it will come back from the checkpoint.
    return dict(json.loads(json.dumps(config)))


def check_identity(checkpoint: Checkpoint, identity: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of a run that differs in schedule, data order or seed.

    Raises:
        ValueError: With every difference.
    """
    there = checkpoint.facts["identity"]
    differences = [
        f"{key}: {there.get(key)} in the checkpoint, {value} now"
        for key, value in identity.items()
        if there.get(key) != value
    ]
    if differences:
        raise ValueError(
            f"A run must be resumed with the settings it began with; {checkpoint.path} differs:"
            "\n- " + "\n- ".join(differences) + "\nSet them back, or use another folder."
        )


def _suitable(store: CheckpointStore, epochs: int) -> Iterator[Checkpoint]:
    for checkpoint in store.candidates():
        finished = checkpoint.facts["outcome"] is not None
        if not finished or checkpoint.facts["epochs"] == epochs:
            yield checkpoint
