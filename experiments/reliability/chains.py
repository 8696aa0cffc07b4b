"""A chain: one run, killed several times, resumed each time, and compared at its end."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from experiments.reliability.compare import differences
from experiments.reliability.configurations import Configuration, drawn, name
from experiments.reliability.runs import Arguments, Kill, Run

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


# Settings of the command, or a configuration that was drawn.
Trained = Sequence[str] | Configuration


def trained(count: int, draw: random.Random) -> dict[str, Trained]:
    """Return what to train, by what it is called: all forms of the command, and what is drawn.

    Args:
        count: How many in all.
        draw: The source of chance.
    """
    found: dict[str, Trained] = dict(list(COMBINATIONS.items())[:count])
    while len(found) < count:
        configuration = drawn(draw)
        found[name(configuration)] = configuration
    return found


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

    def get(self, number: int, what: Trained, seed: int) -> tuple[Path, float]:
        """Return a finished run's folder and the seconds it has trained.

        Args:
            number: Of what is trained.
            what: Is trained.
            seed: Of the training.
        """
        folder = self._folder / f"whole-{number}-{seed}"
        if folder not in self._seconds:
            self._seconds[folder] = Run(folder, arguments(what, seed)).finish()
        return folder, self._seconds[folder]


def arguments(what: Trained, seed: int) -> Arguments:
    """Return what starts a run of it."""
    if isinstance(what, Mapping):
        return lambda folder: [str(folder), str(seed), json.dumps(what)]
    return lambda folder: [*COMMON, *what, f"seed={seed}", f"hydra.run.dir={folder}"]


def run_chain(
    folder: Path,
    whole: tuple[Path, float],
    chain: Chain,
    start: Arguments,
    kills: int,
    draw: random.Random,
) -> None:
    """Kill a run up to `kills` times, let it end, and compare.

    Args:
        folder: Its run folder, which does not exist yet.
        whole: The run to compare with, and its duration in seconds.
        chain: Filled in.
        start: What starts it.
        kills: How often to kill it.
        draw: The source of chance.
    """
    for _ in range(kills):
        kill = Run(folder, start).kill(draw, whole[1])
        if kill is not None:
            chain.kills.append(kill)
    Run(folder, start).finish()
    chain.differences = differences(whole[0], folder)
