"""Every experiment composes, validates and runs two steps."""

import json
from pathlib import Path
from typing import Any

import keras
import pytest
from cli import run_command, write_tiny_data
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from pruneplug.command.settings import config_folder, read_settings, register_schemas

# The versions of optuna and its parts that the sweeper takes warn of each other.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

PRESETS = sorted(path.stem for path in (config_folder() / "experiment").glob("*.yaml"))
# What a preset needs to be given, and fewer jobs than it would run by itself.
GIVEN = {
    "finetune_pretrained": ["model.path=own.keras"],
    "optuna": ["hydra.sweeper.n_trials=2"],
    "sweep_blocks": ["block=none,4x4", "sparsity=0.8"],
    "sweep_sparsity": ["sparsity=0,0.8"],
}
SWEEPS = {"sweep_sparsity", "sweep_blocks", "optuna"}


def composed(preset: str, *overrides: str) -> DictConfig:
    register_schemas()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        words = [f"experiment={preset}", *overrides]
        return compose("config", words, return_hydra_config=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with a tiny data set and a model for it."""
    write_tiny_data(tmp_path / "tiny.npz")
    layers = [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3, name="logits")]
    keras.Sequential(layers).save(tmp_path / "own.keras")
    return tmp_path


def summaries(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.rglob("summary.json"))]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_runs_two_steps(preset: str, folder: Path) -> None:
    size = [] if preset == "finetune_pretrained" else ["model.hidden=[8]"]
    tiny = ["data=npz", "data.path=tiny.npz", "trainer.epochs=1", "tracking=journal", *size]
    places = ["hydra.run.dir=run", "hydra.sweep.dir=run"]
    arguments = [f"experiment={preset}", *tiny, *places, *GIVEN.get(preset, [])]
    assert run_command(folder, *arguments) == 0
    done = summaries(folder / "run")
    assert len(done) == (2 if preset in SWEEPS else 1)
    assert all(summary["steps"] == 2 for summary in done)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_says_itself_whether_it_sweeps(preset: str) -> None:
    given = [word for word in GIVEN.get(preset, []) if "," not in word]
    hydra = composed(preset, *given).hydra
    assert (str(hydra.mode) == "RunMode.MULTIRUN") == (preset in SWEEPS)


def test_the_sparsity_sweep_has_the_dense_baseline() -> None:
    params = composed("sweep_sparsity").hydra.sweeper.params
    assert params.sparsity.split(",") == ["0", "0.5", "0.8", "0.9", "0.95"]


def test_two_of_four_zeros_two_of_four(folder: Path) -> None:
    arguments = ["data=npz", "data.path=tiny.npz", "trainer.epochs=1", "tracking=none"]
    preset = ["experiment=two_of_four", "model.hidden=[8]", "hydra.run.dir=run"]
    assert run_command(folder, *preset, *arguments) == 0
    model = keras.saving.load_model(folder / "run" / "model.keras")
    kernel = keras.ops.convert_to_numpy(model.get_layer("hidden_1").kernel)
    assert ((kernel.reshape(4, 4, 8) == 0).sum(axis=1) >= 2).all()


def test_fine_tuning_prunes_the_given_model() -> None:
    config = composed("finetune_pretrained", "model.path=own.keras")
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    settings = read_settings(config)
    assert settings.model.name == "saved"
    assert settings.optimizer.learning_rate == 1e-4
