"""Does a schedule fit the planned training? Asked before the first step."""

import warnings
from collections.abc import Sequence

from pruneplug.schedules import PruningSchedule
from pruneplug.schedules.plan import never_fires, stays_short


def check_schedules(schedules: Sequence[PruningSchedule], steps: int) -> None:
    """Refuse a schedule that can never fire, and warn of one that is only partly used.

    Args:
        schedules: Those of the model, each once.
        steps: Optimizer steps planned.

    Raises:
        ValueError: If a schedule has no update in [1, steps].
    """
    for schedule in schedules:
        if (message := never_fires(schedule, steps)) is not None:
            raise ValueError(message)
        if (message := stays_short(schedule, steps)) is not None:
            warnings.warn(message, stacklevel=3)
