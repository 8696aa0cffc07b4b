"""What a run does besides training, where its settings ask for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pruneplug.command.folder import MLFLOW_MODEL
from pruneplug.command.settings import Settings
from pruneplug.command.settings.tracking import MlflowSettings
from pruneplug.tracking import Tracker
from pruneplug.tracking.system import SystemMeter

if TYPE_CHECKING:
    import keras

    from pruneplug.command.data import Splits

_EXAMPLES = 2  # inputs that show what a served model takes


def log_model(
    settings: Settings, model: keras.Model, splits: Splits, folder: Path, tracker: Tracker
) -> None:
    """Write the stripped model for MLflow, and let it be sent like any other file."""
    tracking, target = settings.tracking, folder / MLFLOW_MODEL
    if isinstance(tracking, MlflowSettings) and tracking.log_model:
        from pruneplug.tracking.mlflow.model import save_model

        if save_model(model, splits.validation.x[:_EXAMPLES], target):
            tracker.log_artifact(target, "model")


def measure_system(
    settings: Settings, model: keras.Model, tracker: Tracker
) -> list[keras.callbacks.Callback]:
    """Return the callback that records CPU and memory use, if it is wanted."""
    import keras

    if not (isinstance(settings.tracking, MlflowSettings) and settings.tracking.system_metrics):
        return []
    meter = SystemMeter()

    def record(epoch: int, logs: Any = None) -> None:
        tracker.log_metrics(meter.measure(), int(model.optimizer.iterations))

    return [keras.callbacks.LambdaCallback(on_epoch_end=record)]


def scan_weights(
    settings: Settings,
    pruned: keras.Model,
    trained: keras.Model,
    splits: Splits,
    folder: Path,
    tracker: Tracker,
) -> None:
    """Prune each weight alone, and say what it costs; the trained model ends as it was."""
    from pruneplug.command.sensitivity import candidates, scan, write_scan
    from pruneplug.command.sensitivity.scan import accuracy_on

    wanted = settings.sensitivity
    accuracy = accuracy_on(trained, *splits.validation)
    result = scan(candidates(pruned), wanted.sparsities, accuracy)
    for path in write_scan(result, wanted.tolerance, folder):
        tracker.log_artifact(path)
