"""A Hydra app with its own training loop; three added lines prune it and track that."""

from pathlib import Path

import hydra
import keras
from omegaconf import DictConfig

from pruneplug import (
    PruningSchedule,
    TrackTraining,
    UpdatePruningStep,
    prune_low_magnitude,
    strip_pruning,
)
from pruneplug.command.data import digits
from pruneplug.command.settings import read_group
from pruneplug.tracking import Journal
from pruneplug.tracking.mlflow import MlflowTracker


def _schedule(config: DictConfig, steps: int) -> PruningSchedule:
    return read_group(config.pruneplug.schedule).build(config.sparsity, steps)


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> None:
    """Train a network on digits."""
    splits = digits.load(seed=0)
    x, y = splits.train
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            keras.layers.Flatten(),
            keras.layers.Dense(config.hidden, activation="relu"),
            keras.layers.Dense(splits.num_classes, activation="softmax"),
        ]
    )
    callbacks: list[keras.callbacks.Callback] = []
    steps = config.epochs * -(-len(x) // config.batch_size)

    # Three lines are added. Prune the network along a schedule from the settings:
    model = prune_low_magnitude(model, _schedule(config, steps))
    # Track it, in a local journal and from there in MLflow:
    tracker = MlflowTracker(Journal(Path("journal.jsonl")), experiment="hydra_app")
    # And let both follow the training:
    callbacks += [UpdatePruningStep(), TrackTraining(tracker)]

    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        x, y, config.batch_size, config.epochs, verbose=2,
        validation_data=splits.validation, callbacks=callbacks,
    )  # fmt: skip
    strip_pruning(model).save("sparse.keras")


if __name__ == "__main__":
    main()
