"""A choice is added by what it does, its settings and its values: no other file hears of it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

# Of each group: what is built, its settings, and its values.
ADDED = {
    "schedule": (
        """
class Late(ConstantSparsity):
    pass
""",
        """
@dataclass
class LateSettings(TimedSettings):
    def _build(self, final: float, planned: int) -> "FieldSchedule":
        from pruneplug.pruning.schedules.steps import Late
        return Late(final, *self.timing(planned))

SCHEDULES["late"] = LateSettings
""",
        "begin: 0.5\nend: null\nfrequency: 1",
    ),
    "policy": (
        """
class Late(SkipUnsupported):
    pass
""",
        """
@dataclass
class LateSettings(PolicySettings):
    def build(self) -> "PruningPolicy":
        from pruneplug.pruning.policies.rules import Late
        return Late()

POLICIES["late"] = LateSettings
""",
        "",
    ),
    "optimizer": (
        None,
        """
@dataclass
class LateSettings(OptimizerSettings):
    def build(self):
        import keras
        return keras.optimizers.Lion(self.learning_rate)

OPTIMIZERS["late"] = LateSettings
""",
        "learning_rate: 0.001",
    ),
    "model": (
        """
def late(input_shape, num_classes):
    return build(input_shape, num_classes, [4])
""",
        """
@dataclass
class LateSettings(ModelSettings):
    def _build(self, shape, classes):
        from pruneplug.command.models.mlp import late
        return late(shape, classes)

MODELS["late"] = LateSettings
""",
        "",
    ),
    "data": (
        """
def late(validation, seed):
    return load(validation, seed)
""",
        """
@dataclass
class LateSettings(DataSettings):
    def build(self, seed):
        from pruneplug.command.data.digits import late
        return late(self.validation, seed)

DATA_SETS["late"] = LateSettings
""",
        "validation: 0.4",
    ),
}
HOMES = {
    "schedule": "pruning/schedules/steps.py",
    "policy": "pruning/policies/rules.py",
    "model": "command/models/mlp.py",
    "data": "command/data/digits.py",
}


def _append(path: Path, text: str) -> None:
    path.write_text(f"{path.read_text()}\n{text}")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the project with one choice more in each group."""
    for name in ("pruneplug", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for group, (code, settings, values) in ADDED.items():
        if code is not None:
            _append(tmp_path / "pruneplug" / HOMES[group], code)
        _append(tmp_path / f"pruneplug/command/settings/{group}.py", settings)
        content = f"defaults:\n  - base_late\n  - _self_\nname: late\n{values}\n"
        (tmp_path / f"conf/{group}/late.yaml").write_text(content)
    return tmp_path


def test_what_is_added_can_be_chosen(tree: Path) -> None:
    places = [str(tree), str(tree / "pruneplug/command/plugins")]
    command = [
        sys.executable, "-m", "pruneplug.train", *(f"{group}=late" for group in ADDED),
        "trainer.epochs=1", "trainer.batch_size=256", "tracking=journal", "hydra.run.dir=run",
    ]  # fmt: skip

    def run(*more: str) -> str:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
        done = subprocess.run(
            [*command, *more], cwd=tree, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("--help").count(", late") >= len(ADDED) - 1
    run()
    assert (tree / "run/summary.json").exists()
    kept = (tree / "run/config.yaml").read_text()
    assert kept.count("name: late") == len(ADDED)
