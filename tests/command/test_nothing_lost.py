"""Faults around the whole command: what it was told to make is there in the end, or said."""

import os
import shlex
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from cli import run_command, write_tiny_data

from pruneplug.command.comparison import read_runs
from pruneplug.command.job import UsageError, _refused
from pruneplug.tracking import Journal
from pruneplug.tracking.journal import values
from pruneplug.training.checkpoints.store import CheckpointStore

pytestmark = pytest.mark.filterwarnings("default")

WORDS = ("data=npz", "data.path=tiny.npz", "model.hidden=[8]", "trainer.epochs=4", "sparsity=0.5")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run without a fault; the data lie beside it."""
    folder = tmp_path_factory.mktemp("whole")
    write_tiny_data(folder / "tiny.npz")
    assert run_command(folder, *WORDS, "tracking=journal", "hydra.run.dir=run") == 0
    return folder / "run"


def points(run: Path) -> list[tuple[int, dict[str, float]]]:
    entries = [entry for entry in Journal.read(run / "journal.jsonl") if "metrics" in entry]
    return [(entry["step"], values(entry)) for entry in entries]


def test_a_folder_that_is_removed_under_way_is_whole_at_the_end(
    whole: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    work, cut = whole.parent, whole.with_name("cut")
    save = CheckpointStore.save

    def save_and_remove(self: CheckpointStore, checkpoint: Any, *args: Any, **options: Any) -> Path:
        path = save(self, checkpoint, *args, **options)
        if checkpoint.step == 4:
            shutil.rmtree(cut, ignore_errors=True)
            assert not cut.exists()
        return path

    monkeypatch.setattr(CheckpointStore, "save", save_and_remove)
    assert run_command(work, *WORDS, "tracking=journal", "hydra.run.dir=cut") == 0
    assert {path.name for path in whole.iterdir()} == {path.name for path in cut.iterdir()}
    assert (whole / "layers.csv").read_bytes() == (cut / "layers.csv").read_bytes()
    assert points(cut) == points(whole)
    assert [run.name for run in read_runs(cut)[0]] == ["cut"]
    assert "journal.jsonl was removed; it is written anew" in caplog.text


def test_what_a_checkpoint_presupposes_is_on_the_disk_before_it(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut right behind a checkpoint: of the journal, what was synced is left."""
    work, cut = whole.parent, whole.with_name("power")
    synced: dict[int, bytes] = {}
    fsync = os.fsync

    def note(descriptor: int) -> None:
        fsync(descriptor)
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.name == "journal.jsonl":
            synced[os.fstat(descriptor).st_ino] = path.read_bytes()

    save = CheckpointStore.save

    def save_and_cut(self: CheckpointStore, checkpoint: Any, *args: Any, **options: Any) -> Path:
        path = save(self, checkpoint, *args, **options)
        if checkpoint.step == 4:
            journal = cut / "journal.jsonl"
            (left,) = synced.values() or [b""]
            with journal.open("r+b") as file:
                file.truncate(len(left))
            raise SystemExit(9)
        return path

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", note)
        patch.setattr(CheckpointStore, "save", save_and_cut)
        assert run_command(work, *WORDS, "tracking=journal", "hydra.run.dir=power") == 9
    before = [entry["id"] for entry in Journal.read(cut / "journal.jsonl") if "id" in entry]
    assert run_command(work, *WORDS, "tracking=journal", "hydra.run.dir=power") == 0
    assert points(cut) == points(whole)
    after = [entry["id"] for entry in Journal.read(cut / "journal.jsonl") if "id" in entry]
    assert after == [before[0], before[0]]  # of the same run in MLflow


def test_a_reason_stands_whatever_cannot_be_cleared_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    def refuse() -> None:
        with _refused(tmp_path):
            (tmp_path / "journal.jsonl").touch()
            monkeypatch.setattr(os, "unlink", fail)
            raise ValueError("The data must fit.")

    with pytest.raises(UsageError, match=r"The data must fit\."):
        refuse()


def test_the_printed_command_goes_on_in_a_folder_of_any_name(
    whole: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = whole.parent / "a\"b, it's=1"
    folder.mkdir()
    save = CheckpointStore.save
    words = [*WORDS, f"data.path={whole.parent}/tiny.npz", "tracking=journal", "hydra.run.dir=run"]
    with monkeypatch.context() as patch:

        def save_and_interrupt(self: CheckpointStore, *args: Any, **options: Any) -> Path:
            patch.setattr(CheckpointStore, "save", save)  # a second signal would end pytest too
            path = save(self, *args, **options)
            os.kill(os.getpid(), signal.SIGINT)
            return path

        patch.setattr(CheckpointStore, "save", save_and_interrupt)
        assert run_command(folder, *words) == 130
    printed = capsys.readouterr().err.splitlines()[-1].partition("To go on: ")[2]
    python, *command = shlex.split(printed)
    assert [python, *command[:2]] == ["python", "-m", "pruneplug.train"]
    assert run_command(whole.parent, *command[2:]) == 0
    final = Path("checkpoints", "final", "arrays.npy")
    assert (folder / "run" / final).read_bytes() == (whole / final).read_bytes()
    assert points(folder / "run") == points(whole)
