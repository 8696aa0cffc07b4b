"""Kills the command again and again: `python -m experiments.reliability --kills 100`."""

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from experiments.reliability.chains import COMBINATIONS, Chain, Reference, run_chain
from experiments.reliability.compare import measure
from experiments.reliability.report import summary, write

KILLS_PER_RUN = 4


def main(arguments: list[str] | None = None) -> int:
    """Run the harness; return 0 if every run ended with the same bits."""
    options = _options(arguments)
    names = list(COMBINATIONS)[: options.combinations]
    draw = random.Random(options.seed)
    chains: list[Chain] = []
    sizes: dict[str, dict[str, int]] = {}
    command = f"python -m experiments.reliability --kills {options.kills} --seed {options.seed}"
    with tempfile.TemporaryDirectory() as work:
        reference = Reference(Path(work))
        while (left := options.kills - sum(len(chain.kills) for chain in chains)) > 0:
            number = len(chains)
            chain = Chain(names[number % len(names)], options.seed + number // len(names) % 2)
            whole = reference.get(chain.combination, chain.seed)
            sizes.setdefault(chain.combination, measure(whole[0]))
            folder = Path(work) / f"run-{number}"
            run_chain(folder, whole, chain, min(KILLS_PER_RUN, left), draw)
            chains.append(chain)
            write(options.out, command, chains, sizes)
            print(f"{number}: {len(chain.kills)} kills {chain.differences or 'equal'}", flush=True)
            if not chain.differences:
                shutil.rmtree(folder)
    print(summary(chains))
    return int(any(chain.differences for chain in chains))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m experiments.reliability", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="how many runs to kill")
    parser.add_argument("--seed", type=int, default=0, help="draws the moments; the first seed")
    parser.add_argument("--combinations", type=int, default=len(COMBINATIONS), help="the first n")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of results")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
