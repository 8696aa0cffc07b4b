"""What a comparison makes of runs, on made-up ones."""

import csv
import io
import json
import math
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from pruneplug.command.comparison import read_runs, write_report
from pruneplug.command.comparison.groups import baseline, compare
from pruneplug.command.comparison.runs import Run
from pruneplug.command.comparison.tables import ranking, readable, verdict
from pruneplug.command.pictures import draw_final_sparsity
from pruneplug.command.report import show
from pruneplug.tracking import Journal


def run(accuracy: float, sparsity: float, **settings: Any) -> Run:
    settings = {"sparsity": sparsity, "seed": 0, **settings}
    measured = {"val_accuracy": accuracy, "test_accuracy": accuracy - 0.01, "sparsity": sparsity}
    measured |= {"dense_bytes": 1000, "stripped_bytes": 900, "gzip_bytes": 500}
    layer = {"sparsity": sparsity, "target": sparsity, "shape": [4, 5], "kept": 10}
    curves = {"dense/kernel": [(1, 0.0), (9, sparsity)], "total": [(9, sparsity)]}
    return Run(f"{sparsity}", settings, measured, {"dense/kernel": layer}, curves)


def write_run(folder: Path, accuracy: float = 0.9, sparsity: float = 0.5, seed: int = 0) -> Path:
    folder.mkdir(parents=True)
    made = run(accuracy, sparsity)
    sizes = {name: made.measured[name] for name in ("dense_bytes", "stripped_bytes", "gzip_bytes")}
    summary = {
        "metrics": {"val_accuracy": accuracy, "test_accuracy": accuracy},
        "sparsity": {"total": sparsity, "layers": made.layers},
        "size": sizes,
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    settings = {"sparsity": sparsity, "seed": seed, "block": {"size": [1, 1]}}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    journal = Journal(folder / "journal.jsonl")
    journal.start({}, {})
    journal.log_metrics({"sparsity/dense/kernel": sparsity}, 5)
    return folder


def test_runs_that_differ_in_the_seed_are_one_group() -> None:
    runs = [run(0.9, 0.5, seed=seed) for seed in (3, 1)] + [run(0.8, 0.5, seed=2)]
    groups = compare(runs)
    (group,) = groups.to_dict("records")
    assert group["val_accuracy"] == pytest.approx(2.6 / 3)
    assert group["val_accuracy_std"] == pytest.approx(0.1 / math.sqrt(3))
    (row,) = ranking(groups)
    assert (row["runs"], row["seeds"]) == (3, "1 2 3")


def test_equal_runs_are_their_own_mean() -> None:
    accuracies = [0.1 + i / 997 for i in range(50)]
    runs = [run(a, 0.5, rule=i, seed=s) for i, a in enumerate(accuracies) for s in range(3)]
    groups = compare(runs)
    assert sorted(groups["val_accuracy"]) == accuracies
    assert (groups["val_accuracy_std"] == 0).all()


def test_one_run_has_no_spread() -> None:
    (group,) = compare([run(0.9, 0.5)]).to_dict("records")
    assert group["val_accuracy"] == 0.9
    assert math.isnan(group["val_accuracy_std"])


def test_what_one_seed_has_not_measured_its_group_has_not() -> None:
    untested = replace(run(0.8, 0.5, seed=2), measured={"val_accuracy": 0.8})
    (group,) = compare([run(0.9, 0.5, seed=1), untested]).to_dict("records")
    assert group["val_accuracy"] == pytest.approx(0.85)
    assert math.isnan(group["test_accuracy"])
    assert math.isnan(group["test_accuracy_std"])
    diverged = compare([run(0.9, 0.5, seed=1), run(math.nan, 0.5, seed=2)])
    assert readable(diverged)[0]["validation"] == "-"


def test_places_tell_no_runs_apart() -> None:
    runs = [run(0.9, 0.5, **{"tracking.uri": uri, "trainer.resume": uri}) for uri in ("a", "b")]
    assert len(compare(runs)) == 1


def test_a_group_is_labelled_by_what_differs() -> None:
    same = {"model.name": "mlp"}
    one = {"schedule.name": "constant", "schedule.begin": 0.1, **same}
    other = {"schedule.name": "polynomial", "schedule.begin": 0.1, "schedule.power": 3.0, **same}
    groups = compare([run(0.9, 0.5, **one), run(0.8, 0.0, **other)])
    assert [*groups["label"]] == [
        "sparsity=0.5 schedule.name=constant",
        "sparsity=0 schedule.name=polynomial",
    ]
    assert [*groups["series"]] == ["schedule.name=constant", "schedule.name=polynomial"]


def test_the_front_holds_what_nothing_beats() -> None:
    groups = compare([run(0.95, 0.0), run(0.96, 0.5), run(0.90, 0.9), run(0.89, 0.8)])
    assert [*groups["sparsity"]] == [0.5, 0.0, 0.9, 0.8]
    assert [*groups["pareto"]] == [True, False, True, False]


def test_a_rounded_sparsity_is_no_gain() -> None:
    groups = compare([run(0.9, 0.95), run(0.3, 0.9501)])
    assert [*groups["pareto"]] == [True, False]


def test_the_baseline_is_the_run_without_pruning() -> None:
    groups = compare([run(0.95, 0.0), run(0.91, 0.5)])
    assert baseline(groups) is not None
    assert [*groups["drop"]] == pytest.approx([0.0, 0.04])
    without = compare([run(0.91, 0.5)])
    assert baseline(without) is None
    assert without["drop"].isna().all()


def test_the_verdict_names_the_sparsest_good_group() -> None:
    said = verdict(compare([run(0.95, 0.0), run(0.945, 0.5), run(0.941, 0.8), run(0.5, 0.9)]))
    assert "80.0 % of the weights" in said
    assert "sparsity=0.8 reaches 94.1 %" in said
    rounded = [run(0.95, 0.0), run(0.945, 0.79999, rule="a"), run(0.942, 0.80001, rule="b")]
    assert "sparsity=0.79999 rule=a reaches 94.5 %" in verdict(compare(rounded))
    assert "No pruned group" in verdict(compare([run(0.95, 0.0), run(0.5, 0.9)]))
    assert "sparsity=0" in verdict(compare([run(0.5, 0.9)]))


def test_rows_hold_exact_values_and_text() -> None:
    groups = compare([run(0.95, 0.0), run(0.9123456, 0.5)])
    row = ranking(groups)[1]
    assert row["val_accuracy"] == 0.9123456
    assert row["setting sparsity"] == 0.5
    assert row["drop"] == pytest.approx(0.0376544)
    assert row["pareto"]
    assert readable(groups)[1]["validation"] == "91.2 %"
    assert readable(groups)[1]["lost"] == "+3.8"


def test_a_setting_has_one_column_though_the_best_group_lacks_it() -> None:
    one = {"rule": "a"}
    other = {"rule": "b", "data.limit": 1_000_000}
    rows = ranking(compare([run(0.9, 0.5, **one), run(0.8, 0.5, **other)]))
    assert [list(row)[:4] for row in rows] == [
        ["rank", "setting rule", "setting data.limit", "runs"]
    ] * 2
    assert [row["setting data.limit"] for row in rows] == ["", 1_000_000]
    assert [row["rank"] for row in rows] == [1, 2]


def test_a_diverged_run_goes_last() -> None:
    groups = compare([run(math.nan, 0.9), run(0.1, 0.5)])
    assert [*groups["sparsity"]] == [0.5, 0.9]


def test_folders_are_read_in_order_and_what_is_missing_is_named(tmp_path: Path) -> None:
    for number in (0, 2, 10):
        write_run(tmp_path / f"{number}_job", seed=number)
    (tmp_path / "3_job").mkdir()
    (tmp_path / "3_job" / "config.yaml").write_text("sparsity: 0.5\n")
    runs, unfinished = read_runs(tmp_path)
    assert [run.name for run in runs] == ["0_job", "2_job", "10_job"]
    assert [run.seed for run in runs] == [0, 2, 10]
    assert runs[0].curves == {"dense/kernel": [(5, 0.5)]}
    assert runs[0].settings["block.size"] == "[1, 1]"
    assert unfinished == ["3_job"]


def test_a_run_folder_is_read_by_its_name(tmp_path: Path) -> None:
    runs, _ = read_runs(write_run(tmp_path / "only"))
    assert [run.name for run in runs] == ["only"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("summary.json", "{", "summary.json must be readable"),
        ("summary.json", "[]", "must map names to values"),
        ("summary.json", "{}", "must be a run's summary"),
        ("config.yaml", "a: b: c", "config.yaml must be readable"),
    ],
)
def test_a_broken_file_is_named(name: str, content: str, message: str, tmp_path: Path) -> None:
    (write_run(tmp_path / "run") / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_runs(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("summary.json", b'{"steps": 12, "metr'),
        ("summary.json", b""),
        ("summary.json", b"\xff\xfe"),
        ("summary.json", b'{"metrics": {"val_accuracy": "0.9"}, "sparsity": 1, "size": {}}'),
        ("summary.json", b'{"metrics": [], "sparsity": {}, "size": {}}'),
        ("config.yaml", b"sparsity: 0.5\nseed: x\n"),
        ("config.yaml", b"sparsity: many\n"),
        ("config.yaml", b"\xff"),
        ("config.yaml", b"[" * 5000),
    ],
)
def test_a_damaged_run_costs_itself_alone(name: str, content: bytes, tmp_path: Path) -> None:
    for number in range(3):
        write_run(tmp_path / "runs" / f"{number}_job", seed=number)
    (tmp_path / "runs" / "1_job" / name).write_bytes(content)
    runs, missing = read_runs(tmp_path / "runs")
    assert [run.seed for run in runs] == [0, 2]
    (said,) = missing
    assert said.startswith("1_job (")
    assert name in said
    report = write_report(runs, missing, "", tmp_path / "report")
    assert f"Not finished, and not in here: {said}." in report.notes


