"""Finished runs, read from MLflow."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from pruneplug.command.comparison.runs import Run, read_each, read_run
from pruneplug.command.folder import CONFIG, SUMMARY
from pruneplug.tracking.mlflow.reading import stored_runs


def read_experiment(experiment: str, uri: str | None) -> tuple[list[Run], list[str]]:
    """Read the finished runs of an experiment.

    Args:
        experiment: Its name.
        uri: Tracking address; None: the one that training takes.

    Returns:
        The runs, and the names of those whose files are damaged, with what is wrong.

    Raises:
        OSError: If the store cannot be reached.
        ValueError: If there is no such experiment, or no finished run in it.
    """
    with tempfile.TemporaryDirectory() as folder:
        tracked = stored_runs(experiment, uri, (SUMMARY, CONFIG), Path(folder))
        runs, damaged = read_each(
            (run.name, partial(read_run, run.files, run.name, run.curves)) for run in tracked
        )
    if not runs:
        raise ValueError(
            f"The experiment must hold finished runs, each with its {SUMMARY}; got {experiment}."
        )
    return runs, damaged
