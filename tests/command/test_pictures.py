"""Pictures are PNG files that hold every weight, be it one, fifty or none."""

from pathlib import Path

import pytest

from pruneplug.command.pictures import draw_final_sparsity, draw_sparsity_curves
from pruneplug.tracking import Journal
from pruneplug.tracking.curves import read_curves


def _journal(path: Path, weights: int) -> Path:
    journal = Journal(path)
    journal.start({}, {})
    for step in range(0, 100, 10):
        sparsity = {f"sparsity/dense_{i}/kernel": step / 100 for i in range(weights)}
        journal.log_metrics({"loss": 1.0, "sparsity/total": step / 100, **sparsity}, step)
    return journal.path


@pytest.mark.parametrize("weights", [0, 1, 50])
def test_curves(tmp_path: Path, weights: int) -> None:
    draw_sparsity_curves(_journal(tmp_path / "journal.jsonl", weights), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_curves_are_those_of_the_last_run(tmp_path: Path) -> None:
    _journal(tmp_path / "journal.jsonl", 3)
    curves = read_curves(_journal(tmp_path / "journal.jsonl", 2))
    assert list(curves) == ["total", "dense_0/kernel", "dense_1/kernel"]
    assert curves["dense_1/kernel"] == [(step, step / 100) for step in range(0, 100, 10)]


@pytest.mark.parametrize("weights", [0, 1, 50])
def test_final_sparsity(tmp_path: Path, weights: int) -> None:
    rows = [{"name": f"dense_{i}/kernel", "sparsity": 0.79, "target": 0.8} for i in range(weights)]
    draw_final_sparsity(rows, tmp_path / "final.png")
    assert (tmp_path / "final.png").read_bytes().startswith(b"\x89PNG")
