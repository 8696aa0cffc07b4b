import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from places import ROOT

from pruneplug.command.settings import (
    COMPOSE_ERRORS,
    Settings,
    config_folder,
    explain,
    read_settings,
    register_schemas,
    to_yaml,
)
from pruneplug.command.settings.command_line import CommandLine
from pruneplug.command.settings.help import help_text
from pruneplug.command.settings.run import SCHEMAS
from pruneplug.command.settings.wording import override

CONF = ROOT / "conf"
FILES = sorted(path for path in CONF.rglob("*.yaml") if "hydra" not in path.parts)
CHOICES = [(path.parent.name, path.stem) for path in FILES if path.parent != CONF]
NEEDED = {
    "model=saved": ["model.path=m.keras"],
    "data=npz": ["data.path=d.npz"],
    "experiment=finetune_pretrained": ["model.path=m.keras"],
}


AT_ONCE = "block=2of4 block.scheduled=false"


def settings(*overrides: str) -> Settings:
    register_schemas()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return read_settings(compose("config", list(overrides)))


def complaint(*overrides: str) -> str:
    try:
        settings(*overrides)
    except COMPOSE_ERRORS as error:
        return explain(error)
    except ValueError as error:
        return str(error)
    pytest.fail(f"{overrides} were accepted")


@pytest.mark.parametrize(("group", "name"), CHOICES, ids="=".join)
def test_every_file_composes_and_validates(group: str, name: str) -> None:
    choice = f"{group}={name}"
    chosen = settings(choice, *NEEDED.get(choice, []))
    if group in SCHEMAS:
        assert type(getattr(chosen, group)) is SCHEMAS[group][name]


def test_every_schema_has_its_file() -> None:
    expected = {(group, name) for group, schemas in SCHEMAS.items() for name in schemas}
    assert expected <= set(CHOICES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONF)))
def test_every_key_is_explained_where_it_stands(path: Path) -> None:
    text = path.read_text()
    assert "_target_" not in text
    paragraphs = text.split("\n\n")
    assert paragraphs[0].startswith("#")
    if path.parent.name == "experiment":
        return
    for key in yaml.safe_load(text):
        if key not in ("defaults", "name"):
            own = next(p for p in paragraphs if re.search(rf"^{key}:", p, re.MULTILINE))
            assert own.startswith("#"), f"{key} must have a comment above it"


def test_help_names_every_choice() -> None:
    register_schemas()
    text = help_text(CommandLine.parse([]))
    for group in {group for group, _ in CHOICES} - {"trainer"}:
        line = re.search(rf"^  {group} +(\w+(?:,\s+\w+)*)", text, re.MULTILINE)
        assert line, f"{group} is missing"
        named = set(re.split(r",\s+", line[1]))
        assert named == {name for other, name in CHOICES if other == group}


