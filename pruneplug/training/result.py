"""What a training run returns."""

from dataclasses import dataclass
from pathlib import Path

import keras

from pruneplug.report import SparsityReport


@dataclass(frozen=True)
class TrainingResult:
    """The outcome of a training run.

    Args:
        steps: Optimizer steps taken.
        metrics: Of the model that is returned: `val_` on the validation data, `test_` on the test
            data; and loss and metrics of its epoch, as training went along.
        report: Sparsity by weight.
        model: Stripped of pruning: the original architecture, with sparse weights of its own.
        history: Metrics by epoch, as in Keras' `History.history`.
        target_reached: Whether each pruned weight is as sparse as its schedule ends, by its mask.
        targets: The sparsity that each pruned weight was to end at, by its name.
        best_step: The step the model is from; None if it is simply the last one, because no
            epoch with validation had reached the target sparsity.
        checkpoint: The folder of the final checkpoint; None without a folder.
    """

    steps: int
    metrics: dict[str, float]
    report: SparsityReport
    model: keras.Model
    history: dict[str, list[float]]
    target_reached: bool
    targets: dict[str, float]
    best_step: int | None
    checkpoint: Path | None
