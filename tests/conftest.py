"""Set up the process before TensorFlow is imported, and every test's random state."""

import os
import signal
from collections.abc import Callable, Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

# TFMOT sets TF_USE_LEGACY_KERAS on import; Keras 3 must be loaded before a parity test does that.
import keras
import pytest
from places import ROOT, TESTS

# The parity tests record under this name how often they compared pruneplug with TFMOT.
COMPARED = "compared with TFMOT"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the files that take longest, which `make check` leaves out."""
    slow = {ROOT / name for name in (TESTS / "slow.txt").read_text().split()}
    for item in items:
        if item.path in slow:
            item.add_marker("slow")


def pytest_collection_finish() -> None:
    """Take back what importing TFMOT has set: MLflow would take Keras 3 models for unknown ones."""
    os.environ.pop("TF_USE_LEGACY_KERAS", None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was compared, over all workers."""
    passed = [r for r in terminalreporter.getreports("passed") if r.when == "call"]
    counts = [count for r in passed for name, count in r.user_properties if name == COMPARED]
    if counts:
        terminalreporter.write_line(f"{COMPARED}: {sum(counts)} cases in {len(counts)} tests")


@pytest.fixture
def compared(record_property: Callable[[str, object], None]) -> Callable[[int], None]:
    """Record how many cases a test has compared with the reference."""
    return lambda count: record_property(COMPARED, count)


@pytest.fixture(autouse=True)
def _fresh_keras() -> None:
    """Give every test the same seeds, and layer names that start from `dense` again."""
    # Collecting garbage takes most of a second with TensorFlow loaded, and there are many tests.
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """Undo what a test leaves in the environment, as mlflow.set_tracking_uri does."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(autouse=True)
def _interrupts() -> None:
    """Let SIGINT interrupt: a shell's background jobs are started with it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