def test_the_documented_keys_exist() -> None:
    keys = ["sparsity", "seed", "trainer.epochs", "trainer.batch_size", "trainer.resume"]
    keys += ["tracking.uri", "block.size", "block.pooling"]
    assert set(keys) <= set(settings().flat())
    own_files = settings("data=npz", "data.path=d.npz", "model=saved", "model.path=m.keras")
    assert {"data.path", "model.path"} <= set(own_files.flat())


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        ("sparsty=0.5", ["sparsty is no setting", "sparsity"]),
        ("+extra=1", ["extra is no setting"]),
        ("+block.extra=1", ["block.extra is no setting", "size, pooling, m_by_n"]),
        ("trainer.epoch=3", ["trainer.epoch is no setting", "epochs, batch_size"]),
        ("trainer.epochs=many", ["trainer.epochs", "'many'", "Integer"]),
        ("schedule.begin=soon", ["schedule.begin", "'soon'", "int, float"]),
        ("block.size=3", ["block.size", "list"]),
        ("model=vgg", ["model must be one of cnn, mlp, resnet, saved; got model=vgg"]),
        ("sparsity", ["key=value", "'sparsity'"]),
        ("data=npz", ["data.path must be given"]),
        ("model.name=cnn", ["model.name must stay", "model.name=cnn"]),
        ("sparsity=1.2", ["sparsity must lie in [0, 1); got sparsity=1.2."]),
        ("sparsity=-0.1", ["sparsity must lie in [0, 1)"]),
        ("sparsity=nan", ["sparsity must lie in [0, 1)"]),
        ("seed=-1", ["seed must lie in"]),
        ("model.hidden=[0]", ["model.hidden", "[0]"]),
        ("model.dropout=1", ["model.dropout"]),
        ("data.validation=1", ["data.validation must lie between 0 and 1"]),
        ("schedule.begin=1.5", ["schedule.begin must lie in [0, 1]", "1.5"]),
        ("schedule.begin=-3", ["schedule.begin must be at least 0", "-3"]),
        ("schedule.frequency=0", ["schedule.frequency must be at least 1"]),
        ("schedule.begin=0 schedule.end=1", ["schedule.end must be 1.0 for", "schedule.end=1."]),
        ("schedule=constant schedule.end=1", ["schedule.end must be 1.0 for the end"]),
        ("schedule.frequency=1.0", ["schedule.frequency must be 1 for an update in every step"]),
        ("schedule.initial=1", ["schedule.initial"]),
        ("schedule.power=0", ["schedule.power must be above 0"]),
        ("block.size=[2]", ["block.size must be two whole numbers", "[2]"]),
        ("block.size=[0,2]", ["block.size"]),
        ("block.m_by_n=[4,2]", ["block.m_by_n must be [m,n] with 1 <= m < n", "[4, 2]"]),
        ("block=2of4 block.size=[4,4]", ["block.size must be [1,1] beside", "[4, 4]"]),
        ("block=4x4 block.m_by_n=[2,4]", ["block.size must be [1,1] beside"]),
        ("block=2of4 block.pooling=MAX", ["block.pooling must stay AVG beside"]),
        ("block=2of4 sensitivity=scan", ["sensitivity.sparsities must be [] beside"]),
        (f"{AT_ONCE} allocation=erk", ["allocation must be uniform beside", "allocation=erk"]),
        (f"{AT_ONCE} allocation.overrides={{a:0.5}}", ["allocation.overrides must be null"]),
        (f"{AT_ONCE} sparsity=0.3", ["sparsity must be 0, or at least 0.5 beside", "0.3"]),
        ("schedule=one_shot schedule.step=0", ["schedule.step must be at least 1"]),
        ("schedule=multi_step schedule.steps=[]", ["schedule.steps", "at least one"]),
        ("schedule=multi_step schedule.shares=[1.0]", ["schedule.shares", "as many as steps"]),
        ("schedule=multi_step schedule.steps=[1] schedule.shares=[0.5]", ["end with 1"]),
        ("allocation.overrides={head:1.0}", ["allocation.overrides.head must lie in [0, 1)"]),
        ("policy=some", ["policy must be one of all, by_name, keep_ends, skip, xnnpack"]),
        ("block.pooling=MIN", ["block.pooling must be one of AVG, MAX"]),
        ("optimizer.learning_rate=0", ["optimizer.learning_rate must be above 0"]),
        ("trainer.epochs=0", ["trainer.epochs must be at least 1"]),
        ("trainer.batch_size=0", ["trainer.batch_size must be at least 1"]),
        ("trainer.resume=nowhere", ["trainer.resume must be auto, never", "nowhere"]),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(overrides: str, parts: list[str]) -> None:
    message = complaint(*overrides.split())
    assert all(part in message for part in parts), message
    assert "\n" not in message


@pytest.mark.parametrize(
    "overrides",
    [
        "schedule.end=1.0",
        "schedule.begin=1 schedule.end=2",
        "schedule.frequency=1",
        "schedule=one_shot schedule.step=1",
        f"{AT_ONCE} sparsity=0 allocation=erk",
        f"{AT_ONCE} sparsity=0.5",
        "block=2of4 sparsity=0.3 allocation=erk",
    ],
)
def test_what_can_be_meant_is_accepted(overrides: str) -> None:
    settings(*overrides.split())


def test_a_bad_key_in_a_file_is_found_there(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text("# @package _global_\ntrainer:\n  epoch: 3\n")
    message = complaint("experiment=mine", f"hydra.searchpath=[file://{tmp_path}]")
    assert "experiment/mine" in message
    assert "epoch" in message


def test_settings_go_out_as_yaml_and_flat() -> None:
    chosen = settings("block.size=[2,3]", "sparsity=0.5")
    assert yaml.safe_load(to_yaml(chosen))["block"]["size"] == [2, 3]
    flat: dict[str, Any] = chosen.flat()
    assert flat["sparsity"] == 0.5
    assert flat["block.size"] == "[2, 3]"
    assert flat["trainer.epochs"] == "None"


def test_help_shows_the_settings_a_command_line_leads_to() -> None:
    register_schemas()
    text = help_text(CommandLine.parse(["--help", "sparsity=0.7"]))
    assert "\nsparsity: 0.7\n" in text
    assert "\nhydra:" not in text
    assert not CommandLine.parse(["sparsity=0.7"]).help


def test_help_knows_the_configs_of_a_further_folder(tmp_path: Path) -> None:
    register_schemas()
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text("# @package _global_\nsparsity: 0.6\n")
    line = CommandLine.parse(["--help", "--config-dir", str(tmp_path), "experiment=mine"])
    text = help_text(line)
    assert "\nsparsity: 0.6\n" in text


NAMES = [
    'a"b', "a'b", "a\\b", 'a\\"b', "a\\", "a\\\\", 'a\\\\"', "a,b=c", "a${x}b", "a\\${x}", "a$b",
    "{[(", "a b", "~#%:", "null", "1", "é",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_an_override_is_read_back_as_it_was_meant(name: str) -> None:
    assert settings(override("tracking.experiment", name)).tracking.experiment == name
