"""The result of the kills as a table and as data."""

import json
import os
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from experiments.reliability.chains import Chain
from experiments.reliability.layer import KINDS
from experiments.reliability.phases import PHASES
from experiments.reliability.runs import Kill

KILLS, POINTS = "results.json", "points.jsonl"
LIBRARIES = ("keras", "tensorflow", "numpy")


def write(
    folder: Path, command: str, chains: Sequence[Chain], sizes: dict[str, dict[str, int]]
) -> None:
    """Write results.md and results.json.

    Args:
        folder: Where to.
        command: What was run.
        chains: All of them so far.
        sizes: What was compared, by combination.
    """
    folder.mkdir(parents=True, exist_ok=True)
    machine = {
        "cpu": f"{platform.machine()}, {os.cpu_count()} cores",
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
    }
    data = {
        "command": command,
        "machine": machine,
        "compared": sizes,
        "chains": [asdict(chain) for chain in chains],
    }
    (folder / KILLS).write_text(json.dumps(data, indent=1) + "\n")
    render(folder)


def render(folder: Path) -> None:
    """Write results.md from what was measured, now or before."""
    lines = ["# Killed runs end with the same bits", ""]
    if (folder / KILLS).exists():
        data = json.loads((folder / KILLS).read_text())
        chains = [Chain(**{**c, "kills": [Kill(**k) for k in c["kills"]]}) for c in data["chains"]]
        lines += _lines(data["command"], data["machine"], chains, data["compared"])
    if (folder / POINTS).exists():
        rows = [json.loads(line) for line in (folder / POINTS).read_text().splitlines()]
        lines += _point_lines(rows)
    (folder / "results.md").write_text("\n".join(lines) + "\n")


def summary(chains: Sequence[Chain]) -> str:
    """Say in one line how many kills ended with the same bits."""
    kills = sum(len(chain.kills) for chain in chains)
    equal = sum(len(chain.kills) for chain in chains if not chain.differences)
    return f"{equal} of {kills} kills: the run that resumed ended bit-equal."


def _lines(
    command: str, machine: dict[str, str], chains: Sequence[Chain], sizes: dict[str, dict[str, int]]
) -> list[str]:
    lines = [
        f"**{summary(chains)}**",
        "",
        f"    {command}",
        "",
        "; ".join(f"{name}: {value}" for name, value in machine.items()),
        "",
        "Each kill is a `kill -9` of a run: of the command (the first four), or of a training "
        "whose model, optimizer, schedule, pattern, data, callbacks and checkpoints the seed has "
        "drawn. A run is killed up to four times, started again in the same way each time, and "
        "compared at its end with a run of the same seed that was never touched: all arrays of "
        "the final checkpoint (model, masks, thresholds, optimizer, metrics, random states), every "
        "point of every metric, and the results. The columns count the kills by what the run was "
        "doing when it died.",
        "",
        f"| combination | seeds | runs | kills | {' | '.join(PHASES)} | arrays (values) | points "
        "| equal kills |",
        "|---" * (len(PHASES) + 7) + "|",
    ]
    for combination in sizes:
        own = [chain for chain in chains if chain.combination == combination]
        lines.append(_row(combination, own, sizes[combination]))
    lines += [f"- {c.combination}, seed {c.seed}: {c.differences}" for c in chains if c.differences]
    return lines


def _point_lines(trials: Sequence[dict[str, Any]]) -> list[str]:
    equal = sum(not trial["lost"] for trial in trials)
    points = {trial["point"] for trial in trials}
    lines = [
        "",
        "## Every change of a run's files",
        "",
        f"**{equal} of {len(trials)} faults at {len(points)} points: the same command, given "
        "again, ended bit-equal.**",
        "",
        "    python -m experiments.reliability.points",
        "",
        "A short run is recorded with all the changes that it makes to its folder. At each of "
        "them, before and behind, a run is killed (`kill`), and loses its power (`cut`: what was "
        "not synced is gone); each call fails once (`ENOSPC`, `EIO`), or it and all later ones do "
        "(`EROFS`). A cell counts what ended bit-equal, of what was tried.",
        "",
        f"| change | {' | '.join(KINDS)} |",
        "|---" * (len(KINDS) + 1) + "|",
    ]
    for change in sorted({point.partition(" ")[0] for point in points}):
        own = [trial for trial in trials if trial["point"].partition(" ")[0] == change]
        cells = [_cell([trial for trial in own if trial["kind"] == kind]) for kind in KINDS]
        lines.append(f"| {change} | {' | '.join(cells)} |")
    lines += [f"- {t['kind']} at `{t['point']}`: {t['lost']}" for t in trials if t["lost"]]
    return lines


def _cell(trials: Sequence[dict[str, Any]]) -> str:
    return f"{sum(not trial['lost'] for trial in trials)} of {len(trials)}" if trials else "-"


def _row(combination: str, chains: Sequence[Chain], size: dict[str, int]) -> str:
    kills = [kill for chain in chains for kill in chain.kills]
    hit = Counter(kill.hit for kill in kills)
    equal = sum(len(chain.kills) for chain in chains if not chain.differences)
    seeds = sorted({chain.seed for chain in chains})
    cells = [
        combination,
        ", ".join(map(str, seeds)),
        len(chains),
        len(kills),
        *(hit[phase] for phase in PHASES),
        f"{size['arrays']} ({size['values']:,})",
        size["points"],
        f"{equal} of {len(kills)}",
    ]
    return "| " + " | ".join(map(str, cells)) + " |"
