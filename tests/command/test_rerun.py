"""The saved settings of a run are run again as they were, however one points to them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cli import run_command, write_tiny_data

from pruneplug.command.settings import Settings, register_schemas, to_yaml
from pruneplug.command.settings.command_line import CommandLine
from pruneplug.command.settings.dry_run import dry_run

# Every group differs from its default, and one has a mapping in it.
CHOICES = (
    "data=npz", "data.path=own.npz", "model=cnn", "model.filters=[3]", "schedule=multi_step",
    "block.size=[2,3]", "policy=by_name", "policy.exclude=[conv*]", "allocation=erk",
    "allocation.overrides={hidden:0.5}", "optimizer=sgd", "optimizer.learning_rate=1e-5",
    "trainer.epochs=3", "trainer.checkpoint_minutes=null", "tracking=journal", "seed=7",
    "sensitivity=scan", "sparsity=0.75",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _schemas() -> None:
    register_schemas()


def settings(*arguments: str) -> Settings:
    (job,) = dry_run(CommandLine.parse(arguments)).jobs
    return job.settings


def save(folder: Path, saved: Settings) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(to_yaml(saved))
    return folder


WAYS = [
    ["--config-dir", "RUN"],
    ["-cd", "RUN"],
    ["--config-dir=RUN", "--config-name=config"],
    ["--config-dir", "RUN", "-cn", "config.yaml"],
    ["--config-path", "RUN"],
    ["--config-path=RUN", "--config-name", "config"],
    ["-cp", "RUN/config.yaml"],
    ["--config-d", "RUN", "--config-n", "config"],
]


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
@pytest.mark.parametrize("name", ["run", "0_sparsity=0.5,block.size=[2,3] x"])
def test_a_saved_config_is_read_as_it_was_written(
    way: list[str], name: str, tmp_path: Path
) -> None:
    saved = settings(*CHOICES)
    run = save(tmp_path / name, saved)
    arguments = [word.replace("RUN", str(run)) for word in way]
    line = CommandLine.parse([*arguments, "seed=7"])
    assert dry_run(line).jobs[0].settings == saved
    # What Hydra gets, and a sweep keeps as its command, is one of the ways itself.
    assert CommandLine.parse(line.arguments) == line
    assert line.arguments == ("--config-dir", str(run), "seed=7")


def test_a_relative_folder_is_one_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    saved = settings("sparsity=0.3")
    save(tmp_path / "run", saved)
    assert settings("--config-path", "run") == settings("--config-dir", "run") == saved


def test_everything_can_be_changed_on_top(tmp_path: Path) -> None:
    saved = settings(*CHOICES)
    run = ["--config-dir", str(save(tmp_path / "run", saved))]
    assert settings(*run, "sparsity=0.5") == replace(saved, sparsity=0.5)
    chosen = settings(*run, "model=mlp", "model.hidden=[4]", "allocation=uniform")
    assert chosen.model == settings("model.hidden=[4]").model
    assert chosen.allocation == settings().allocation
    assert chosen.data == saved.data
    preset = settings(*run, "experiment=quick")
    assert (preset.data, preset.trainer.epochs) == (settings().data, 2)
    jobs = dry_run(CommandLine.parse([*run, "-m", "seed=1,2"])).jobs
    assert [job.settings for job in jobs] == [replace(saved, seed=1), replace(saved, seed=2)]


def test_what_an_older_version_did_not_know_has_its_default(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("sparsity: 0.4\nmodel:\n  name: cnn\n  hidden: 9\n")
    assert settings("--config-dir", str(run)) == settings(
        "model=cnn", "model.hidden=9", "sparsity=0.4"
    )


def test_further_configs_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text("# @package _global_\nsparsity: 0.6\n")
    (tmp_path / "config.yaml").write_text("lr: 0.1\n")  # of another app
    further = ["--config-dir", str(tmp_path)]
    assert settings(*further, "experiment=mine").sparsity == 0.6
    run = save(tmp_path / "run", settings("seed=3"))
    both = settings("--config-path", str(run), *further, "experiment=mine")
    assert (both.seed, both.sparsity) == (3, 0.6)


@pytest.mark.parametrize(
    ("content", "way", "message"),
    [
        ("lr: 0.1", "--config-path", "lr"),
        ("a: [", "--config-dir", "must be a YAML file"),
        ("", "--config-path", "must map names to values"),
        ("- a", "--config-path", "must map names to values"),
        ("data: digits", "--config-dir", "must be a run's; got data='digits'"),
        ("trainer: {epoch: 3}", "--config-dir", "'epoch' not in 'TrainerSettings'"),
        ("model: {name: vgg}", "--config-dir", "model must be one of"),
        ("defaults: [model: mlp]", "--config-path", "model"),
        ("defaults: []\nsparsity: 0.5", "--config-path", "--config-dir RUN"),
    ],
)
def test_what_no_run_has_saved_is_refused(
    content: str, way: str, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(content)
    assert run_command(tmp_path, way, str(run)) == 2
    said = capfd.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--config-path nowhere", "nowhere, without a config.yaml"),
        ("--config-path empty", "empty, without a config.yaml"),
        ("--config-dir nowhere", "nowhere' not found"),
        ("--config-dir empty", "must hold a run's config.yaml, or configs"),
        ("--config-dir runs", "the folder of one run; got"),
    ],
)
def test_a_folder_that_is_no_run_is_refused(
    arguments: str, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("one", "other"):
        save(tmp_path / "runs" / name, settings())
    assert run_command(tmp_path, *arguments.split()) == 2
    said = capfd.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert {path.name for path in tmp_path.iterdir()} == {"empty", "runs"}


@pytest.mark.parametrize("name", ["config", "copy"])
def test_a_config_that_would_not_be_read_with_its_types_is_refused(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    saved = to_yaml(settings())
    (tmp_path / "copy.yaml").write_text(saved)
    (tmp_path / "config.yaml").write_text("defaults:\n  - base_config\n")
    assert run_command(tmp_path, "--config-dir", str(tmp_path), "--config-name", name) == 2
    said = capfd.readouterr().err
    assert ("would not be read" if name == "config" else "--config-dir RUN") in said


def test_the_folder_of_a_sweep_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = save(tmp_path / "sweep", settings())
    (sweep / "multirun.yaml").write_text("hydra: {}\n")
    assert run_command(tmp_path, "--config-dir", "sweep") == 2
    assert "the folder of one run" in capfd.readouterr().err


def test_a_run_again_gives_the_same_results(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_tiny_data(tmp_path / "tiny.npz")
    words = ["data=npz", "data.path=tiny.npz", "model.hidden=[8]", "trainer.epochs=1"]
    assert run_command(tmp_path, *words, "tracking=journal", "hydra.run.dir=one") == 0
    assert run_command(tmp_path, "--config-dir", "one", "hydra.run.dir=other") == 0
    one, other = (tmp_path / name for name in ("one", "other"))
    assert (one / "config.yaml").read_text() == (other / "config.yaml").read_text()
    summaries = [json.loads((run / "summary.json").read_text()) for run in (one, other)]
    assert summaries[0]["metrics"] == summaries[1]["metrics"]
