"""Which checkpoint a run resumes from, and whether it is its own."""

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pruneplug.training.checkpoints.checkpoint import Checkpoint, read_checkpoint
from pruneplug.training.checkpoints.differences import as_lines, differences
from pruneplug.training.checkpoints.identity import comparable
from pruneplug.training.checkpoints.manifest import MANIFEST
from pruneplug.training.checkpoints.store import CHECKPOINTS, CheckpointStore


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
    if (path / MANIFEST).exists():
        return read_checkpoint(path)
    found = next(_suitable(CheckpointStore(path / CHECKPOINTS), epochs), None)
    if found is None:
        raise FileNotFoundError(
            f"resume must be 'auto', 'never' or the path of a checkpoint or of a run's folder; "
            f"got resume={resume!r}, where no valid checkpoint is."
        )
    return found


def check_identity(
    checkpoint: Checkpoint, identity: Mapping[str, Any], epochs: int, force: bool = False
) -> bool:
    """Refuse a checkpoint of a run that differs in model, pruning, optimizer, loss, data or seed.

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
    found = differences(*comparable(checkpoint.facts["identity"], identity))
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
    if checkpoint.is_finished or checkpoint.step >= steps:
        raise ValueError(
            "A run that goes on with other settings must have steps left to train; got "
            f"{checkpoint.path} at step {checkpoint.step}, and {steps} planned. Train for more "
            "epochs, or use another folder."
        )


def _suitable(store: CheckpointStore, epochs: int) -> Iterator[Checkpoint]:
    for checkpoint in store.candidates():
        finished = checkpoint.is_finished
        if not finished or checkpoint.facts["epochs"] == epochs:
            yield checkpoint
