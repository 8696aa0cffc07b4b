"""A dry run shows what a command would do, and does nothing."""

import re
from pathlib import Path

import keras
import pytest
from cli import run_command, write_tiny_data

from pruneplug.command.preview import draw, preview_job
from pruneplug.command.settings import register_schemas
from pruneplug.command.settings.command_line import CommandLine, split_dry_run
from pruneplug.command.settings.dry_run import dry_run
from pruneplug.pruning.schedules import ConstantSparsity, OneShotSparsity, PolynomialDecay

DRY = "dry_run=true"


@pytest.fixture
def shown(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Run the command in an empty folder; gives its code, standard output and error."""
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: str) -> tuple[object, str, str]:
        code = run_command(tmp_path, *arguments)
        assert not list(tmp_path.iterdir()), "a dry run must write nothing"
        return code, *capsys.readouterr()

    return run


def test_a_run_is_shown(shown) -> None:
    code, out, err = shown(DRY, "policy=keep_ends", "hydra.run.dir=here", "trainer.epochs=40")
    assert (code, err) == (0, "")
    assert re.search(r"hidden_2/kernel.*256x128.*0\.8000.*0\.8000.*6,554", out)
    assert re.search(r"hidden_1 .*first", out)
    assert "PolynomialDecay: 53 updates of the masks from step 164 to 1,148" in out
    assert re.search(r"run folder +here", out)
    assert re.search(r"store +sqlite:////.*mlflow.db, experiment pruneplug", out)
    assert "nothing was trained, nothing was written" in out


def test_the_jobs_of_a_sweep_are_listed(shown) -> None:
    words = ["-m", DRY, "sparsity=0,0.9", "seed=1,2", "tracking=none", "hydra.sweep.dir=there"]
    code, out, _ = shown(*words)
    assert code == 0
    jobs = re.findall(r"│ +(\d) │ sparsity=(\S+) seed=(\d)", out)
    assert jobs == [("0", "0", "1"), ("1", "0", "2"), ("2", "0.9", "1"), ("3", "0.9", "2")]
    assert re.search(r"run folder +there/2_", out)
    assert re.search(r"store +none", out)


def test_a_preset_that_sweeps_is_listed_without_m(shown) -> None:
    code, out, _ = shown("experiment=sweep_sparsity", DRY)
    assert code == 0
    assert len(re.findall(r"experiment=sweep_sparsity", out)) >= 5


def test_a_search_shows_what_it_draws_from(shown) -> None:
    code, out, _ = shown("experiment=optuna", DRY)
    assert code == 0
    assert "sparsity=interval(0.5, 0.98)" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dry_run=maybe"], "dry_run must be true or false; got dry_run=maybe."),
        ([DRY, "sparsity=2"], "sparsity must lie in [0, 1)"),
        ([DRY, "-m", "sparsity=0.5,2"], "sparsity must lie in [0, 1)"),
        ([DRY, "model=vgg"], "model must be one of"),
        ([DRY, "data=npz", "data.path=nowhere.npz"], "nowhere.npz"),
        ([DRY, "model=cnn", "block=4x4"], "Block sparsity must be used on weights with 2 axes"),
    ],
)
def test_a_mistake_is_one_message(shown, words: list[str], message: str) -> None:
    code, _, err = shown(*words)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("allocation", ["uniform", "erk", "global"])
def test_what_is_expected_is_what_comes(allocation: str, tmp_path: Path) -> None:
    write_tiny_data(tmp_path / "tiny.npz")
    data = ["data=npz", f"data.path={tmp_path}/tiny.npz", "trainer.epochs=1", "model.hidden=[8]"]
    register_schemas()
    (job,) = dry_run(CommandLine.parse([*data, f"allocation={allocation}", "tracking=none"])).jobs
    preview = preview_job(job.settings)
    words = [*data, f"allocation={allocation}", "tracking=none", "hydra.run.dir=run"]
    assert run_command(tmp_path, *words) == 0
    model = tmp_path / "run" / "model.keras"
    stripped = keras.saving.load_model(model)
    kernels = {f"{x.name}/kernel": x.kernel.numpy() for x in stripped.layers if x.weights}
    zeros = sum(int((kernel == 0).sum()) for kernel in kernels.values())
    assert preview.planned == 2
    assert preview.sizes.stripped_bytes == model.stat().st_size
    assert preview.report.total == pytest.approx(
        zeros / sum(kernel.size for kernel in kernels.values())
    )
    if allocation != "global":
        for weight in preview.report.weights:
            assert weight.kept == int((kernels[weight.name] != 0).sum())


def test_false_is_no_dry_run() -> None:
    assert split_dry_run(["dry_run=false", "seed=1"]) == (False, ["seed=1"])


@pytest.mark.parametrize(
    "schedule",
    [
        PolynomialDecay(0.0, 0.8, 10, 70, frequency=5),
        ConstantSparsity(0.5, 50, 60, frequency=5),
        ConstantSparsity(0.0, 1),
        OneShotSparsity(0.9, 99),
    ],
)
def test_a_drawing_ends_at_the_target(schedule) -> None:
    lines = list(draw(schedule, 100, smooth=False))
    assert len({len(line) for line in lines[:6]}) == 1
    assert lines[0].startswith(f"{max(schedule.target, 0.01):>5.0%} |")
    assert (lines[0][-1] == "#") == (schedule.target > 0)
    assert "1 update" in lines[-1] or "updates" in lines[-1]
    assert "█" not in "".join(lines)
