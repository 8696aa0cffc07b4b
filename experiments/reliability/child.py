"""A run that also notes what it is doing.

child.py PHASE_FILE FOLDER SEED CONFIGURATION trains what was drawn; child.py PHASE_FILE SETTING ...
is the command itself.
"""

import json
import sys
from pathlib import Path

from experiments.reliability import configurations
from experiments.reliability.phases import PhaseByte
from pruneplug.command import job
from pruneplug.command import main as train
from pruneplug.training import trainer
from pruneplug.training.checkpoints.store import CheckpointStore
from pruneplug.training.session import Session
from pruneplug.training.steps.evaluation import Evaluation


def main() -> None:
    """Run what the remaining arguments say."""
    phase = PhaseByte(Path(sys.argv.pop(1)))
    phase.set("start")
    phase.mark(Session, "run", "between")
    phase.mark(Session, "_take", "training")
    phase.mark(Evaluation, "run", "evaluation")
    phase.mark(CheckpointStore, "save", "checkpoint")
    phase.mark(trainer, "finish", "end")
    phase.mark(job, "write_results", "end")
    if sys.argv[-1].startswith("{"):
        folder, seed, configuration = sys.argv[1:]
        configurations.train(Path(folder), int(seed), json.loads(configuration))
    else:
        train.main()


if __name__ == "__main__":
    main()
