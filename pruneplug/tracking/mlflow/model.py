"""A model in MLflow's own format, in a local folder: what is sent later is an artifact like any."""

import contextlib
import io
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_logger = logging.getLogger(__name__)


def save_model(model: Any, sample: Any, folder: Path) -> bool:
    """Write a Keras model with its signature and an input example.

    `mlflow.tensorflow.load_model` gives the model back; `mlflow models serve` and pyfunc answer
    requests with it. Like all of tracking it never raises into training.

    Args:
        model: the model.
        sample: a few inputs, batch first.
        folder: where to; what is there is replaced.

    Returns:
        Whether it was written. If not, a warning says why.
    """
    try:
        _save(model, sample, folder)
    except Exception as problem:  # whatever MLflow, Keras or the disk come up with
        shutil.rmtree(folder, ignore_errors=True)
        _logger.warning("%s was not written for MLflow (%s).", folder, problem)
        return False
    return True


def _save(model: Any, sample: Any, folder: Path) -> None:
    from importlib.metadata import version

    import mlflow.tensorflow
    from mlflow.models import infer_signature

    # Given, because finding them out would take MLflow a process of its own and 6 seconds.
    needed = [f"{package}=={version(package)}" for package in ("tensorflow", "keras", "numpy")]
    shutil.rmtree(folder, ignore_errors=True)
    with _quiet():
        signature = infer_signature(sample, model.predict_on_batch(sample))
        mlflow.tensorflow.save_model(
            model,
            path=str(folder),
            signature=signature,
            input_example=sample,
            pip_requirements=needed,
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide what predicting says: Keras' progress bar, TensorFlow's surprise at many models."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
