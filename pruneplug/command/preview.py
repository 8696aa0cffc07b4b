"""What a command would do: `dry_run=true` trains nothing and writes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from pruneplug.command.console import layer_table
from pruneplug.command.importing import importing
from pruneplug.command.pruned_network import prune
from pruneplug.command.settings import Settings
from pruneplug.command.settings.dry_run import DryRun, PlannedJob
from pruneplug.command.settings.tracking import MlflowSettings
from pruneplug.pruning.backend import require_tensorflow
from pruneplug.pruning.schedules import FieldSchedule, OneShotSparsity
from pruneplug.tracking.locations import public, redact, resolve_experiment, resolve_uri

if TYPE_CHECKING:
    from pruneplug.export import Sizes
    from pruneplug.pruning.inspection import SparsityReport

_WIDTH, _HEIGHT = 64, 6
_BARS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Preview:
    """What a run would come to.

    Args:
        planned: Its optimizer steps.
        schedule: Its schedule.
        report: Its network, pruned at once: what a schedule would reach. Where the trained
            magnitudes decide how much of each weight is pruned, those of the untrained one do.
        sizes: Bytes of its files, likewise.
    """

    planned: int
    schedule: FieldSchedule
    report: SparsityReport
    sizes: Sizes


def show_dry_run(dry: DryRun, console: Console) -> None:
    """Print what would be run.

    Args:
        dry: The jobs. Of several, the sparsest is shown in detail.
        console: Where to.

    Raises:
        OSError: If a file that the settings name is missing.
        ValueError: If the settings, or files they name, cannot be trained with.
    """
    if dry.sweep is not None:
        _show_jobs(dry, console)
    job = max(dry.jobs, key=lambda job: job.settings.sparsity)
    preview = preview_job(job.settings)
    layers = {weight.name: asdict(weight) for weight in preview.report.weights}
    console.print(layer_table(layers, preview.report.skipped, "What would be pruned"))
    for line in draw(preview.schedule, preview.planned, console.encoding.startswith("utf")):
        console.print(line, highlight=False, markup=False, no_wrap=True)
    for name, value in _lines(job, preview):
        console.print(f"{name:<20} {value}", soft_wrap=True, highlight=False, markup=False)
    console.print("Dry run: nothing was trained, nothing was written.")


def preview_job(settings: Settings) -> Preview:
    """Build what a run would train, and prune it at once.

    Raises:
        OSError: If a file that the settings name is missing.
        ValueError: If the settings, or files they name, cannot be trained with.
        ImportError: If Keras does not run on TensorFlow.
    """
    require_tensorflow()
    with importing():
        import keras

    from pruneplug.export import model_sizes
    from pruneplug.pruning.inspection import SparsityReport, sparsity_report
    from pruneplug.pruning.prune import strip_pruning
    from pruneplug.pruning.pruner import Pruner

    keras.utils.clear_session()
    keras.utils.set_random_seed(settings.seed)
    splits = settings.data.build(settings.seed)
    planned = settings.trainer.planned_steps(len(splits.train.y))
    schedule = settings.build_schedule(planned)
    dense = settings.model.build(splits)
    pruned = prune(settings, dense, OneShotSparsity(schedule.target, 1))
    event = Pruner(pruned).start()
    weights = event.weights if event is not None else ()
    report = SparsityReport(weights, sparsity_report(pruned).skipped)
    return Preview(planned, schedule, report, model_sizes(dense, strip_pruning(pruned)))


def draw(schedule: FieldSchedule, planned: int, smooth: bool = True) -> Iterator[str]:
    """Draw a schedule over the steps of a training as lines of text.

    Args:
        schedule: What to draw.
        planned: Optimizer steps of the training.
        smooth: Whether the eighths of a character may be used, which not every terminal has.
    """
    updates = list(schedule.due_steps(0, planned))
    heights = [_sparsity(schedule, updates, planned, column) for column in range(_WIDTH)]
    top = max(*heights, 0.01)
    for row in reversed(range(_HEIGHT)):
        eighths = [round(8 * (height / top * _HEIGHT - row)) for height in heights]
        marks = [_BARS[min(max(n, 0), 8)] if smooth else " #"[n >= 4] for n in eighths]
        label = f"{top:.0%}" if row == _HEIGHT - 1 else "0%" if row == 0 else ""
        yield f"{label:>5} |{''.join(marks)}"
    yield f"step  0{planned:>{_WIDTH},}"
    yield (
        f"{type(schedule).__name__}: {len(updates):,} updates of the masks from step "
        f"{updates[0]:,} to {updates[-1]:,}"
    )


def _sparsity(schedule: FieldSchedule, updates: list[int], planned: int, column: int) -> float:
    step = planned * (column + 1) / _WIDTH
    last = max((update for update in updates if update <= step), default=None)
    return 0.0 if last is None else schedule.sparsity(last)


def _show_jobs(dry: DryRun, console: Console) -> None:
    table = Table(title=f"Jobs of the sweep in {dry.sweep}", title_justify="left")
    table.add_column("job", justify="right")
    table.add_column("overrides", overflow="fold")
    for number, job in enumerate(dry.jobs):
        words = dry.search if dry.search else job.overrides
        table.add_row("each" if dry.search else str(number), redact(" ".join(words)))
    console.print(table, markup=False)


def _lines(job: PlannedJob, preview: Preview) -> Iterator[tuple[str, str]]:
    sizes = preview.sizes
    yield "job in detail", redact(" ".join(job.overrides)) or "no overrides"
    yield "steps", f"{preview.planned:,}"
    yield "sparsity", f"{preview.report.total:.4f}"
    yield "dense size", f"{sizes.dense_bytes:,} bytes"
    yield "stripped size", f"{sizes.stripped_bytes:,} bytes"
    yield "gzip size", f"about {sizes.gzip_bytes:,} bytes"
    yield "run folder", job.folder
    yield "store", _store(job.settings)


def _store(settings: Settings) -> str:
    tracking = settings.tracking
    if isinstance(tracking, MlflowSettings):
        experiment = resolve_experiment(tracking.experiment)
        return f"{public(resolve_uri(tracking.uri))}, experiment {experiment}"
    return "the journal in the run folder" if tracking.name == "journal" else "none"
