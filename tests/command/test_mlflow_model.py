"""The model that MLflow holds: it loads, it is served, and no outage loses it."""

from pathlib import Path

import keras
import numpy as np
import pytest
from cli import run_command, write_tiny_data

from pruneplug.tracking.mlflow import sync
from pruneplug.tracking.mlflow.model import save_model
from pruneplug.tracking.system import SystemMeter

# What MLflow's own parts warn of each other.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

TINY = ["data=npz", "data.path=tiny.npz", "trainer.epochs=2", "model.hidden=[8]"]
TINY += ["hydra.run.dir=run"]


def run_id_in(store: Path) -> str:
    from mlflow import MlflowClient

    (run,) = MlflowClient(f"sqlite:///{store}").search_runs(["1"])
    return str(run.info.run_id)


def test_the_model_loads_and_answers(tmp_path: Path) -> None:
    import mlflow
    import mlflow.tensorflow

    write_tiny_data(tmp_path / "tiny.npz")
    assert run_command(tmp_path, *TINY, "tracking.system_metrics=true") == 0
    store = tmp_path / "mlflow.db"
    uri, run_id = f"runs:/{run_id_in(store)}/model", run_id_in(store)
    previous = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    try:
        loaded = mlflow.tensorflow.load_model(uri)
        served = mlflow.pyfunc.load_model(uri)
        run = mlflow.MlflowClient().get_run(run_id)
    finally:
        mlflow.set_tracking_uri(previous)
    x = np.random.default_rng(0).random((5, 4, 4, 1), np.float32)
    expected = keras.saving.load_model(tmp_path / "run" / "model.keras").predict(x, verbose=0)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), expected)
    np.testing.assert_allclose(served.predict(x), expected, rtol=1e-6)
    assert served.metadata.signature.inputs.inputs[0].shape == (-1, 4, 4, 1)
    assert np.asarray(served.input_example).shape == (2, 4, 4, 1)
    assert run.data.metrics["system/process_peak_memory_mb"] > 10


def test_an_outage_does_not_lose_it(tmp_path: Path) -> None:
    write_tiny_data(tmp_path / "tiny.npz")
    nowhere = "tracking.uri=http://127.0.0.1:9"
    assert run_command(tmp_path, *TINY, nowhere) == 0
    assert (tmp_path / "run" / "mlflow_model" / "MLmodel").exists()
    store = tmp_path / "back.db"
    assert sync(tmp_path / "run" / "journal.jsonl", f"sqlite:///{store}") == ""
    assert list(tmp_path.rglob(f"{run_id_in(store)}/artifacts/model/MLmodel"))


def test_it_can_be_left_out(tmp_path: Path) -> None:
    write_tiny_data(tmp_path / "tiny.npz")
    assert run_command(tmp_path, *TINY, "tracking.log_model=false") == 0
    assert not (tmp_path / "run" / "mlflow_model").exists()
    assert not list(tmp_path.rglob("MLmodel"))


def test_a_failure_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    assert not save_model(model, np.zeros((2, 99), np.float32), tmp_path / "model")
    assert "was not written for MLflow" in caplog.text
    assert not (tmp_path / "model").exists()


def test_a_meter_measures_since_the_last_time() -> None:
    meter = SystemMeter()
    sum(i * i for i in range(300_000))
    measured = meter.measure()
    assert 0 < measured["system/process_cpu_percentage"] < 10_000
    assert measured["system/process_peak_memory_mb"] > 10
