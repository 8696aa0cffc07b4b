"""Does a schedule fit the planned training? Asked before the first step."""

from pruneplug.pruner import Pruner
from pruneplug.schedules.plan import computes_steps, never_fires


def check_schedules(pruner: Pruner, steps: int) -> None:
    """Refuse a schedule that can never fire, and warn of one that is only partly used.

    Args:
        pruner: Of the model, which may have been trained before.
        steps: Optimizer steps planned.

    Raises:
        ValueError: If a schedule has no update within them.
    """
    # To ask another schedule about every step may take long: it is looked at when training ends.
    for schedule in filter(computes_steps, pruner.schedules):
        if (message := never_fires(schedule, pruner.step, steps)) is not None:
            raise ValueError(message)
    pruner.warn_of_plan(pruner.step, steps)
