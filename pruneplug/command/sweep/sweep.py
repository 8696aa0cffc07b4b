"""A sweep from its first job to its table."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from pruneplug.command.comparison import Report, read_runs, write_report
from pruneplug.command.folder import CONFIG, HYDRA_SWEEP, JOURNAL, REPORT, SWEEP
from pruneplug.command.settings.tracking import TrackingSettings
from pruneplug.command.sweep.identity import git_commit
from pruneplug.command.sweep.jobs import JobRecord, read_records
from pruneplug.command.sweep.table import COLUMNS, print_table, rows
from pruneplug.command.terminal import FAILED, TARGET_MISSED, USAGE
from pruneplug.process.files import write_csv, write_text
from pruneplug.tracking import RunStatus, Tracker
from pruneplug.tracking.locations import redact

# Hydra writes the command line into it.
_NAME_LENGTH = 200


@dataclass(frozen=True)
class Sweep:
    """A sweep under way. Its own run is the one that its jobs' runs belong to.

    Args:
        folder: Holds the folders of the jobs.
        tracker: Of the sweep's own run, which is started.
    """

    folder: Path
    tracker: Tracker

    @classmethod
    def begin(
        cls, folder: Path, tracking: TrackingSettings, config: str, overrides: Sequence[str]
    ) -> Sweep:
        """Start the sweep's own run, or go on with the one that the folder holds.

        Args:
            folder: Holds the folders of the jobs; it is made.
            tracking: Where metrics go.
            config: The settings that all jobs start from, as YAML.
            overrides: What the command line says, sweeps and all.

        Raises:
            OSError: If the folder cannot be written to.
            ValueError: If the tracking address is none.
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / CONFIG, redact(config))
        name = f"sweep {' '.join(overrides)}"[:_NAME_LENGTH]
        tracker = tracking.build(folder / JOURNAL, name, resume=True)
        tracker.start({}, _tags(folder, overrides))
        tracker.log_artifact(folder / CONFIG)
        return cls(folder, tracker)

    def end(self, code: int, console: Console) -> int:
        """Write and show the table, draw the comparison, and end the sweep's own run.

        Args:
            code: What the sweep as a whole has ended with: 0 unless it broke off.
            console: Where the table goes.

        Returns:
            The exit code: of the sweep, else of its worst job.
        """
        records = read_records(self.folder)
        table = rows(records, self.folder)
        write_csv(self.folder / SWEEP, COLUMNS, table)
        self._hide_secrets()
        self.tracker.log_artifact(self.folder / SWEEP)
        report = self._compare()
        print_table(table, console)
        code = code or _worst(records)
        self.tracker.finish(_status(code))
        for line in () if report is None else (report.verdict, *report.notes):
            console.print(line, highlight=False, markup=False)
        for name, value in self._whereabouts(report).items():
            console.print(f"{name:<20} {value}", soft_wrap=True, highlight=False, markup=False)
        return code

    def _compare(self) -> Report | None:
        """Write the report; None if there is nothing to compare, as no job has finished."""
        try:
            runs, unfinished = read_runs(self.folder)
        except ValueError:
            return None
        report = write_report(runs, unfinished, str(self.folder), self.folder / REPORT)
        self.tracker.log_artifact(report.folder, REPORT)
        return report

    def _hide_secrets(self) -> None:
        path = self.folder / HYDRA_SWEEP
        if path.exists():
            write_text(path, redact(path.read_text(encoding="utf-8")))

    def _whereabouts(self, report: Report | None) -> Mapping[str, str]:
        known = {"sweep folder": str(self.folder)}
        if report is not None:
            known["report"] = str(report.page)
        run_id = self.tracker.describe().get("run_id")
        return known | {"MLflow run": run_id} if run_id else known


def _tags(folder: Path, overrides: Sequence[str]) -> dict[str, str]:
    tags = {"folder": str(folder), "overrides": " ".join(overrides)}
    tags["command"] = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    commit = git_commit(Path.cwd())
    return tags | {"git_commit": commit} if commit else tags


def _worst(records: Sequence[JobRecord]) -> int:
    codes = {record.code if record.finished or record.code else 1 for record in records}
    # A job that broke weighs more than one that was refused or missed its target.
    return next((code for code in (FAILED, USAGE, TARGET_MISSED) if code in codes), 0)


def _status(code: int) -> RunStatus:
    if code >= 128:
        return "KILLED"
    return "FINISHED" if code in (0, TARGET_MISSED) else "FAILED"
