"""Does a schedule fit the planned training? Asked before the first step."""

import warnings
from collections.abc import Sequence

from pruneplug.schedules import PruningSchedule
from pruneplug.schedules.plan import computes_steps, never_fires, stays_short


def check_schedules(schedules: Sequence[PruningSchedule], begin: int, steps: int) -> None:
    """Refuse a schedule that can never fire, and warn of one that is only partly used.

    Args:
        schedules: Those of the model, each once.
        begin: Steps that the model was trained for before.
        steps: Optimizer steps planned.

    Raises:
        ValueError: If a schedule has no update in [1, begin + steps].
    """
    # To ask another schedule about every step may take long: it is looked at when training ends.
    for schedule in filter(computes_steps, schedules):
        if (message := never_fires(schedule, begin, steps)) is not None:
            raise ValueError(message)
        if (message := stays_short(schedule, begin, steps)) is not None:
            warnings.warn(message, stacklevel=3)
