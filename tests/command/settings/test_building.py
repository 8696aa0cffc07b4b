import re
import warnings
from pathlib import Path

import keras
import pytest
from hydra import compose, initialize_config_dir
from mlflow import MlflowClient

from pruneplug.command.folder import JOURNAL
from pruneplug.command.models import cnn, mlp
from pruneplug.command.pruned_network import prune
from pruneplug.command.settings import Settings, config_folder, read_settings, register_schemas
from pruneplug.command.settings.optimizer import OPTIMIZERS
from pruneplug.pruning.inspection import sparsity_report
from pruneplug.pruning.pruner import Pruner
from pruneplug.pruning.schedules import (
    ConstantSparsity,
    CosineSparsity,
    ExponentialSparsity,
    LinearSparsity,
    MultiStepSparsity,
    OneShotSparsity,
    PolynomialDecay,
    PruningSchedule,
)
from pruneplug.pruning.wrapper import pruned_layers
from pruneplug.tracking import Journal, NullTracker, Tracker


def settings(*overrides: str) -> Settings:
    register_schemas()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return read_settings(compose("config", list(overrides)))


def test_a_small_last_batch_is_a_step() -> None:
    chosen = settings("trainer.epochs=3", "trainer.batch_size=32")
    assert chosen.trainer.planned_steps(64) == 6
    assert chosen.trainer.planned_steps(65) == 9


@pytest.mark.parametrize(("examples", "expected"), [(1_000, 40), (54_000, 10), (10**6, 1)])
def test_more_examples_take_fewer_epochs(examples: int, expected: int) -> None:
    assert settings("trainer.batch_size=32").trainer.planned_epochs(examples) == expected


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
        (["schedule=linear"], LinearSparsity(0.0, 0.8, 100, 700, 12)),
        (["schedule=exponential", "schedule.initial=0.2"],
         ExponentialSparsity(0.2, 0.8, 100, 700, 12)),
        (["schedule=cosine", "schedule.end=500"], CosineSparsity(0.0, 0.8, 100, 500, 8)),
        (["schedule=one_shot"], OneShotSparsity(0.8, 300)),
        (["schedule=one_shot", "schedule.step=7"], OneShotSparsity(0.8, 7)),
        (["schedule=multi_step", "schedule.steps=[10,0.5]", "schedule.shares=[0.5,1]"],
         MultiStepSparsity([0.4, 0.8], [10, 500])),
        (["block=2of4", "sparsity=0.5"], PolynomialDecay(0.0, 0.5, 100, 700, 3.0, 12)),
        (["block=2of4", "sparsity=0.25"], PolynomialDecay(0.0, 0.25, 100, 700, 3.0, 12)),
        (["schedule=constant", "schedule.frequency=0.05"], ConstantSparsity(0.8, 100, 700, 50)),
        (["schedule=constant", "schedule.frequency=5"], ConstantSparsity(0.8, 100, 700, 5)),
    ],
)  # fmt: skip
def test_fractions_become_steps(overrides: list[str], expected: PruningSchedule) -> None:
    assert settings(*overrides).build_schedule(1000) == expected


@pytest.mark.parametrize(("planned", "frequency"), [(40, 1), (1000, 12), (100_000, 100)])
def test_the_automatic_frequency_stays_in_its_bounds(planned: int, frequency: int) -> None:
    schedule = settings("schedule=constant").build_schedule(planned)
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
        settings(*overrides).build_schedule(1000)


@pytest.mark.parametrize("schedule", ["linear", "polynomial"])
def test_a_sparsity_does_not_fall(schedule: str) -> None:
    given = [f"schedule={schedule}", "schedule.initial=0.5"]
    with pytest.raises(ValueError, match=r"schedule\.initial=0\.5, sparsity=0\.4"):
        settings(*given, "sparsity=0.4").build_schedule(1000)
    dense = settings(*given, "sparsity=0").build_schedule(1000)
    assert [dense.sparsity(step) for step in (1, 100, 1000)] == [0.0] * 3


