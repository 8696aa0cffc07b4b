"""What a command line would run, found out without running it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import flag_override

from pruneplug.command.settings.command_line import CommandLine, composing, drop_hydra
from pruneplug.command.settings.compose import read_settings
from pruneplug.command.settings.run import Settings

_BASIC = "BasicSweeper"


@dataclass(frozen=True)
class PlannedJob:
    """A job as it would be run.

    Args:
        settings: All settings.
        folder: Its run folder; one that is named by the time is that of a run which starts now.
        overrides: What the command line sets for it.
    """

    settings: Settings
    folder: str
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class DryRun:
    """What a command line would run.

    Args:
        jobs: At least one. Of a sweep whose jobs depend on each other's results, one stands for
            all.
        sweep: The folder of the sweep; None for a single run.
        search: The ranges that a searching sweeper draws from, by key; empty for other sweeps.
    """

    jobs: tuple[PlannedJob, ...]
    sweep: str | None
    search: tuple[str, ...] = ()


def dry_run(line: CommandLine) -> DryRun:
    """Compose the settings of every job that a command line asks for.

    Args:
        line: Without `dry_run=true`.

    Raises:
        ValueError: If a value is missing, unknown or out of its range.
        CompactHydraException, OmegaConfBaseException: If the settings cannot be composed.
    """
    with composing():
        parser = OverridesParser.create()
        swept = [
            override.is_sweep_override() for override in parser.parse_overrides(list(line.words))
        ]
        fixed = [word for word, sweeps in zip(line.words, swept, strict=True) if not sweeps]
        hydra = line.compose(fixed).hydra
        if not line.multirun and hydra.mode != RunMode.MULTIRUN:
            return DryRun((_job(line, line.words),), None)
        folder = str(hydra.sweep.dir)
        params = [f"{key}={value}" for key, value in (hydra.sweeper.get("params") or {}).items()]
        overrides = parser.parse_overrides([*params, *line.words])
        if _BASIC not in hydra.sweeper._target_:
            search = tuple(str(o.input_line) for o in overrides if o.is_sweep_override())
            return DryRun((_job(line, fixed, 0, folder),), folder, search)
        (batch,) = BasicSweeper.split_arguments(overrides, None)
        jobs = tuple(_job(line, words, number, folder) for number, words in enumerate(batch))
        return DryRun(jobs, folder)


def _job(
    line: CommandLine, words: Sequence[str], number: int | None = None, sweep: str | None = None
) -> PlannedJob:
    """Compose one job, of a sweep if it has a number."""
    config = line.compose(words)
    hydra = config.hydra
    if number is None:
        folder = hydra.run.dir
    else:
        with flag_override(hydra, "readonly", False):
            hydra.job.num = number
        folder = f"{sweep}/{hydra.sweep.subdir}"
    overrides = tuple(hydra.overrides.task)
    return PlannedJob(read_settings(drop_hydra(config)), str(folder), overrides)
