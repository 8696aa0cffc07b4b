"""Batches from a user's `tf.data.Dataset`, through one iterator for the whole training."""

import time
import warnings
from pathlib import Path
from typing import Any

import tensorflow as tf

from pruneplug.training.feeds.pipeline import Pipeline, read_pipeline

_PREFIX = "iterator"


class DatasetFeed:
    """A batched data set, repeated without end: an epoch is `steps_per_epoch` batches of it.

    Args:
        dataset: Batched; yields `(x, y)` or `(x, y, sample_weight)`.
        name: What the data is called in errors.
        strategy: The `tf.distribute` strategy whose replicas share a batch.
        steps_per_epoch: Batches in an epoch; None takes the data set's cardinality.

    Raises:
        ValueError: If the number of batches is not known and not given, or is zero.
    """

    def __init__(
        self, dataset: Any, name: str, strategy: Any, steps_per_epoch: int | None = None
    ) -> None:
        self.steps_per_epoch = _steps(dataset, name, steps_per_epoch)
        self._name = name
        kinds = tf.nest.flatten(dataset.element_spec)
        if any(kind.shape.rank == 0 for kind in kinds if hasattr(kind, "shape")):
            raise ValueError(
                f"{name} must be batched; got single samples of {dataset.element_spec}. Call "
                "batch(n) on the data set."
            )
        self.dense = all(isinstance(kind, tf.TensorSpec) for kind in kinds)
        self._dataset = dataset
        options = tf.data.Options()
        # With autotune on, destroying an iterator waits for a thread that sleeps for seconds.
        options.autotune.enabled = False
        repeated = dataset.repeat().with_options(options)
        if strategy.num_replicas_in_sync > 1:
            repeated = strategy.experimental_distribute_dataset(repeated)
        self._iterator = iter(repeated)
        self._can_save = True

    def start(self, epoch: int) -> None:
        """Do nothing: the iterator runs on."""

    def next(self, index: Any) -> Any:
        """Return the iterator's next batch, whatever `index` says."""
        return next(self._iterator)

    def describe(self) -> dict[str, int | str | bool]:
        """Return what decides the order of the batches, as far as it is known."""
        return {"kind": "dataset"}

    def save(self, folder: Path) -> None:
        """Write the iterator's state, shuffle buffers included, where TensorFlow can."""
        if not self._can_save:
            return
        try:
            tf.train.Checkpoint(iterator=self._iterator).write(str(folder / _PREFIX))
        except (tf.errors.OpError, ValueError, NotImplementedError) as error:
            self._can_save = False
            for path in folder.glob(f"{_PREFIX}*"):
                path.unlink()
            warnings.warn(
                f"The {self._name} cannot save its position ({_first_line(error)}). A run that "
                "resumes will read and drop all batches up to its step, and is exact only if "
                "the data set yields the same batches every time. Arrays resume at once.",
                stacklevel=2,
            )

    def restore(self, step: int, folder: Path | None) -> None:
        """Restore the iterator; read and drop the first `step` batches where that is not exact."""
        pipeline = read_pipeline(self._dataset)
        files = [] if folder is None else sorted(folder.glob(f"{_PREFIX}.data-*"))
        if folder is None or not files or pipeline is None or not pipeline.can_go_on_from(files):
            self._drop(step, pipeline)
            return
        checkpoint = tf.train.Checkpoint(iterator=self._iterator)
        checkpoint.read(str(folder / _PREFIX)).assert_consumed()
        if not pipeline.seeded:
            warnings.warn(
                f"The {self._name} draws at random without a seed: the epoch goes on where it was, "
                "but later ones differ from those of a run without the interruption. Pass a seed "
                "to shuffle(), or call keras.utils.set_random_seed before the data set is made.",
                stacklevel=2,
            )

    def _drop(self, step: int, pipeline: Pipeline | None) -> None:
        batches = int(self._dataset.cardinality())
        if pipeline is not None and pipeline.repeats and batches > 0:
            step %= batches
        if step == 0:
            return
        begin = time.perf_counter()
        for _ in range(step):
            next(self._iterator)
        warnings.warn(
            f"The position in the {self._name} was not saved: {step} batches were read and "
            f"dropped, which took {time.perf_counter() - begin:.1f} s. The run is exact only if "
            "the data set yields the same batches every time.",
            stacklevel=3,
        )


def _steps(dataset: Any, name: str, steps: int | None) -> int:
    if steps is not None:
        if steps < 1:
            raise ValueError(f"steps_per_epoch must be at least 1; got steps_per_epoch={steps}.")
        return steps
    cardinality = int(dataset.cardinality())
    if cardinality == 0:
        raise ValueError(f"{name} must hold at least one batch; got an empty data set.")
    if cardinality < 0:
        known = "infinite" if cardinality == tf.data.INFINITE_CARDINALITY else "unknown"
        raise ValueError(
            f"{name} must have a known number of batches; got cardinality={known}. Pass "
            "steps_per_epoch for training, or take(n) or "
            "apply(tf.data.experimental.assert_cardinality(n)) on the data set."
        )
    return cardinality


def _first_line(error: Exception) -> str:
    return str(getattr(error, "message", error)).strip().splitlines()[0][:200]
