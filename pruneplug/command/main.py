"""The command: settings from YAML and the command line, one run or a sweep, an exit code.

`python -m pruneplug.train --help`, or `pruneplug-train --help`, says how to use it.
"""

from __future__ import annotations

import atexit
import gc
import shlex
import sys
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from pruneplug.command.failures import (
    broken_off,
    describe,
    keep_traceback,
    remove_empty,
    way_on,
)
from pruneplug.command.settings import (
    COMPOSE_ERRORS,
    config_folder,
    explain,
    read_settings,
    register_schemas,
)
from pruneplug.command.settings.command_line import CommandLine
from pruneplug.command.settings.dry_run import dry_run
from pruneplug.command.settings.help import help_text
from pruneplug.command.settings.wording import override
from pruneplug.command.sweep.identity import config_hash, git_commit
from pruneplug.command.sweep.start import objective_count, take_sweep
from pruneplug.command.terminal import FAILED, TARGET_MISSED, USAGE, complain, process_set_up
from pruneplug.tracking.locations import redact, refuse_password

if TYPE_CHECKING:
    from pruneplug.command.job import Reached
    from pruneplug.command.sweep.sweep import Sweep


def main() -> None:
    """Run the command on `sys.argv`, and exit with its code."""
    # Else a second goes by at the end in looking for garbage among all that TensorFlow has made.
    atexit.register(gc.freeze)
    register_schemas()
    with process_set_up():
        try:
            for word in sys.argv[1:]:
                # Before anything shows it, in a sweep's values and what cannot be parsed too.
                refuse_password("The command line", word)
            line = CommandLine.parse(sys.argv[1:])
        except (ValueError, OSError) as error:
            sys.exit(complain(str(error), USAGE))
        code = _answer_code(line)
        if code is None:
            code = _exit_code(line)
        sweep = take_sweep()
        if sweep is not None:
            code = _end_sweep(sweep, code)
    sys.exit(code)


def _answer_code(line: CommandLine) -> int | None:
    """Answer --help, or what would be done for dry_run=true; None if there is work to do."""
    try:
        if line.help:
            print(help_text(line))
            return 0
        if not line.dry_run:
            return None
        from rich.console import Console

        from pruneplug.command.preview import show_dry_run

        show_dry_run(dry_run(line), Console())
    except COMPOSE_ERRORS as error:
        return complain(explain(error), USAGE)
    except (ValueError, TypeError, OSError, ImportError) as error:
        return complain(str(error), USAGE)
    return 0


def _exit_code(line: CommandLine) -> int:
    """Let Hydra run the job or the sweep, and say what has gone wrong outside of the jobs."""
    sys.argv[1:] = line.arguments
    run = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=line.config)
    try:
        run(_run_job)()
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else 0
    except COMPOSE_ERRORS as error:
        return complain(explain(error), USAGE)
    except OSError as error:
        return complain(f"hydra.run.dir must be a folder that can be made: {error}.", USAGE)
    except (ValueError, TypeError) as error:
        return complain(str(error), USAGE)
    except Exception as error:
        return complain(broken_off(error), FAILED)  # jobs have dealt with theirs
    return 0


def _end_sweep(sweep: Sweep, code: int) -> int:
    from rich.console import Console

    # A file or a pipe has no width of its own.
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        code = sweep.end(code, console)
    except OSError as error:
        code = complain(f"The results of the sweep cannot be written: {error}.", FAILED)
    if code not in (0, TARGET_MISSED):
        folder = shlex.quote(override("hydra.sweep.dir", str(sweep.folder)))
        complain(f"To run what is missing: the same command with {folder}", code)
    return code


def _run_job(config: DictConfig) -> float | tuple[float, float] | None:
    """Run one job; Hydra calls this once, or for each job of a sweep.

    Returns:
        What a sweeper searches by: the validation accuracy, or that and the sparsity.
    """
    context = HydraConfig.get()
    folder = Path(context.runtime.output_dir)
    start = Path(context.runtime.cwd)
    # Relative paths mean the same for all jobs: on any worker, and with hydra.job.chdir=true too.
    with chdir(start if start.is_dir() else "."):
        _tell_unused_folder(context)
        if context.mode == RunMode.MULTIRUN:
            return _run_in_sweep(config, context, folder)
        code = _attempt(config, context, folder)
    if code:
        raise SystemExit(code)
    return None


