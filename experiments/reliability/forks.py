"""Runs of the command in processes that need not import everything first."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from experiments.reliability.layer import Layer

_LIMIT = 600.0


def load() -> None:
    """Import what a run imports, and do nothing with it: TensorFlow's threads survive no fork."""
    import matplotlib.figure
    import tensorflow

    import pruneplug.command.job
    import pruneplug.data
    import pruneplug.export
    import pruneplug.models
    import pruneplug.tracking.mlflow
    import pruneplug.train
    import pruneplug.training

    assert all((matplotlib.figure, tensorflow, pruneplug.train))


def run(
    folder: Path,
    settings: Sequence[str],
    seen: Path | None = None,
    point: str | None = None,
    kind: str = "kill",
) -> tuple[int, str]:
    """Run the command in a folder, under a layer.

    Args:
        folder: The run folder, which the layer watches.
        settings: As on the command line.
        seen: A file that gets the names of all points.
        point: Where it fails; None for nowhere.
        kind: How; see `Layer`.

    Returns:
        The exit code, below 0 for a signal, and what was said.
    """
    output = folder.with_suffix(".out")
    child = os.fork()
    if child == 0:
        _command(folder, settings, output, Layer(folder, seen, point, kind))
    deadline = time.monotonic() + _LIMIT
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), output.read_text()
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)


def _command(folder: Path, settings: Sequence[str], output: Path, layer: Layer) -> None:
    """Become the command; does not return."""
    from pruneplug.command import main as train

    code = 70
    try:
        os.chdir(folder.parent)
        said = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(said, stream)
        sys.argv = ["pruneplug-train", *settings, f"hydra.run.dir={folder}"]
        layer.install()
        train.main()
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
