"""Fails at every change of a run's files: `python -m experiments.reliability.points`.

One run is recorded, which names the points. Then for each point and each kind of fault a run is
started that meets it there, the same command is given again, and what comes of it is compared with
the recorded run bit by bit. Results are added to points.jsonl one by one, and what is there is not
done again; `--shard 1/4` does every fourth.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from experiments.reliability import forks, report
from experiments.reliability.compare import differences
from experiments.reliability.layer import KINDS

# Two epochs of four steps, so that checkpoints are written, rotated and resumed from in the middle.
SETTINGS = (
    "data=digits", "data.validation=0.4", "tracking=journal",
    "model=mlp", "model.hidden=[8]", "model.dropout=0.3",
    "trainer.epochs=2", "trainer.batch_size=256", "trainer.checkpoint_steps=3",
    "trainer.keep_checkpoints=1", "sparsity=0.5", "schedule.end=1.0",
)  # fmt: skip
RESULTS = "points.jsonl"


@dataclass(frozen=True)
class Trial:
    """A fault at a point, and what came of it.

    Args:
        point: See `Layer`.
        kind: See `Layer`.
        code: Exit code of the run that met it.
        again: Exit code of the same command, given again.
        lost: In what the end differs from that of the recorded run, and other faults.
    """

    point: str
    kind: str
    code: int
    again: int
    lost: Sequence[str]


def main(arguments: list[str] | None = None) -> int:
    """Run the trials that are asked for; return 0 if all of them ended with the same bits."""
    options = _options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    results = options.out / RESULTS
    forks.load()
    with tempfile.TemporaryDirectory() as work:
        whole = Path(work) / "whole"
        points = record(whole)
        todo = [pair for pair in _pairs(points, options.kinds) if pair not in _done(results)]
        if options.sample is not None:
            todo = random.Random(options.seed).sample(todo, min(options.sample, len(todo)))
        number, shards = map(int, options.shard.split("/"))
        failed = 0
        for count, (point, kind) in enumerate(todo[number - 1 :: shards], 1):
            trial = attempt(Path(work) / "run", whole, point, kind)
            failed += bool(trial.lost)
            with results.open("a") as file:
                file.write(json.dumps(asdict(trial)) + "\n")
            print(f"{count}: {kind} at {point}: {trial.lost or 'equal'}", flush=True)
    report.render(options.out)
    return int(failed > 0)


def record(folder: Path) -> list[str]:
    """Run once without a fault, and return the points in their order.

    Raises:
        RuntimeError: If the run does not end well.
    """
    seen = folder.with_suffix(".seen")
    code, said = forks.run(folder, SETTINGS, seen)
    if code:
        raise RuntimeError(f"exit code {code}\n{said[-3000:]}")
    return seen.read_text().splitlines()


def attempt(folder: Path, whole: Path, point: str, kind: str) -> Trial:
    """Let a run meet a fault, give the command again, and compare."""
    shutil.rmtree(folder, ignore_errors=True)
    code, said = forks.run(folder, SETTINGS, None, point, kind)
    lost = ["a traceback was shown"] if "Traceback" in said else []
    if kind in ("kill", "cut") and code != -9:
        lost.append("the point was not met")
    again, said = forks.run(folder, SETTINGS)
    if again:
        lost.append(f"the command, given again, ended with {again}: {said[-500:]}")
    else:
        lost += differences(whole, folder)
    return Trial(point, kind, code, again, lost)


def _pairs(points: Iterable[str], kinds: Sequence[str]) -> list[tuple[str, str]]:
    """Give points and faults; a call that fails has done nothing, so it fails before."""
    return [
        (point, kind)
        for point in points
        for kind in kinds
        if kind in ("kill", "cut") or point.endswith("before")
    ]


def _done(results: Path) -> set[tuple[str, str]]:
    if not results.exists():
        return set()
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    return {(row["point"], row["kind"]) for row in rows}


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m experiments.reliability.points")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="faults")
    parser.add_argument("--shard", default="1/1", help="i/n: the i-th of every n trials")
    parser.add_argument("--sample", type=int, help="only so many trials, drawn by the seed")
    parser.add_argument("--seed", type=int, default=0, help="draws the sample")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of results")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
