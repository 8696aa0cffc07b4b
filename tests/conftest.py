"""Set up the process before TensorFlow is imported, and every test's random state."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

# TFMOT sets TF_USE_LEGACY_KERAS on import; Keras 3 must be loaded before a parity test does that.
import keras
import pytest


@pytest.fixture(autouse=True)
def _fresh_keras() -> None:
    """Give every test the same seeds, and layer names that start from `dense` again."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
