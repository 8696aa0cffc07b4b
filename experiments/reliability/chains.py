"""A chain: one run, killed several times, resumed each time, and compared at its end."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from experiments.reliability.compare import differences
from experiments.reliability.runs import Kill, Run

COMMON = (
    "data=digits",
    "data.validation=0.4",
    "tracking=journal",
    "trainer.batch_size=32",
)
# Each names its model, optimizer and form of sparsity, and has the settings that make them.
COMBINATIONS: dict[str, tuple[str, ...]] = {
    # Long enough for the update, masks included, to be one XLA program.
    "MLP with Dropout, Adam, blocks of 2x2": (
        "model=mlp",
        "model.hidden=[64,32]",
        "model.dropout=0.3",
        "optimizer=adam",
        "block.size=[2,2]",
        "trainer.epochs=220",
        "trainer.checkpoint_steps=100",
    ),
    "ResNet with BatchNorm, SGD with momentum, single weights": (
        "model=resnet",
        "model.filters=[4,8]",
        "model.blocks=1",
        "optimizer=sgd",
        "optimizer.momentum=0.9",
        "trainer.epochs=12",
        "trainer.checkpoint_steps=10",
    ),
    "CNN with Dropout, AdamW, 2 of 4": (
        "model=cnn",
        "model.filters=[4,8]",
        "model.hidden=32",
        "model.dropout=0.3",
        "optimizer=adamw",
        "block=2of4",
        "sparsity=0.5",
        "trainer.epochs=15",
        "trainer.checkpoint_steps=10",
    ),
    # Long, small and dense: all steps up to the next event are one program.
    "MLP, Adam, single weights": (
        "model=mlp",
        "model.hidden=[64,32]",
        "optimizer=adam",
        "trainer.epochs=220",
        "trainer.checkpoint_steps=100",
    ),
}


@dataclass
class Chain:
    """What became of one run.

    Args:
        combination: What was trained.
        seed: Of the training.
        kills: Those that hit it.
        differences: From the run that was never touched.
    """

    combination: str
    seed: int
    kills: list[Kill] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


class Reference:
    """The runs that were never touched, one for each combination and seed.

    Args:
        folder: Where they are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seconds: dict[Path, float] = {}

    def get(self, combination: str, seed: int) -> tuple[Path, float]:
        """Return a finished run's folder and the seconds it has trained."""
        folder = self._folder / f"whole-{list(COMBINATIONS).index(combination)}-{seed}"
        if folder not in self._seconds:
            self._seconds[folder] = Run(folder, settings(combination, seed)).finish()
        return folder, self._seconds[folder]


def settings(combination: str, seed: int) -> Sequence[str]:
    """Return the command's arguments."""
    return [*COMMON, *COMBINATIONS[combination], f"seed={seed}"]


def run_chain(
    folder: Path, whole: tuple[Path, float], chain: Chain, kills: int, draw: random.Random
) -> None:
    """Kill a run up to `kills` times, let it end, and compare.

    Args:
        folder: Its run folder, which does not exist yet.
        whole: The run to compare with, and its duration in seconds.
        chain: Filled in.
        kills: How often to kill it.
        draw: The source of chance.
    """
    arguments = settings(chain.combination, chain.seed)
    for _ in range(kills):
        kill = Run(folder, arguments).kill(draw, whole[1])
        if kill is not None:
            chain.kills.append(kill)
    Run(folder, arguments).finish()
    chain.differences = differences(whole[0], folder)
