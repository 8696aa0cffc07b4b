"""What a user may ask for: schedules, patterns and allocations, small enough for a dozen steps."""

from typing import Any

import keras

from pruneplug import ConstantSparsity, OneShotSparsity, PolynomialDecay, PruneLowMagnitude
from pruneplug import prune_low_magnitude as prune
from pruneplug.pruning.allocation import ERKAllocation, GlobalAllocation, UniformAllocation
from pruneplug.pruning.patterns import MByN
from pruneplug.pruning.schedules import LinearSparsity, MultiStepSparsity, PruningSchedule


@keras.saving.register_keras_serializable("law")
class Stairs(PruningSchedule):
    """A schedule of a user's own, which must be asked about every step."""

    def __init__(self, every: int, top: float):
        self.every = every
        self.top = top

    @property
    def target(self) -> float | None:
        return self.top

    def __call__(self, step: int) -> tuple[bool, float]:
        stair = min(step // self.every, 3)
        return step % self.every == 0 and step <= 3 * self.every, self.top * stair / 3

    def get_config(self) -> dict[str, Any]:
        return {"every": self.every, "top": self.top}


@keras.saving.register_keras_serializable("law")
class StairsToNowhere(Stairs):
    """The same, and it does not say where it ends, so that nobody can tell whether it has."""

    target = None


# Most trainings of the battery take 16 batches, of one to three optimizer steps each.
SCHEDULES: dict[str, PruningSchedule] = {
    "constant": ConstantSparsity(0.5, 1, frequency=3),
    "constant that ends": ConstantSparsity(0.6, 2, 8, frequency=3),
    "constant from step 0": ConstantSparsity(0.5, 0, frequency=5),
    "constant after the last step": ConstantSparsity(0.5, 17, frequency=100),
    "constant too late": ConstantSparsity(0.5, 70, frequency=100),
    "of zero": ConstantSparsity(0.0, 2, frequency=3),
    "polynomial": PolynomialDecay(0.0, 0.6, 1, 10, frequency=4),
    "polynomial off its grid": PolynomialDecay(0.2, 0.8, 2, 13, frequency=5),
    "polynomial too long": PolynomialDecay(0.1, 0.8, 1, 90, frequency=4),
    "linear": LinearSparsity(0.2, 0.7, 3, 11, frequency=2),
    "one-shot": OneShotSparsity(0.5, step=6),
    "one-shot at step 1": OneShotSparsity(0.7, step=1),
    "multi-step": MultiStepSparsity((0.3, 0.5, 0.8), (2, 7, 12)),
    "asked step by step": Stairs(every=4, top=0.6),
    "that does not state its target": StairsToNowhere(every=5, top=0.6),
    "falling": PolynomialDecay(0.8, 0.4, 2, 12, frequency=3),
}

# Arguments of `prune_low_magnitude` beside the schedule.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "block": {"block_size": (2, 2)},
    "block by its largest": {"block_size": (3, 1), "block_pooling_type": "MAX"},
    "2 of 4": {"sparsity_m_by_n": (2, 4)},
    "2 of 4 scheduled": {"sparsity_m_by_n": MByN(2, 4, scheduled=True)},
    "overrides": {"allocation": UniformAllocation({"*head": 0.5})},
    "global": {"allocation": GlobalAllocation()},
    "global with overrides": {"allocation": GlobalAllocation({"*base": 0.6})},
    "global blocks": {"allocation": GlobalAllocation(), "block_size": (2, 1)},
    "erk": {"allocation": ERKAllocation()},
    "by hand": {},
}


def fits(schedule: str, arguments: str) -> bool:
    """Return whether overrides leave the other weights room at every sparsity."""
    if "overrides" not in arguments:
        return True
    return SCHEDULES[schedule].target not in (None, 0.0, 0.8) and schedule != "falling"


def pruned(model: keras.Model, schedule: str, arguments: str) -> Any:
    """Prune a model as asked; for "by hand" its head, wrapped before, follows another schedule."""
    if arguments == "by hand":
        head = PruneLowMagnitude(model.layers[-1], ConstantSparsity(0.75, 4, 9, frequency=2))
        model = type(model)([model.inputs[0], *model.layers[:-1], head], name=model.name)
    return prune(model, SCHEDULES[schedule], **ARGUMENTS[arguments])
