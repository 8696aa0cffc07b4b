"""What a run can be recognised by: its settings, and the state of the code around it."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

from pruneplug.command.flat_settings import decisive
from pruneplug.command.settings import Settings


def config_hash(settings: Settings) -> str:
    """Return 16 hexadecimal digits that are equal for settings which compute the same.

    Where metrics go, and from what a run is resumed, make no difference; nor does the shape in
    which nothing is pruned, so that a sweep over shapes trains the dense baseline once.
    """
    counted = decisive(settings.flat())
    if _dense(settings):
        counted = {name: value for name, value in counted.items() if not name.startswith("block.")}
    text = json.dumps(counted, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _dense(settings: Settings) -> bool:
    """Return whether nothing is pruned at any time."""
    initial = getattr(settings.schedule, "initial", 0)
    scanned, chosen = settings.sensitivity.sparsities, settings.allocation.overrides
    return not (settings.sparsity or initial or scanned or chosen)


def git_commit(folder: Path) -> str | None:
    """Return the commit that is checked out around a folder, None outside of a repository."""
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
