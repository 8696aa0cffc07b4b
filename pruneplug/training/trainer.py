"""The Trainer: prunes a model while it trains, and returns it stripped."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import keras

from pruneplug.process.lock import sole_use
from pruneplug.process.signals import StopSignals
from pruneplug.pruning.naming import metric_name
from pruneplug.pruning.pruner import Pruner
from pruneplug.pruning.schedules import PruningSchedule
from pruneplug.tracking.base import NullTracker, Tracker
from pruneplug.training.best import Best, Mode, check_mode, direction
from pruneplug.training.checkpointing import Keeper
from pruneplug.training.checkpoints.callbacks.state import CallbackState
from pruneplug.training.checkpoints.csv_rows import rows_kept
from pruneplug.training.checkpoints.identity import identity
from pruneplug.training.checkpoints.randomness import seeded
from pruneplug.training.checkpoints.resume import check_identity, check_rest, find_checkpoint
from pruneplug.training.checkpoints.saving_rules import Saving, check_count, check_seed
from pruneplug.training.checkpoints.variables import check_variables
from pruneplug.training.ending import TrainingResult, finish, guarded, stored_result
from pruneplug.training.feeds.base import Data, Feed, train_feed
from pruneplug.training.feeds.random_operations import warn_of_draws
from pruneplug.training.metrics import MetricLog
from pruneplug.training.model.build import build_model, build_state
from pruneplug.training.model.keras_compile import AUTO, check_compile, compile_model
from pruneplug.training.model.loan import Loan
from pruneplug.training.preparation import Wrapping, callback_list, check_schedules, evaluation
from pruneplug.training.progress import Progress
from pruneplug.training.session import Session
from pruneplug.training.steps.events import Plan
from pruneplug.training.steps.loop import StepLoop
from pruneplug.training.steps.pace import Pace
from pruneplug.training.steps.xla import choose
from pruneplug.training.workers import Workers, is_chief


class Trainer:
    """Prunes a Keras model while it trains, many steps to a compiled call.

    Args:
        model: A Keras model; one from `prune_low_magnitude` brings its own schedules.
        schedule: When masks are updated and how sparse they are.
        optimizer: As in `compile`. "auto" leaves a model that is compiled as it is, and stands for
            Adam otherwise.
        loss: As in `compile`, "auto" likewise: sparse categorical cross-entropy otherwise.
        loss_weights: As in `compile`.
        metrics: As in `compile`, "auto" likewise: accuracy otherwise.
        epochs: Passes over the training data.
        batch_size: Samples in a batch of arrays, over all replicas.
        seed: Of everything random; the same seed gives the same bits on the same machine.
        callbacks: Ordinary Keras callbacks. One that wants every batch costs speed. They are used
            as they are by each `fit`, like those of Keras.
        tracker: Takes the metrics; started and finished by its owner.
        folder: Checkpoints go to `folder/checkpoints`; None writes none.
        checkpoint_every: Steps between two checkpoints; None saves at epoch ends.
        checkpoint_minutes: Minutes after which a checkpoint is due too; None for never.
        keep_checkpoints: Number of newest checkpoints to keep, besides the best.
        keep_minutes: Keep one checkpoint in so many minutes for good; None keeps none.
        resume: "auto" continues from the newest valid checkpoint in `folder`, if any; "never"
            starts afresh; else the path of a checkpoint or of a run's folder.
        force_resume: Resume in spite of other settings or another architecture; warns of what
            differs, takes what fits, and keeps the learning rate given here. The epochs before do
            not count for the best model.
        settings: Whatever else makes this run what it is, fit for JSON; a run that resumes must
            have the same.
        jit_compile: As in `compile`; "auto" leaves more to XLA than there (`compilation.choose`).
        monitor: The metric that decides which epoch's model is returned, among those that have
            reached the target sparsity.
        mode: "min" if it is better when lower, "max" if higher; "auto" asks the metric.
        progress: Shows a progress line.
        **pruning: Further arguments of `prune_low_magnitude`, for a model that is not pruned yet.

    Raises:
        TypeError: If there is no such argument.
        ValueError: If an argument is out of its range, or does not fit the model.
    """

    def __init__(
        self,
        model: keras.Model,
        schedule: PruningSchedule | None = None,
        *,
        optimizer: Any = AUTO,
        loss: Any = AUTO,
        loss_weights: Any = AUTO,
        metrics: Any = AUTO,
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
        mode: Mode = "auto",
        progress: bool | Progress = False,
        **pruning: Any,
    ) -> None:
        check_count("epochs", epochs)
        check_count("batch_size", batch_size)
        check_seed(seed)
        check_mode(mode)
        self._saving = Saving(checkpoint_every, checkpoint_minutes, keep_checkpoints, keep_minutes)
        self._saving.check_folder(folder, resume)
        self.model = model
        self.epochs, self.batch_size, self.seed = int(epochs), int(batch_size), int(seed)
        self.monitor, self.mode = monitor, mode
        self.resume, self.force_resume = resume, force_resume
        self._settings = dict(settings or {})
        self._folder = None if folder is None else Path(folder)
        self._pruning = Wrapping(schedule, pruning)
        self._pruning.check(model)
        self._compile = {
            "optimizer": optimizer,
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": list(metrics) if isinstance(metrics, tuple) else metrics,
            "jit_compile": jit_compile,
        }
        check_compile(model, self._compile)
        self._callbacks = tuple(callbacks)
        self._workers = Workers(model.distribute_strategy)
        chief = is_chief(model.distribute_strategy)
        self._tracker = (chief and tracker) or NullTracker()
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
        class_weight: Mapping[int, float] | None = None,
    ) -> TrainingResult:
        """Train, prune, and return the best model that has reached the target sparsity.

        Args:
            train: `(x,)`, `(x, y)` or `(x, y, sample_weight)` arrays, or a `keras.utils.PyDataset`,
                which are shuffled anew in every epoch; a batched `tf.data.Dataset`; or a generator
                of batches, which must not end before the training.
            validation: Evaluated at the end of every epoch.
            test: Evaluated once, at the end, with the model that is returned.
            steps_per_epoch: Batches in an epoch; None takes all of the training data.
            class_weight: Weights of the training samples by their class, as in Keras' `fit`.

        Raises:
            TypeError: If data is none of those.
            ValueError: If data, schedule, monitor or checkpoint do not fit; before training.
            FolderInUseError: If another run is at work in the folder.
            TrainingDivergedError: If the loss or a weight becomes NaN or infinite.
            SystemExit: If a signal ends the training and nothing else was to handle it.
        """
        # The workers of a cluster share a folder, which its chief locks.
        alone = self._store is not None and self._store.writes
        with (
            sole_use(self._folder) if alone and self._folder else nullcontext(),
            seeded(self.seed),
            Loan(self.model) as loan,
        ):
            strategy = self.model.distribute_strategy
            feed = train_feed(
                train, self.batch_size, self.seed, steps_per_epoch, strategy, class_weight
            )
            weighted = {} if class_weight is None else {"class_weight": dict(class_weight)}
            return self._fit(loan, feed, validation, test, {**self._settings, **weighted})

    def _fit(
        self,
        loan: Loan,
        feed: Feed,
        validation: Data | None,
        test: Data | None,
        settings: Mapping[str, Any],
    ) -> TrainingResult:
        checkpoint = find_checkpoint(self._store, self.resume, self.epochs)
        stop = StopSignals()
        session = self._prepare(feed, validation, stop)
        loan.begin(session.model)
        # To tell it takes a look at all data.
        needed = self._store is not None or checkpoint is not None
        held = None if session.validation is None else session.validation.feed
        shared = (feed, held, self.seed, settings)
        own = identity(session.model, session.pruner.layers, *shared) if needed else {}
        if checkpoint is not None:
            differs = check_identity(checkpoint, own, self.epochs, self.force_resume)
            differs |= check_variables(session.model, checkpoint.sections, self.force_resume)
            if differs:
                check_rest(checkpoint, session.plan.total_steps)
            if checkpoint.is_finished:
                return stored_result(session, checkpoint, loan)
        tested = evaluation(session.model, test, "test data", self.batch_size, session.callbacks)
        with rows_kept(session.callbacks.callbacks, checkpoint):
            session.callbacks.on_train_begin()
        callbacks = CallbackState(session.callbacks.callbacks)
        alarm = self._saving.alarm(self._workers.of_chief)
        keeper = Keeper(self._store, session, callbacks, own, alarm, self.force_resume)
        if checkpoint is not None:
            keeper.restore(checkpoint, anew=differs)
        with stop, guarded(session, keeper, stop):
            session.begin()
            session.run(keeper.between)
            keeper.secure()
            return finish(session, tested, keeper, loan)

    def _prepare(self, feed: Feed, validation: Data | None, stop: StopSignals) -> Session:
        """Wrap, compile and trace: afterwards every variable exists and nothing has been run."""
        # Masks and optimizer must be created where the model was: under its strategy.
        with self.model.distribute_strategy.scope():
            build_model(self.model, feed)
            model = self._pruning.wrap(self.model)
            compiling = compile_model(model, self.model, self._compile)
        plan = Plan(self.epochs, feed.steps_per_epoch, self._saving.checkpoint_every)
        model.stop_training = False
        callbacks = callback_list(self._callbacks, model, self.epochs, plan.steps_per_epoch)
        build_state(model, feed)
        pruner = Pruner(model)
        pruner.arm()
        compilation = choose(model, feed, compiling, plan.total_steps)
        loop = StepLoop(model, feed, model.train_step, compilation)
        names = loop.trace()
        if self._store is not None:
            warn_of_draws(loop.functions())
        check_schedules(pruner, plan.total_steps)
        validated = evaluation(model, validation, "validation data", self.batch_size, callbacks)
        monitor = metric_name(model, self.monitor)
        measured = None if validated is None else validated.names
        better = direction(model, monitor, self.mode, names, measured)
        parts = (model, pruner, plan, feed, loop, validated, callbacks, MetricLog(self._tracker))
        pace = Pace(agree=self._workers.of_chief)
        return Session(*parts, stop.check, Best(monitor, better), self._progress, pace)
