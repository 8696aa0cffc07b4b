from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from pruneplug import builders
from pruneplug.schedules import ConstantSparsity, PolynomialDecay
from pruneplug.settings import Settings, config_folder, read_settings, register_schemas
from pruneplug.tracking import Journal, NullTracker


def settings(*overrides: str) -> Settings:
    register_schemas()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return read_settings(compose("config", list(overrides)))


def test_a_small_last_batch_is_a_step() -> None:
    chosen = settings("trainer.epochs=3", "trainer.batch_size=32")
    assert builders.planned_steps(chosen, 64) == 6
    assert builders.planned_steps(chosen, 65) == 9


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], PolynomialDecay(0.0, 0.8, 100, 700, 3.0, 12)),
        (["sparsity=0.5", "schedule.power=1.0"], PolynomialDecay(0.0, 0.5, 100, 700, 1.0, 12)),
        (["sparsity=0"], PolynomialDecay(0.0, 0.0, 100, 700, 3.0, 12)),
        (["schedule=constant"], ConstantSparsity(0.8, 100, 700, 12)),
        (["schedule=constant", "schedule.end=null"], ConstantSparsity(0.8, 100, 1000, 18)),
        (["schedule=constant", "schedule.begin=7"], ConstantSparsity(0.8, 7, 700, 13)),
        (["schedule=constant", "schedule.begin=1.0", "schedule.end=1.0"],
         ConstantSparsity(0.8, 1000, 1000, 1)),
        (["schedule=constant", "schedule.frequency=0.05"], ConstantSparsity(0.8, 100, 700, 50)),
        (["schedule=constant", "schedule.frequency=5"], ConstantSparsity(0.8, 100, 700, 5)),
    ],
)  # fmt: skip
def test_fractions_become_steps(
    overrides: list[str], expected: ConstantSparsity | PolynomialDecay
) -> None:
    assert builders.build_schedule(settings(*overrides), 1000) == expected


@pytest.mark.parametrize(("planned", "frequency"), [(40, 1), (1000, 12), (100_000, 100)])
def test_the_automatic_frequency_stays_in_its_bounds(planned: int, frequency: int) -> None:
    schedule = builders.build_schedule(settings("schedule=constant"), planned)
    assert isinstance(schedule, ConstantSparsity)
    assert schedule.frequency == frequency


@pytest.mark.parametrize(
    "overrides",
    [
        ["schedule.begin=0.8", "schedule.end=0.5"],
        ["schedule.begin=800"],
        ["schedule=constant", "schedule.begin=5000", "schedule.end=9000"],
        ["schedule=constant", "schedule.begin=0", "schedule.frequency=2000"],
        ["schedule.begin=1001", "schedule.end=2000"],
    ],
)
def test_a_schedule_that_cannot_work_is_refused(overrides: list[str]) -> None:
    with pytest.raises(ValueError, match=r"schedule\.begin"):
        builders.build_schedule(settings(*overrides), 1000)


@pytest.mark.parametrize("name", sorted(builders.OPTIMIZERS))
def test_every_optimizer_gets_its_settings(name: str) -> None:
    optimizer = builders.build_optimizer(settings(f"optimizer={name}"))
    assert type(optimizer).__name__.lower() == name
    chosen = settings(f"optimizer={name}").optimizer.learning_rate
    assert float(optimizer.learning_rate.numpy()) == pytest.approx(chosen)


def test_every_tracker(tmp_path: Path) -> None:
    none = builders.build_tracker(settings("tracking=none"), tmp_path, "run")
    assert isinstance(none, NullTracker)
    assert not list(tmp_path.iterdir())
    journal = builders.build_tracker(settings("tracking=journal"), tmp_path, "run")
    assert isinstance(journal, Journal)
    uri = f"sqlite:///{tmp_path}/m.db"
    mlflow = builders.build_tracker(settings(f"tracking.uri={uri}"), tmp_path, "run")
    assert mlflow.describe()["tracking_uri"] == uri
