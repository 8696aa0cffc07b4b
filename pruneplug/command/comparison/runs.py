"""Finished runs, read from what they left behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from pruneplug.command.flat_settings import flatten
from pruneplug.command.folder import CONFIG, JOURNAL, SUMMARY
from pruneplug.command.summary import read_summary
from pruneplug.process.files import find_files
from pruneplug.tracking.curves import Curve, read_curves

VALIDATION, TEST = "val_accuracy", "test_accuracy"


@dataclass(frozen=True)
class Run:
    """What a finished run was asked, and what came of it.

    Args:
        name: What it is called.
        settings: All settings by dotted name, e.g. `block.size`.
        measured: Its metrics; `sparsity`, the fraction of zeros over all pruned weights; and
            `dense_bytes`, `stripped_bytes`, `gzip_bytes` of its files.
        layers: `sparsity`, `target`, `shape` and `kept` of each weight by `<layer>/<weight>`.
        curves: (step, sparsity) of each weight and of all of them (`total`) in training.
    """

    name: str
    settings: Mapping[str, Any]
    measured: Mapping[str, float]
    layers: Mapping[str, Mapping[str, Any]]
    curves: Mapping[str, Curve] = field(repr=False)

    @property
    def seed(self) -> int:
        """The seed it was started with."""
        return int(self.settings.get("seed", 0))


def read_runs(folder: Path) -> tuple[list[Run], list[str]]:
    """Read all finished runs below a folder, e.g. those of a sweep.

    Args:
        folder: A run's own folder counts too.

    Returns:
        The runs in order of their folders, and the names of those that have not finished or whose
        files are damaged, with what is wrong.

    Raises:
        ValueError: If no run has finished there, or none of them can be read.
    """
    folders = sorted({path.parent for path in find_files(folder, SUMMARY)}, key=_natural)
    begun = {path.parent for path in find_files(folder, CONFIG)}
    if not folders:
        raise ValueError(
            f"The folder must hold finished runs, each with its {SUMMARY}; got {folder}. "
            "Name the folder of a run or of a sweep."
        )
    unfinished = [
        path for path in begun - set(folders) if not any(path in other.parents for other in folders)
    ]
    named = [(_name(path, folder), path) for path in folders]
    runs, damaged = read_each((name, partial(_read_here, path, name)) for name, path in named)
    names = [_name(path, folder) for path in sorted(unfinished, key=_natural)]
    return runs, names + damaged


def read_each(readers: Iterable[tuple[str, Callable[[], Run]]]) -> tuple[list[Run], list[str]]:
    """Read runs; one that is damaged costs itself alone.

    Args:
        readers: Name of each run, and what reads it.

    Returns:
        The runs, and the names of the damaged ones with what is wrong.

    Raises:
        ValueError: If all are damaged.
    """
    runs: list[Run] = []
    damaged: list[str] = []
    for name, read in readers:
        try:
            runs.append(read())
        except (OSError, ValueError) as error:
            damaged.append(f"{name} ({error} Run it again)")
    if damaged and not runs:
        raise ValueError(f"No run can be read: {', '.join(damaged)}.")
    return runs, damaged


def read_run(folder: Path, name: str, curves: Mapping[str, Curve]) -> Run:
    """Read a run's summary and settings.

    Args:
        folder: Holds `summary.json` and `config.yaml`.
        name: What the run is called.
        curves: Its sparsities in training.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If a file is not what a run writes.
    """
    summary = read_summary(folder)
    measured = {**summary["metrics"], **summary["size"], "sparsity": summary["sparsity"]["total"]}
    settings = _read_settings(folder / CONFIG)
    return Run(name, settings, measured, summary["sparsity"]["layers"], curves)


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} must be readable; got {reason}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must map names to values; got {str(content)[:80]!r}.")
    settings = flatten(content)
    for name in ("seed", "sparsity"):
        if not isinstance(settings.get(name, 0), int | float):
            raise ValueError(f"{path} must hold a number; got {name}={settings[name]!r}.")
    return settings


def _read_here(folder: Path, name: str) -> Run:
    journal = folder / JOURNAL
    return read_run(folder, name, read_curves(journal) if journal.exists() else {})


def _name(path: Path, top: Path) -> str:
    return path.absolute().name if path == top else str(path.relative_to(top))


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort job 10 behind job 9: a sweep's folders begin with the job's number."""
    return [
        (int(number) if (number := part.partition("_")[0]).isdigit() else -1, part)
        for part in path.parts
    ]