@pytest.mark.parametrize(
    ("words", "step"),
    [("one_shot schedule.step=1", 1), ("multi_step schedule.steps=[1] schedule.shares=[1]", 1),
     ("one_shot schedule.step=1.0", 1000)],
)  # fmt: skip
def test_the_first_step_is_told_from_the_end(words: str, step: int) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        schedule = settings(*f"schedule={words}".split()).build_schedule(1000)
    assert list(schedule.due_steps(0, 1000)) == [step]
    assert ["the first step of the training" in str(w.message) for w in said] == [True] * (
        step == 1
    )


def test_more_sparsity_than_groups_have_is_said() -> None:
    with pytest.warns(UserWarning, match=r"prunes to 0\.5, less than the sparsity=0\.9"):
        schedule = settings("block=2of4", "sparsity=0.9").build_schedule(1000)
    assert schedule.target == 0.5


@pytest.mark.parametrize(
    "words",
    ["policy=keep_ends", "policy=skip block.size=[2,2]", "policy=by_name policy.only=[pool*]"],
)
def test_nothing_to_prune_is_refused(words: str) -> None:
    model = cnn.build((8, 8, 1), 10, filters=[2], hidden=4)
    model = keras.Sequential([model.get_layer("conv_1"), model.get_layer("pool_1")])
    model.build((None, 8, 8, 1))
    with pytest.raises(ValueError, match=r"must have weights to prune; got none \(conv_1: "):
        prune(settings(*words.split()), model, OneShotSparsity(0.5, 1))
    chosen = settings(*words.split(), "sparsity=0")
    assert prune(chosen, model, OneShotSparsity(0.0, 1)).layers


@pytest.mark.parametrize(
    ("words", "reach"),
    [
        ("sparsity=0.8", None),
        ("block.size=[4,4] sparsity=0.75", None),
        ("block.size=[64,64] sparsity=0.8", r"0\.8, and these layers can only come to 0\.0"),
        ("block=2of4 sparsity=0.3", r"0\.3, and these layers can only come to 0\.25"),
    ],
)
def test_what_cannot_be_reached_is_said_before_training(words: str, reach: str | None) -> None:
    chosen = settings(*words.split())
    schedule = chosen.build_schedule(100)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        prune(chosen, mlp.build((16,), 4, hidden=[32]), schedule)
    assert len(said) == (reach is not None)
    assert all(re.search(str(reach), str(warning.message)) for warning in said)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_gets_its_settings(name: str) -> None:
    optimizer = settings(f"optimizer={name}").optimizer.build()
    assert type(optimizer).__name__.lower() == name
    chosen = settings(f"optimizer={name}").optimizer.learning_rate
    assert float(optimizer.learning_rate.numpy()) == pytest.approx(chosen)


def build_tracker(chosen: Settings, folder: Path) -> Tracker:
    return chosen.tracking.build(folder / JOURNAL, "run", resume=True)


def test_every_tracker(tmp_path: Path) -> None:
    none = build_tracker(settings("tracking=none"), tmp_path)
    assert isinstance(none, NullTracker)
    assert not list(tmp_path.iterdir())
    journal = build_tracker(settings("tracking=journal"), tmp_path)
    assert isinstance(journal, Journal)
    uri = f"sqlite:///{tmp_path}/m.db"
    mlflow = build_tracker(settings(f"tracking.uri={uri}"), tmp_path)
    assert mlflow.describe()["tracking_uri"] == uri


