"""How sparse each weight was while it trained, read back from a run's journal."""

from pathlib import Path
from typing import TypeAlias

from pruneplug.tracking.journal import last_run, values

CURVE_PREFIX = "sparsity/"

Curve: TypeAlias = list[tuple[int, float]]


def read_curves(journal: Path) -> dict[str, Curve]:
    """Collect the sparsities in a journal's last run.

    Args:
        journal: the journal's path.

    Returns:
        (step, sparsity) by weight, and by `total` for all of them, in the order in which they
        were logged.
    """
    curves: dict[str, Curve] = {}
    for entry in last_run(journal):
        if entry["type"] == "metrics":
            for key, value in values(entry).items():
                if key.startswith(CURVE_PREFIX):
                    points = curves.setdefault(key.removeprefix(CURVE_PREFIX), [])
                    points.append((entry["step"], value))
    return curves
