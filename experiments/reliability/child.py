"""The command itself, which also notes what it is doing: child.py PHASE_FILE [setting ...]."""

import sys
from pathlib import Path

from experiments.reliability.phases import PhaseByte
from pruneplug import job, train
from pruneplug.training import trainer
from pruneplug.training.checkpoint_store import CheckpointStore
from pruneplug.training.evaluation import Evaluation
from pruneplug.training.session import Session


def main() -> None:
    """Run the command on the remaining arguments."""
    phase = PhaseByte(Path(sys.argv.pop(1)))
    phase.set("start")
    phase.mark(Session, "run", "between")
    phase.mark(Session, "_take", "training")
    phase.mark(Evaluation, "run", "evaluation")
    phase.mark(CheckpointStore, "save", "checkpoint")
    phase.mark(trainer, "finish", "end")
    phase.mark(job, "write_outputs", "end")
    train.main()


if __name__ == "__main__":
    main()
