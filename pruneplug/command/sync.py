"""`python -m pruneplug.sync <folder>...`: send to MLflow what it lacks of runs on disk.

Exit codes: 0 MLflow has everything, 1 it could not be reached or refused something, 2 a mistake in
the arguments.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from pruneplug.command.terminal import FAILED, USAGE
from pruneplug.process.files import find_files
from pruneplug.tracking import Journal
from pruneplug.tracking.journal_lines import damage
from pruneplug.tracking.locations import public, resolve_uri
from pruneplug.tracking.mlflow import pending, sync
from pruneplug.tracking.store import InTrash, reason

PROGRAM = "pruneplug.sync"
JOURNALS = "*.jsonl"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        arguments: Of the command line; None takes `sys.argv`.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        journals = find_journals(given.folders)
        addresses = {journal: address(journal, given.uri) for journal in journals}
    except (OSError, ValueError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return USAGE
    problems = _send_all(addresses)
    print(f"{len(journals) - len(problems)} of {len(journals)} runs are in MLflow completely.")
    return FAILED if problems else 0


def find_journals(folders: Iterable[Path]) -> list[Path]:
    """Return the journals below folders, those of sweeps before those of their jobs.

    Raises:
        FileNotFoundError: If a folder does not exist.
        ValueError: If there is none.
    """
    found: set[Path] = set()
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"A folder must exist to be searched; got {folder}.")
        found |= {path.absolute() for path in find_files(folder, JOURNALS) if _is_journal(path)}
    if not found:
        names = ", ".join(map(str, folders))
        raise ValueError(f"The folders must hold runs with a journal; got {names}.")
    return sorted(found, key=lambda path: (len(path.parts), path))


def address(journal: Path, uri: str | None) -> str:
    """Return where a journal's last run is tracked.

    Args:
        journal: Its path.
        uri: The address to send to whatever the journal says.

    Returns:
        The address given, else the journal's, else the default one. A journal holds no
        passwords; MLflow takes them from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.

    Raises:
        ValueError: If it is no address of an MLflow store.
    """
    starts = [entry.get("uri") for entry in Journal.read(journal) if entry["type"] == "start"]
    return resolve_uri(uri or (starts[-1] if starts else None))


def _is_journal(path: Path) -> bool:
    return any(True for _ in Journal.read(path))


def _send_all(addresses: dict[Path, str]) -> dict[Path, str]:
    """Send journal by journal, say how it went, and return the problems by journal."""
    problems: dict[Path, str] = {}
    unreachable: dict[str, str] = {}
    for journal, uri in addresses.items():
        missing, refused, problem = pending(journal, uri), "", unreachable.get(uri, "")
        try:
            refused = "" if problem else sync(journal, uri)
        except InTrash as error:
            problem = str(error)
        except Exception as error:  # whatever MLflow or the network comes up with
            problem = unreachable[uri] = reason(error)
        said = [_told(missing, refused, problem, uri), damage(journal)]
        if refused or problem or said[-1]:
            problems[journal] = refused or problem
        print(f"{journal.parent}: {'; '.join(filter(None, said))}")
    return problems


def _told(missing: str, refused: str, problem: str, uri: str) -> str:
    if refused or (problem and missing):
        return f"{public(uri)} has not got everything: {refused or problem}"
    if problem:
        return f"{public(uri)} cannot be asked whether it still has everything: {problem}"
    if not missing:
        return "nothing is missing"
    return f"sent {missing} to {public(uri)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {PROGRAM}",
        description="Send to MLflow what it lacks of the runs below folders. Doing it again is "
        "harmless: nothing arrives twice.",
        epilog="Exit codes: 0 MLflow has everything, 1 it does not, 2 a mistake in the arguments.",
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="folder")
    parser.add_argument("--uri", help="send there instead of where the runs were to be tracked")
    return parser
