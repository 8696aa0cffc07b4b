"""Each weight pruned alone: what is measured, what is put back, what is suggested."""

import csv
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from cli import run_command
from hydra import compose, initialize_config_dir

from pruneplug import ConstantSparsity, prune_low_magnitude
from pruneplug.command.sensitivity import Cell, Sensitivity, candidates, scan, write_scan
from pruneplug.command.sensitivity.scan import accuracy_on
from pruneplug.command.settings import config_folder, read_settings, register_schemas


@pytest.fixture
def dense() -> keras.Model:
    layers = [keras.Input((6,)), keras.layers.Dense(8, name="one"), keras.layers.Dense(3)]
    return keras.Sequential(layers)


def test_a_scan_prunes_one_weight_at_a_time(dense: keras.Model) -> None:
    pruned = prune_low_magnitude(dense, ConstantSparsity(0.0, 0))
    before = [weight.copy() for weight in dense.get_weights()]
    seen = []

    def accuracy() -> float:
        seen.append([float((weight == 0).mean()) for weight in dense.get_weights()[::2]])
        return 0.5

    result = scan(candidates(pruned), [0.25, 0.75], accuracy)
    assert seen == [[0.25, 0], [0.75, 0], [0, 0.25], [0, 0.75], [0, 0]]
    assert result.weights == ["one/kernel", "dense/kernel"]
    assert result.sparsities == [0.25, 0.75]
    assert all(np.array_equal(*pair) for pair in zip(before, dense.get_weights(), strict=True))


def test_the_smallest_go_in_the_pattern_of_the_model(dense: keras.Model) -> None:
    pruned = prune_low_magnitude(dense, ConstantSparsity(0.0, 0), block_size=(2, 8))
    kernel = np.repeat([[3.0], [3.0], [1.0], [1.0], [2.0], [2.0]], 8, axis=1)
    dense.layers[0].kernel.assign(kernel)
    rows = []

    def accuracy() -> float:
        rows.append((dense.get_weights()[0] == 0).all(axis=1).tolist())
        return 0.0

    (cell,) = scan(candidates(pruned)[:1], [0.4], accuracy).cells
    assert rows[0] == [False, False, True, True, False, False]
    assert cell.sparsity == pytest.approx(1 / 3)


def test_weights_come_back_after_an_error(dense: keras.Model) -> None:
    pruned = prune_low_magnitude(dense, ConstantSparsity(0.0, 0))
    before = dense.get_weights()[0].copy()

    def accuracy() -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(candidates(pruned), [0.5], accuracy)
    assert np.array_equal(before, dense.get_weights()[0])


def test_accuracy_is_that_of_the_classes(dense: keras.Model) -> None:
    x = np.random.default_rng(0).random((600, 6), np.float32)
    y = dense.predict(x, verbose=0).argmax(-1)
    y[:150] = (y[:150] + 1) % 3
    assert accuracy_on(dense, x, y)() == 0.75


def test_the_suggestion_stops_at_the_first_loss() -> None:
    accuracies = {"a": (0.90, 0.89, 0.80), "b": (0.80, 0.90, 0.90), "c": (0.95, 0.91, 0.90)}
    cells = [
        Cell(name, asked, asked, accuracy)
        for name, row in accuracies.items()
        for asked, accuracy in zip((0.3, 0.6, 0.9), row, strict=True)
    ]
    result = Sensitivity(0.9, cells)
    assert result.suggest(0.0101) == {"a": 0.6, "b": 0.0, "c": 0.9}


@pytest.mark.parametrize("count", [1, 30])
def test_any_number_of_weights_can_be_drawn(count: int, tmp_path: Path) -> None:
    cells = [Cell(f"layer_{i}/kernel", s, s, 0.9 - 0.01 * i * s) for i in range(count)
             for s in (0.5, 0.9)]  # fmt: skip
    files = write_scan(Sensitivity(0.9, cells), 0.01, tmp_path)
    assert all(path.stat().st_size for path in files)


def test_the_command_suggests_overrides_that_it_takes(tmp_path: Path) -> None:
    words = ["experiment=sensitivity", "trainer.epochs=4", "model.hidden=[32]"]
    places = ["hydra.run.dir=run", "tracking=journal"]
    assert run_command(tmp_path, *words, *places) == 0
    with (tmp_path / "run" / "sensitivity.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["weight"] for row in rows} == {"hidden_1/kernel", "predictions/kernel"}
    assert len(rows) == 16
    assert float(rows[-1]["sparsity"]) == pytest.approx(0.98, abs=0.01)
    journal = (tmp_path / "run" / "journal.jsonl").read_text()
    assert all(f"sensitivity.{kind}" in journal for kind in ("csv", "png", "yaml"))
    suggested = (tmp_path / "run" / "sensitivity.yaml").read_text()
    overrides = yaml.safe_load(suggested)["allocation"]["overrides"]
    assert set(overrides) == {"hidden_1/kernel", "predictions/kernel"}
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(suggested)
    register_schemas()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        words = ["experiment=mine", f"hydra.searchpath=[file://{tmp_path}]"]
        settings = read_settings(compose("config", words))
    assert settings.allocation.overrides == overrides
    more = ["model.hidden=[32]", "trainer.epochs=1", *places[1:], "hydra.run.dir=again"]
    found = f"hydra.searchpath=[file://{tmp_path}]"
    assert run_command(tmp_path, "experiment=mine", found, *more) == 0