def test_a_diverged_group_is_on_no_front() -> None:
    groups = compare([run(math.nan, 0.9), run(0.9, 0.5), run(math.nan, 0.0)])
    assert [*groups[groups["pareto"]]["sparsity"]] == [0.5]
    assert baseline(groups) is None


NAMES = ["$\\frac{$", "$x$", "[/y]", "[red]", "a_$b", "\\", "%s{0}", "=1+1"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_is(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = []
    for accuracy, setting in ((0.9, name), (0.8, "other")):
        one = run(accuracy, 0.5, **{"model.path": setting})
        curves = {f"{name}/kernel": [(1, 0.0), (9, 0.5)], "total": [(9, 0.5)]}
        layers = {f"{name}/kernel": one.layers["dense/kernel"]}
        runs.append(Run(name, one.settings, one.measured, layers, curves))
    report = write_report(runs, [name], name, tmp_path / "report")
    show(report, Console(width=200))
    assert name in capsys.readouterr().out
    assert escape(name) in report.page.read_text()
    draw_final_sparsity([{"name": name, "sparsity": 0.5, "target": 0.5}], tmp_path / "final.png")
    cells = (tmp_path / "report" / "layers.csv").read_text()
    assert ("'=1+1" in cells) == (name == "=1+1")


def test_the_page_needs_no_other_file(tmp_path: Path) -> None:
    runs = [run(0.95, 0.0), run(0.9, 0.5, **{"block.size": "<b>"})]
    report = write_report(runs, ["3_job"], "here & there", tmp_path / "report")
    text = report.page.read_text()
    assert text.count("data:image/png;base64,") == 3
    assert 'src="http' not in text
    assert "<b>" not in text
    assert "here &amp; there" in text
    assert "Not finished, and not in here: 3_job." in text


@pytest.mark.parametrize("count", [1, 7, 40])
def test_any_number_of_runs_can_be_drawn(count: int, tmp_path: Path) -> None:
    runs = [run(0.9 - 0.01 * i, 0.9 * i / count, seed=s) for i in range(count) for s in (0, 1)]
    report = write_report(runs, (), "", tmp_path)
    names = {"accuracy.png", "sizes.png", "layers.png", "report.html"}
    names |= {"ranking.csv", "runs.csv", "layers.csv"}
    assert {path.name for path in tmp_path.iterdir()} == names
    rows = list(csv.DictReader(io.StringIO((tmp_path / "ranking.csv").read_text())))
    assert len(rows) == len(report.rows) == count
