"""Measures one family of figures: what a child process runs.

Usage: python -m experiments.benchmarks.family NAME quick|full OUT.json
"""

from __future__ import annotations

import os

# Before TensorFlow is loaded: no GPU, no log lines between the results.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import sys
from importlib import import_module
from pathlib import Path

import keras  # before TFMOT, which sets TF_USE_LEGACY_KERAS

from .effort import EFFORTS


def main(name: str, effort: str, out: Path) -> None:
    """Measure, and write the results as JSON."""
    keras.utils.set_random_seed(0)
    module = import_module(f"{__package__}.families.{name}")
    out.write_text(json.dumps(module.measure(EFFORTS[effort]).to_dict()))
    # Trainings that wait for a turn that will not come hold no one up.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
