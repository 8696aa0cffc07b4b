"""All combinations of a way to train, what happens in between and what was asked for."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import keras
from law import asked
from law.between import STORIES
from law.user import User
from law.ways import WAYS


class Combination(NamedTuple):
    """One training of the battery, by names."""

    way: str
    story: str
    schedule: str
    arguments: str

    def run(self) -> None:
        """Play it, and assert the law."""
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            user = User(WAYS[self.way], self.schedule, self.arguments, Path(folder))
            STORIES[self.story].tell(user)
            user.finish()


def combinations() -> list[Combination]:
    """Return all that fit together."""
    return [
        Combination(way, story, schedule, arguments)
        for way in WAYS
        for story in STORIES
        if STORIES[story].needs(WAYS[way])
        for schedule in asked.SCHEDULES
        for arguments in asked.ARGUMENTS
        if asked.fits(schedule, arguments)
    ]


def drawn(seed: int) -> Iterator[Combination]:
    """Yield combinations in a random order, each way and each story as often as the others."""
    everything = combinations()
    draw = random.Random(seed)
    draw.shuffle(everything)
    by_pair = {(c.way, c.story): c for c in everything}  # of each pair one, the last
    rest = [c for c in everything if by_pair[c.way, c.story] is not c]
    firsts = list(by_pair.values())
    draw.shuffle(firsts)
    yield from firsts
    yield from rest
