"""Measures everything and writes the table, the raw numbers and the picture.

Usage: python -m experiments.benchmarks --quick | --full [--only FAMILY ...] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import machine
from .figure import Results
from .report import draw, write_table

HERE = Path(__file__).parent
RESULTS = "results.json"
FAMILIES = tuple(sorted(path.stem for path in (HERE / "families").glob("[a-z]*.py")))

AGAIN = "measure these; what the folder holds of the others, from this machine, stays"

# What takes turns trains in threads, whose memory the C library would give back and fetch again in
# each step; a training of a user's, in the main thread, keeps it.
_MEMORY = {"MALLOC_ARENA_MAX": "1"}


def main() -> int:
    """Run the families, each in a process of its own; return how many failed."""
    options = _parse()
    raw = _begin(options)
    failed = 0
    for name in options.only:
        found = _measure(name, options.effort)
        if found is None:
            failed += 1
            continue
        raw["families"][name] = found
        _print(name, found)
        _write(raw, options.out)  # what was measured so far is kept
    return failed


def _begin(options: argparse.Namespace) -> dict[str, Any]:
    """Go on from the folder's results if some families only are measured, on the same machine."""
    raw: dict[str, Any] = {"effort": options.effort, "machine": machine.describe()}
    raw |= {"commands": [], "families": {}}
    found = options.out / RESULTS
    if set(options.only) < set(FAMILIES) and found.exists():
        before = json.loads(found.read_text())
        if _conditions(before) == _conditions(raw):
            raw = before
    raw["commands"].append(f"python -m experiments.benchmarks {' '.join(sys.argv[1:])}")
    return raw


def _conditions(raw: dict[str, Any]) -> tuple[Any, ...]:
    return raw["effort"], {k: v for k, v in raw["machine"].items() if k != machine.LOAD}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks")
    size = parser.add_mutually_exclusive_group(required=True)
    for name, text in (("quick", "minutes"), ("full", "half an hour on two cores")):
        size.add_argument(f"--{name}", dest="effort", action="store_const", const=name, help=text)
    parser.add_argument("--only", nargs="+", choices=FAMILIES, default=FAMILIES, help=AGAIN)
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the results")
    return parser.parse_args()


def _measure(name: str, effort: str) -> dict[str, Any] | None:
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "results.json"
        command = [sys.executable, "-m", "experiments.benchmarks.family", name, effort, str(out)]
        done = subprocess.run(command, check=False, env={**os.environ, **_MEMORY})
        found: dict[str, Any] | None = json.loads(out.read_text()) if out.exists() else None
    state = "measured" if found is not None else f"FAILED with exit code {done.returncode}"
    print(f"{name}: {state} in {time.monotonic() - begin:.0f} s", flush=True)
    return found


def _print(name: str, found: dict[str, Any]) -> None:
    for figure in Results.from_dict(found).figures:
        print(f"  {figure.name}: {figure.value:.3g} {figure.unit} {figure.verdict}", flush=True)


def _write(raw: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    results = Results()
    for found in raw["families"].values():
        family = Results.from_dict(found)
        results.figures += family.figures
        results.curves += family.curves
    (folder / RESULTS).write_text(json.dumps(raw, indent=1) + "\n")
    write_table(folder / "results.md", results, raw["machine"], raw["commands"])
    draw(folder / "results.png", results)


if __name__ == "__main__":
    sys.exit(main())
