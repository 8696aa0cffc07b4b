"""Runs the command in this process."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pruneplug.command.main import main

LOGGING = "hydra._internal.logging_config.configure_logging"


@contextmanager
def _in(folder: Path) -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        # Configuring logging closes every handler there is; absl's takes pytest's stderr with it.
        patch.setattr(LOGGING, lambda config: None)
        yield patch


def run_command(folder: Path, *arguments: str) -> object:
    """Run the command with a folder as its working directory, and return its exit code."""
    with _in(folder) as patch:
        patch.setattr(sys, "argv", ["pruneplug-train", *arguments])
        with pytest.raises(SystemExit) as ending:
            main()
    return ending.value.code


def write_tiny_data(path: Path) -> None:
    """Write images whose training part makes two batches of 32."""
    generator = np.random.default_rng(0)
    x, y = generator.random((60, 4, 4, 1), np.float32), np.arange(60) % 3
    np.savez(path, x_train=x, y_train=y, x_test=x[:9], y_test=y[:9])
