"""Interleaved windows: what is compared runs in turn, so that a busy moment hits everyone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

Samples = dict[str, list[float]]


def seconds(action: Callable[[], object]) -> float:
    """Return how long one call takes."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def interleave(
    windows: Mapping[str, Callable[[], float]], rounds: int, warm_up: int = 1
) -> Samples:
    """Run every window once a round.

    Args:
        windows: By name; each runs its window and returns what it measured.
        rounds: How many of them count.
        warm_up: Rounds before them that do not.

    Returns:
        What each window returned, by name, a value for each round.
    """
    samples: Samples = {name: [] for name in windows}
    for number in range(warm_up + rounds):
        # The order turns round by round: nobody always runs behind the same neighbour.
        names = list(windows)[::-1] if number % 2 else list(windows)
        for name in names:
            value = windows[name]()
            if number >= warm_up:
                samples[name].append(value)
    return samples


def timed(actions: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1) -> Samples:
    """Return the seconds that each action takes, interleaved."""
    return interleave({name: _timer(action) for name, action in actions.items()}, rounds, warm_up)


def ratios(samples: Samples, above: str, below: str) -> list[float]:
    """Return one variant over another, round by round."""
    return [a / b for a, b in zip(samples[above], samples[below], strict=True)]


def differences(samples: Samples, more: str, less: str) -> list[float]:
    """Return one variant minus another, round by round."""
    return [a - b for a, b in zip(samples[more], samples[less], strict=True)]


def fastest(samples: Samples, names: Sequence[str]) -> str:
    """Return the name with the smallest median."""
    return min(names, key=lambda name: float(np.median(samples[name])))


def scaled(samples: Samples, factor: float, unit: str) -> Samples:
    """Return the samples in another unit, which their names then tell."""
    return {f"{name} [{unit}]": [v * factor for v in values] for name, values in samples.items()}


def _timer(action: Callable[[], object]) -> Callable[[], float]:
    return lambda: seconds(action)