def _tell_unused_folder(context: HydraConf) -> None:
    """Say, once, that a folder which is asked for is not the one that Hydra takes."""
    sweeps = context.mode == RunMode.MULTIRUN
    folders = ("hydra.run.dir", "hydra.sweep.dir")
    unused, used = folders if sweeps else folders[::-1]
    given = any(word.startswith(f"{unused}=") for word in context.overrides.hydra)
    if given and (not sweeps or context.job.num == 0):
        complain(f"{unused} has no effect on {'a sweep' if sweeps else 'one run'}: {used} has.", 0)


def _run_in_sweep(
    config: DictConfig, context: HydraConf, folder: Path
) -> float | tuple[float, float] | None:
    """Run a job unless the sweep has one that has finished with the same settings.

    Whatever goes wrong is noted and said, not raised: the other jobs go on.
    """
    from pruneplug.command.sweep.jobs import JobRecord, finished_record

    count = objective_count(context.sweeper)
    own = _hash(config)
    done = finished_record(Path(context.sweep.dir).absolute(), own) if own else None
    overrides = _overrides(context)
    if done is not None:
        complain(f"Job {context.job.num} ({overrides}) was finished before: {done.folder}", 0)
        remove_empty(folder)
        return done.objectives(count)
    record = JobRecord(folder, int(context.job.num), overrides, own)
    record.write()
    record = replace(record, code=_attempt(config, context, folder))
    record.write()
    return record.objectives(count)


def _hash(config: DictConfig) -> str | None:
    try:
        return config_hash(read_settings(config))
    except (*COMPOSE_ERRORS, ValueError):
        return None  # training refuses these settings, and says why


def _overrides(context: HydraConf) -> str:
    return redact(" ".join(context.overrides.task))


def _attempt(config: DictConfig, context: HydraConf, folder: Path) -> int:
    """Train, say what went wrong, and return the exit code."""
    try:
        reached = _train(config, context, folder)
    except SystemExit as ending:
        complain(way_on(context, folder), 0)
        raise SystemExit(ending.code) from None
    except Exception as error:
        code = _say_why(error, context, folder)
        remove_empty(folder)
        return code
    if not reached.target_reached:
        return complain(f"The target sparsity was not reached: {reached}.", TARGET_MISSED)
    return 0


def _train(config: DictConfig, context: HydraConf, folder: Path) -> Reached:
    # Imported here: --help and completion do without it.
    from pruneplug.command.folder import JOURNAL
    from pruneplug.command.job import Job, UsageError, run

    try:
        settings = read_settings(config)
    except COMPOSE_ERRORS as error:
        raise UsageError(explain(error)) from error
    except ValueError as error:
        raise UsageError(str(error)) from error
    tags = {"folder": str(folder), "overrides": _overrides(context)}
    tags["config_hash"] = config_hash(settings)
    commit = git_commit(Path.cwd())
    tags |= {"git_commit": commit} if commit else {}
    parent = None
    if context.mode == RunMode.MULTIRUN:
        tags |= {"sweep": context.sweep.dir, "job": str(context.job.num)}
        parent = Path(context.sweep.dir).absolute() / JOURNAL
    return run(Job(settings, folder, context.job.override_dirname or folder.name, tags, parent))


def _say_why(error: Exception, context: HydraConf, folder: Path) -> int:
    from pruneplug.command.job import UsageError

    if isinstance(error, UsageError):
        if context.mode == RunMode.MULTIRUN:
            keep_traceback(error, folder)
        return complain(str(error), USAGE)
    complain(f"The run failed: {describe(error)} {keep_traceback(error, folder)}", FAILED)
    return complain(way_on(context, folder), FAILED)
