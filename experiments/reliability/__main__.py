"""Kills runs again and again: `python -m experiments.reliability --kills 100`."""

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from experiments.reliability.chains import Chain, Reference, arguments, run_chain, trained
from experiments.reliability.compare import measure
from experiments.reliability.report import summary, write

KILLS_PER_RUN = 4


def main(given: list[str] | None = None) -> int:
    """Run the harness; return 0 if every run ended with the same bits."""
    options = _options(given)
    draw = random.Random(options.seed)
    every = trained(options.combinations, draw)
    names = list(every)
    chains: list[Chain] = []
    sizes: dict[str, dict[str, int]] = {}
    command = f"python -m experiments.reliability --kills {options.kills} --seed {options.seed}"
    with tempfile.TemporaryDirectory() as work:
        reference = Reference(Path(work))
        while (left := options.kills - sum(len(chain.kills) for chain in chains)) > 0:
            number = len(chains)
            chain = Chain(names[number % len(names)], options.seed + number // len(names) % 2)
            what = every[chain.combination]
            whole = reference.get(number % len(names), what, chain.seed)
            sizes.setdefault(chain.combination, measure(whole[0]))
            folder = Path(work) / f"run-{number}"
            start = arguments(what, chain.seed)
            run_chain(folder, whole, chain, start, min(KILLS_PER_RUN, left), draw)
            chains.append(chain)
            write(options.out, command, chains, sizes)
            print(f"{number}: {len(chain.kills)} kills {chain.differences or 'equal'}", flush=True)
            if not chain.differences:
                shutil.rmtree(folder)
    print(summary(chains))
    return int(any(chain.differences for chain in chains))


def _options(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m experiments.reliability", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="how many runs to kill")
    parser.add_argument("--seed", type=int, default=0, help="draws the moments; the first seed")
    parser.add_argument("--combinations", type=int, default=25, help="what is trained: so many")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of results")
    return parser.parse_args(given)


if __name__ == "__main__":
    sys.exit(main())
