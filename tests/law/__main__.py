"""`make fuzz`: as many combinations and users as fit into some minutes; stops at a failure."""

import argparse
import random
import time
import warnings

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from law.combinations import combinations, drawn
from law.machine import UserMachine


def main() -> None:
    """Run both, half of the time each, and print what was run."""
    parser = argparse.ArgumentParser(prog="python -m law", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    half = 30 * options.minutes
    print(f"{len(combinations())} combinations, drawn with seed {options.seed}", flush=True)
    begin, count = time.monotonic(), 0
    for combination in drawn(options.seed):
        if time.monotonic() - begin > half:
            break
        try:
            combination.run()
        except BaseException:
            print(f"failed: {combination}", flush=True)
            raise
        count += 1
    print(f"{count} combinations ran, and the law held in each", flush=True)
    begin, users = time.monotonic(), 0
    often = settings(
        max_examples=10,
        stateful_step_count=12,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    while time.monotonic() - begin < half:
        run_state_machine_as_test(UserMachine, settings=often)
        users += 10
    print(f"{users} users did as they liked, and the law held for each", flush=True)


if __name__ == "__main__":
    main()
