"""One run, from settings to a folder of results."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from pruneplug.command.console import print_summary
from pruneplug.command.extras import log_model, measure_system, scan_weights
from pruneplug.command.flat_settings import binding
from pruneplug.command.folder import CONFIG, JOURNAL
from pruneplug.command.importing import importing
from pruneplug.command.pruned_network import prune
from pruneplug.command.settings import Settings, to_yaml
from pruneplug.command.summary import write_results, write_summary
from pruneplug.process.files import write_text
from pruneplug.process.lock import LOCK, FolderInUseError, sole_use
from pruneplug.pruning.backend import require_tensorflow
from pruneplug.tracking import RunStatus, Tracker
from pruneplug.tracking.locations import redact

if TYPE_CHECKING:
    import keras

    from pruneplug.command.data import Splits
    from pruneplug.training.ending import TrainingResult
    from pruneplug.training.trainer import Trainer


class UsageError(Exception):
    """The settings, or the files they name, cannot be trained with."""


@dataclass(frozen=True)
class Job:
    """What is to be run, and where.

    Args:
        settings: All settings.
        folder: The run folder; it exists.
        name: What MLflow calls the run.
        tags: Free labels of the run.
        parent: The journal of the sweep that it is a job of.
    """

    settings: Settings
    folder: Path
    name: str
    tags: Mapping[str, str]
    parent: Path | None = None


@dataclass(frozen=True)
class Reached:
    """What a finished run came to.

    Args:
        target_reached: Whether every weight stands at the sparsity asked of it.
        sparsity: Of all pruned weights together.
        target: What the schedule ends at.
    """

    target_reached: bool
    sparsity: float
    target: float

    def __str__(self) -> str:
        return f"{self.sparsity:.4f} instead of {self.target:.4f}"


@dataclass
class _Traces:
    """The traces of a run outside this process: none before its training begins."""

    job: Job
    tracker: Tracker
    begun: bool = field(default=False, init=False)

    def begin(self, logs: Any = None) -> None:
        """Write down the settings and start the tracker, once; also called by Keras."""
        if not self.begun:
            self.begun = True
            self.write_settings()
            self.tracker.start(self.job.settings.flat(), self.job.tags)

    def write_settings(self) -> None:
        write_text(self.job.folder / CONFIG, redact(to_yaml(self.job.settings)))

    def end(self, status: RunStatus) -> None:
        """Tell the tracker how the run ended."""
        if self.begun:
            self.tracker.finish(status)


def run(job: Job) -> Reached:
    """Train, prune, and write the results into the run folder.

    Args:
        job: What and where.

    Returns:
        What came of it.

    Raises:
        UsageError: If the settings or files cannot be trained with; a new run folder is then empty.
    """
    with _alone(job.folder):
        return _run(job)


def _run(job: Job) -> Reached:
    settings = job.settings
    with _refused(job.folder):
        require_tensorflow()
        splits = settings.data.build(settings.seed)
        planned = settings.trainer.planned_steps(len(splits.train.y))
        schedule = settings.build_schedule(planned)
        dense = _build_model(settings, splits)
        pruned = prune(settings, dense, schedule)
        resumes = settings.trainer.resume != "never"
        tracker = settings.tracking.build(job.folder / JOURNAL, job.name, resumes, job.parent)
        traces = _Traces(job, tracker)
        epochs = settings.trainer.planned_epochs(len(splits.train.y))
        trainer = _build_trainer(job, dense, pruned, epochs, traces)
    with _ending(traces):
        result = _fit(trainer, splits, traces)
        # Again, should somebody have removed the folder under way: the results make a new one.
        traces.write_settings()
        summary = write_results(job.folder, result, dense, traces.tracker)
        log_model(settings, result.model, splits, job.folder, traces.tracker)
        if settings.sensitivity.sparsities:
            wrapped = prune(settings, result.model, schedule)
            scan_weights(settings, wrapped, result.model, splits, job.folder, traces.tracker)
    # A slow store gives the run's id only now.
    summary = write_summary(job.folder, summary, traces.tracker)
    print_summary(summary, result.report.skipped, job.folder, Console())
    return Reached(result.target_reached, result.report.total, schedule.target)


def _build_model(settings: Settings, splits: Splits) -> keras.Model:
    with importing():
        import keras
        import tensorflow as tf

    if settings.trainer.deterministic:
        tf.config.experimental.enable_op_determinism()

    # Else layer names count on from one job of a process to the next.
    keras.utils.clear_session()
    keras.utils.set_random_seed(settings.seed)
    return settings.model.build(splits)


def _build_trainer(
    job: Job, dense: keras.Model, pruned: keras.Model, epochs: int, traces: _Traces
) -> Trainer:
    import keras

    from pruneplug.command.models import cross_entropy
    from pruneplug.training.trainer import Trainer

    settings, rules = job.settings, job.settings.trainer
    return Trainer(
        pruned,
        optimizer=settings.optimizer.build(),
        loss=cross_entropy(dense),
        epochs=epochs,
        batch_size=rules.batch_size,
        seed=settings.seed,
        callbacks=[
            keras.callbacks.LambdaCallback(on_train_begin=traces.begin),
            *measure_system(settings, pruned, traces.tracker),
        ],
        tracker=traces.tracker,
        folder=job.folder,
        checkpoint_every=rules.checkpoint_steps,
        checkpoint_minutes=rules.checkpoint_minutes,
        keep_checkpoints=rules.keep_checkpoints,
        keep_minutes=rules.keep_minutes,
        resume=rules.resume,
        # TensorFlow's promise covers its own operations alone.
        jit_compile=False if rules.deterministic else "auto",
        force_resume=rules.force_resume,
        settings=binding(settings.flat()),
        progress=True,
    )


def _fit(trainer: Trainer, splits: Splits, traces: _Traces) -> TrainingResult:
    """Train; what is refused before the first step, such as a foreign checkpoint, is a mistake."""
    try:
        result = trainer.fit(splits.train, splits.validation, splits.test)
    except (ValueError, TypeError, OSError) as error:
        if traces.begun:
            raise
        raise UsageError(str(error)) from error
    # A run that had ended before is not trained again, but its results are written again.
    traces.begin()
    return result


@contextmanager
def _ending(traces: _Traces) -> Iterator[None]:
    """Tell the traces how what happens inside ends."""
    status: RunStatus = "KILLED"
    try:
        yield
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        traces.end(status)


@contextmanager
def _refused(folder: Path) -> Iterator[None]:
    """Turn mistakes in the input into `UsageError`, and leave a new run folder empty."""
    new = not _content(folder)
    try:
        yield
    except (ValueError, TypeError, OSError, ImportError, FloatingPointError) as error:
        with suppress(OSError):  # what cannot be cleared away changes no reason
            for entry in _content(folder) if new else ():
                shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink()
        raise UsageError(str(error)) from error


def _content(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if entry.name != LOCK]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other runs out of the folder: journal and results bear one writer only."""
    with ExitStack() as held:
        try:
            held.enter_context(sole_use(folder, lend=True))
        except FolderInUseError as error:
            raise UsageError(str(error)) from error
        except OSError as error:
            raise UsageError(f"hydra.run.dir must be writable: {error}.") from error
        yield
