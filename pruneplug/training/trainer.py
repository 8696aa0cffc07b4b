"""The Trainer: prunes a model while it trains, and returns it stripped."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import keras

from pruneplug.lock import sole_use
from pruneplug.policies import PruningPolicy
from pruneplug.pruner import Pruner
from pruneplug.schedules import PruningSchedule
from pruneplug.signals import StopSignals
from pruneplug.tracking.base import NullTracker, Tracker
from pruneplug.training.best import Best
from pruneplug.training.build import build_state
from pruneplug.training.callback_state import CallbackState
from pruneplug.training.cluster import is_chief
from pruneplug.training.compilation import choose
from pruneplug.training.csv_rows import rows_kept
from pruneplug.training.events import Plan
from pruneplug.training.feed import Data, train_feed
from pruneplug.training.guard import guarded
from pruneplug.training.log import MetricLog
from pruneplug.training.loop import StepLoop
from pruneplug.training.outcome import finish, stored_result
from pruneplug.training.persistence import Keeper
from pruneplug.training.preparation import Pruning, callback_list, check_monitor, evaluation
from pruneplug.training.progress import Progress
from pruneplug.training.result import TrainingResult
from pruneplug.training.resume import check_identity, find_checkpoint, identity
from pruneplug.training.saving import Saving, check_count
from pruneplug.training.schedule_check import check_schedules
from pruneplug.training.session import Session
from pruneplug.training.state import check_variables

LOCK = ".training.lock"


class Trainer:
    """Prunes a Keras model while it trains, many steps to a compiled call.

    Args:
        model: A Keras model; one from `prune_low_magnitude` brings its own schedules.
        schedule: When masks are updated and how sparse they are.
        block_size: Rows and columns of the blocks that are pruned together.
        block_pooling_type: How a block is judged by its magnitudes: "AVG" or "MAX".
        sparsity_m_by_n: (m, n) for m zeros in every n consecutive values.
        pruning_policy: Decides layer by layer what is pruned.
        optimizer: As in `compile`.
        loss: As in `compile`.
        metrics: As in `compile`.
        epochs: Passes over the training data.
        batch_size: Samples in a batch of arrays, over all replicas.
        seed: Of everything random; the same seed gives the same bits on the same machine.
        callbacks: Ordinary Keras callbacks. One that wants every batch costs speed.
        tracker: Takes the metrics; started and finished by its owner.
        folder: Checkpoints go to `folder/checkpoints`; None writes none.
        checkpoint_every: Steps between two checkpoints; None saves at epoch ends.
        checkpoint_minutes: Minutes after which a checkpoint is due too; None for never.
        keep_checkpoints: Number of newest checkpoints to keep, besides the best.
        keep_minutes: Keep one checkpoint in so many minutes for good; None keeps none.
        resume: "auto" continues from the newest valid checkpoint in `folder`, if any; "never"
            starts afresh; else the path of a checkpoint or of a run's folder.
        force_resume: Resume in spite of other settings or another architecture; warns of what
            differs, takes what fits, and keeps the learning rate given here.
        settings: Whatever else makes this run what it is, fit for JSON; a run that resumes must
            have the same.
        jit_compile: As in `compile`; "auto" leaves more to XLA than there (`compilation.choose`).
        monitor: The metric that decides which epoch's model is returned, among those that have
            reached the target sparsity.
        progress: Shows a progress line.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        model: keras.Model,
        schedule: PruningSchedule | None = None,
        *,
        block_size: Sequence[int] = (1, 1),
        block_pooling_type: str = "AVG",
        sparsity_m_by_n: Sequence[int] | None = None,
        pruning_policy: PruningPolicy | None = None,
        optimizer: Any = "adam",
        loss: Any = "sparse_categorical_crossentropy",
        metrics: Any = ("accuracy",),
        epochs: int = 10,
        batch_size: int = 32,
        seed: int = 0,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        tracker: Tracker | None = None,
        folder: Path | str | None = None,
        checkpoint_every: int | None = None,
        checkpoint_minutes: float | None = None,
        keep_checkpoints: int = 2,
        keep_minutes: float | None = None,
        resume: str = "never",
        force_resume: bool = False,
        settings: Mapping[str, Any] | None = None,
        jit_compile: bool | Literal["auto"] = "auto",
        monitor: str = "val_loss",
        progress: bool | Progress = False,
    ) -> None:
        check_count("epochs", epochs)
        check_count("batch_size", batch_size)
        self._saving = Saving(checkpoint_every, checkpoint_minutes, keep_checkpoints, keep_minutes)
        self._saving.check_folder(folder, resume)
        self.model = model
        self.epochs, self.batch_size, self.seed = epochs, batch_size, seed
        self.monitor, self.resume, self.force_resume = monitor, resume, force_resume
        self._settings = dict(settings or {})
        self._folder = None if folder is None else Path(folder)
        self._pruning = Pruning(
            schedule,
            {
                "block_size": block_size,
                "block_pooling_type": block_pooling_type,
                "sparsity_m_by_n": sparsity_m_by_n,
                "pruning_policy": pruning_policy,
            },
        )
        self._compile = {
            "optimizer": optimizer,
            "loss": loss,
            "metrics": list(metrics) if isinstance(metrics, tuple) else metrics,
            "jit_compile": jit_compile,
        }
        self._callbacks = tuple(callbacks)
        chief = is_chief(model.distribute_strategy)
        self._log = MetricLog((chief and tracker) or NullTracker())
        self._store = (
            None if self._folder is None else self._saving.store(self._folder, writes=chief)
        )
        self._progress = None if not chief else Progress() if progress is True else progress or None

    def fit(
        self,
        train: Data,
        validation: Data | None = None,
        test: Data | None = None,
        steps_per_epoch: int | None = None,
    ) -> TrainingResult:
        """Train, prune, and return the best model that has reached the target sparsity.

        Args:
            train: A batched `tf.data.Dataset`, or `(x, y)` or `(x, y, sample_weight)` arrays,
                which are shuffled anew in every epoch.
            validation: Evaluated at the end of every epoch.
            test: Evaluated once, at the end, with the model that is returned.
            steps_per_epoch: Batches in an epoch; None takes all of the training data.

        Raises:
            TypeError: If data is neither arrays nor a data set.
            ValueError: If data, schedule, monitor or checkpoint do not fit; before training.
            FolderInUseError: If another run is at work in the folder.
            TrainingDivergedError: If the loss or a weight becomes NaN or infinite.
            SystemExit: If a signal ends the training and nothing else was to handle it.
        """
        # The workers of a cluster share a folder, which its chief locks.
        alone = self._store is not None and self._store.writes
        with sole_use(self._folder / LOCK) if alone and self._folder else nullcontext():
            return self._fit(train, validation, test, steps_per_epoch)

    def _fit(
        self, train: Data, validation: Data | None, test: Data | None, steps: int | None
    ) -> TrainingResult:
        checkpoint = find_checkpoint(self._store, self.resume, self.epochs)
        keras.utils.set_random_seed(self.seed)
        stop = StopSignals()
        session = self._prepare(train, validation, steps, stop)
        own = identity(session.model, session.pruner, session.feed, self.seed, self._settings)
        if checkpoint is not None:
            check_identity(checkpoint, own, self.force_resume)
            check_variables(session.model, checkpoint.sections, self.force_resume)
            if checkpoint.facts["outcome"] is not None:
                return stored_result(session.model, checkpoint)
        tested = evaluation(session.model, test, "test data", self.batch_size, session.callbacks)
        with rows_kept(session.callbacks.callbacks, checkpoint):
            session.callbacks.on_train_begin()
        callbacks = CallbackState(session.callbacks.callbacks)
        alarm = self._saving.alarm()
        keeper = Keeper(self._store, session, callbacks, own, alarm, self.force_resume)
        if checkpoint is not None:
            keeper.restore(checkpoint)
        with stop, guarded(session, keeper, stop):
            session.begin()
            session.run(keeper.between)
            keeper.secure()
            return finish(session, tested, keeper)

    def _prepare(
        self, train: Data, validation: Data | None, steps: int | None, stop: StopSignals
    ) -> Session:
        """Wrap, compile and trace: afterwards every variable exists and nothing has been run."""
        # Masks and optimizer must be created where the model was: under its strategy.
        with self.model.distribute_strategy.scope():
            model = self._pruning.wrap(self.model)
            model.compile(**self._compile)
        feed = train_feed(train, self.batch_size, self.seed, steps, model.distribute_strategy)
        plan = Plan(self.epochs, feed.steps_per_epoch, self._saving.checkpoint_every)
        model.stop_training = False
        callbacks = callback_list(self._callbacks, model, self.epochs, plan.steps_per_epoch)
        build_state(model, feed)
        compilation = choose(model, feed, self._compile, plan.total_steps)
        loop = StepLoop(model, feed, model.train_step, compilation)
        names = loop.trace()
        pruner = Pruner(model)
        check_schedules(pruner.schedules, plan.total_steps)
        validated = evaluation(model, validation, "validation data", self.batch_size, callbacks)
        check_monitor(self.monitor, names, validated)
        return Session(
            model,
            pruner,
            plan,
            feed,
            loop,
            validated,
            callbacks,
            self._log,
            stop.check,
            Best(self.monitor),
            self._progress,
        )
