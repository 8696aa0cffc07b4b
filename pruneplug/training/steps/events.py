"""Where a training run stops next: pure arithmetic on optimizer steps."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """The fixed events of a training run, all counted in optimizer steps.

    Args:
        epochs: Number of epochs, at least 1.
        steps_per_epoch: Steps in every epoch, at least 1.
        checkpoint_every: Steps between two checkpoints; None saves at epoch ends only.

    Raises:
        ValueError: If one of them is below 1.
    """

    epochs: int
    steps_per_epoch: int
    checkpoint_every: int | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "steps_per_epoch", "checkpoint_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1; got {name}={value}.")

    @property
    def total_steps(self) -> int:
        """Steps in the whole run."""
        return self.epochs * self.steps_per_epoch

    def epoch_end(self, step: int) -> int:
        """Return the step that ends the epoch which the step after `step` belongs to."""
        return (step // self.steps_per_epoch + 1) * self.steps_per_epoch

    def checkpoint_due(self, step: int) -> bool:
        """Tell whether a checkpoint is due after `step` steps."""
        return step > 0 and step % (self.checkpoint_every or self.steps_per_epoch) == 0

    def next_stop(self, step: int, update: int | None, limit: int) -> int:
        """Return the step to run to next: the first event after `step`.

        Args:
            step: Steps taken so far.
            update: The step after which masks change next, None if there is none.
            limit: The most steps to take in one go, at least 1.

        Returns:
            A step in `[step + 1, step + limit]`, never beyond the end of the epoch.
        """
        stops = [self.epoch_end(step), step + limit]
        if update is not None:
            stops.append(update)
        if self.checkpoint_every is not None:
            stops.append((step // self.checkpoint_every + 1) * self.checkpoint_every)
        return min(stop for stop in stops if stop > step)
