"""How much is measured: minutes to try it, half an hour to publish it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """The amounts that quick and full runs differ in.

    Args:
        name: "quick" or "full".
        rounds: Interleaved windows of every variant.
        trainings: Whole trainings of every variant.
        steps: Steps of one whole training.
        starts: Processes started for every variant.
        largest: Weights of the largest model in the growth curves.
        deepest: Layers of the deepest model in the growth curves.
    """

    name: str
    rounds: int
    trainings: int
    steps: int
    starts: int
    largest: int
    deepest: int


QUICK = Effort("quick", 3, 1, 300, 3, 10**6, 20)
FULL = Effort("full", 5, 3, 600, 5, 10**8, 200)
EFFORTS = {effort.name: effort for effort in (QUICK, FULL)}