@pytest.mark.filterwarnings("default")  # MLflow's own
def test_a_run_goes_to_the_experiment_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of the environment")
    given = [f"tracking.uri=sqlite:///{tmp_path}/m.db"]
    for name, words in (
        ("of the environment", given),
        ("own", [*given, "tracking.experiment=own"]),
    ):
        tracker = build_tracker(settings(*words), tmp_path / name)
        tracker.start({}, {})
        tracker.finish("FINISHED")
        (start, *_) = Journal.read(tmp_path / name / JOURNAL)
        assert start["experiment"] == name
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/m.db")
    assert {"of the environment", "own"} <= {e.name for e in client.search_experiments()}


@pytest.mark.parametrize("name", ["uniform", "global", "erk"])
def test_every_allocation_meets_the_total(name: str) -> None:
    chosen = settings(f"allocation={name}", "allocation.overrides={hidden_1:0.9}")
    schedule = chosen.build_schedule(100)
    pruned = prune(chosen, mlp.build((64,), 10, hidden=[32, 16]), schedule)
    pruner = Pruner(pruned)
    pruner.start()
    while pruner.advance() is None or not pruner.target_reached():
        assert pruner.step < 100
    found = {weight.name: weight.sparsity for weight in pruner.weights()}
    assert found["hidden_1/kernel"] == pytest.approx(0.9, abs=1e-3)
    total = 1 - sum(w.kept for w in pruner.weights()) / sum(w.size for w in pruner.weights())
    assert total == pytest.approx(0.8, abs=1e-3)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [("{nosuch*:0.5}", "must name pruned layers.*nosuch"), ("{hidden_1:0.0}", "leave room")],
)
def test_overrides_that_cannot_work_are_refused(overrides: str, message: str) -> None:
    chosen = settings(f"allocation.overrides={overrides}", "sparsity=0.95")
    model = mlp.build((64,), 10, hidden=[32])
    with pytest.raises(ValueError, match=message):
        prune(chosen, model, chosen.build_schedule(100))


@pytest.mark.parametrize(
    ("choice", "pruned"),
    [
        (["policy=all"], ["hidden_1", "hidden_2", "predictions"]),
        (["policy=keep_ends"], ["hidden_2"]),
        (["policy=keep_ends", "policy.first=false"], ["hidden_1", "hidden_2"]),
        (["policy=by_name", "policy.only=[hidden*]"], ["hidden_1", "hidden_2"]),
        (["policy=by_name", "policy.exclude=[hidden_1]"], ["hidden_2", "predictions"]),
    ],
)
def test_every_policy_chooses(choice: list[str], pruned: list[str]) -> None:
    chosen = settings(*choice)
    model = mlp.build((64,), 10, hidden=[32, 16])
    wrapped = prune(chosen, model, chosen.build_schedule(100))
    assert [layer.layer.name for layer in pruned_layers(wrapped)] == pruned


def test_what_does_not_fit_is_skipped_on_request() -> None:
    model = cnn.build((8, 8, 1), 10, filters=[4], hidden=8)
    chosen = settings("block=4x4", "policy=skip")
    report = sparsity_report(prune(chosen, model, chosen.build_schedule(100)))
    assert [weight.name for weight in report.weights] == ["hidden/kernel", "predictions/kernel"]
    assert "2 axes" in next(s.reason for s in report.skipped if s.layer == "conv_1")


def test_a_model_that_xnnpack_cannot_run_is_refused() -> None:
    chosen = settings("policy=xnnpack")
    with pytest.raises(ValueError, match="ZeroPadding2D"):
        prune(chosen, mlp.build((64,), 10), chosen.build_schedule(100))


@pytest.mark.parametrize("scheduled", ["true", "false"])
def test_m_by_n(scheduled: str) -> None:
    chosen = settings("block=2of4", f"block.scheduled={scheduled}", "sparsity=0.5")
    schedule = chosen.build_schedule(100)
    pruner = Pruner(prune(chosen, mlp.build((64,), 10, hidden=[32]), schedule))
    pruner.start()
    for _ in range(70):
        pruner.advance()
    assert all(weight.sparsity == weight.target == 0.5 for weight in pruner.weights())
    assert pruner.target_reached()
