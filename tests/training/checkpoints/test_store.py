import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from pruneplug.training.checkpoints.checkpoint import Checkpoint
from pruneplug.training.checkpoints.store import CheckpointStore


def content(step: int, *needs: int) -> Checkpoint:
    return Checkpoint(step, {}, {"model": [("a", np.full(4, step))]}, needs)


def names(store: CheckpointStore) -> list[str]:
    if store._removal is not None:  # old ones go in the background
        store._removal.join()
    return sorted(path.name for path in store.folder.iterdir())


def newest(store: CheckpointStore) -> int | None:
    return next((checkpoint.step for checkpoint in store.candidates()), None)


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "run" / "checkpoints", keep=2)


def test_begins_empty(store: CheckpointStore) -> None:
    assert not store.exists()
    assert newest(store) is None


def test_keeps_the_newest_and_points_to_the_last(store: CheckpointStore) -> None:
    for step in (1, 2, 3):
        assert store.save(content(step)) == store.folder / f"step-{step:08d}"
    assert names(store) == ["latest", "step-00000002", "step-00000003"]
    assert (store.folder / "latest").read_text() == "step-00000003\n"
    assert newest(store) == 3


def test_keeps_what_a_kept_one_needs(store: CheckpointStore) -> None:
    for step, needs in [(1, ()), (2, (1,)), (3, (1,)), (4, (4,))]:
        store.save(content(step, *needs))
    assert store.steps() == [1, 3, 4]
    store.save(content(5, 4))
    assert store.steps() == [4, 5]
    assert store.at(4).step == 4


def test_falls_back_to_the_one_before_a_damaged_one(store: CheckpointStore) -> None:
    for step in (1, 2):
        store.save(content(step))
    with (store.folder / "step-00000002" / "arrays.npy").open("r+b") as file:
        file.truncate(100)
    with pytest.warns(UserWarning, match=r"step-00000002: arrays.npy has 100 bytes instead of"):
        assert newest(store) == 1
    store.save(content(2))
    assert newest(store) == 2


def test_the_end_of_a_run_comes_first_and_stays(store: CheckpointStore) -> None:
    store.save(content(3))
    store.save(content(2), final=True)
    assert [checkpoint.step for checkpoint in store.candidates()] == [2, 3]
    store.save(content(9), final=True)
    assert newest(store) == 9


def test_a_failure_leaves_the_previous_one(store: CheckpointStore) -> None:
    def full(folder: Path) -> None:
        raise OSError("No space left on device")

    store.save(content(1))
    with pytest.raises(OSError, match="No space left"):
        store.save(content(2), full)
    assert names(store) == ["latest", "step-00000001"]


def test_removes_what_a_killed_process_left(store: CheckpointStore) -> None:
    store.save(content(1))
    (store.folder / ".step-00000002.123.draft").mkdir()
    (store.folder / ".latest.123.draft").write_text("step-")
    assert newest(store) == 1
    store.save(content(2))
    assert names(store) == ["latest", "step-00000001", "step-00000002"]


def test_a_pointer_that_cannot_be_written_costs_no_checkpoint(store: CheckpointStore) -> None:
    store.folder.mkdir(parents=True)
    (store.folder / "latest").mkdir()
    with pytest.warns(UserWarning, match="latest, which names the newest checkpoint, cannot be"):
        store.save(content(1))
    assert newest(store) == 1
    assert names(store) == ["latest", "step-00000001"]


def test_old_ones_that_cannot_be_removed_cost_no_checkpoint(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (1, 2):
        store.save(content(step))
    real = os.rename

    def rename(source: Path, target: Path) -> None:
        if str(target).endswith(".old"):
            raise OSError(5, "Input/output error")
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    store.save(content(3))
    assert newest(store) == 3
    monkeypatch.undo()
    monkeypatch.setattr(os, "unlink", lambda *_, **__: rename(Path(), Path(".old")))
    store.save(content(4))
    assert newest(store) == 4


def test_the_hours_that_one_is_kept_for_are_those_of_the_run(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that is set back or forward changes nothing, nor does a new process."""
    day, passed = [10.0 * 86400], [0.0]
    monkeypatch.setattr(time, "time", lambda: day[0])

    def opened() -> CheckpointStore:
        return CheckpointStore(store.folder, 1, 600, lambda: passed[0])

    one = opened()
    for step in range(1, 5):
        one.save(content(step))
        passed[0] += 240
    day[0] -= 86400
    passed[0] = 5.0  # a process of its own counts from anywhere
    two = opened()
    for step in range(5, 9):
        passed[0] += 240
        two.save(content(step))
    day[0] += 3 * 86400
    two.save(content(9))
    assert two.steps() == [1, 4, 7, 9]


class Killed(BaseException):
    """What ends a process: nothing is done behind it."""


class Fuse:
    """Lets the n-th change of the disk, and all behind it, not happen."""

    CHANGES = ("rename", "replace", "mkdir", "unlink", "rmdir", "fsync")

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 10**9
        for name in self.CHANGES:
            monkeypatch.setattr(os, name, self.wrap(getattr(os, name)))

    def wrap(self, change: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            self.left -= 1
            if self.left < 0:
                raise Killed
            return change(*args, **kwargs)

        return call


# What is there, and what is saved then; True stands for the end of the run.
STORIES = {
    "first": ([], (1, False)),
    "next": ([(1, False)], (2, False)),
    "same step": ([(1, False)], (1, False)),
    "end": ([(1, False)], (1, True)),
    "another end": ([(1, True)], (2, True)),
    "needed": ([(1, False), (2, False)], (2, False)),
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("story", STORIES)
def test_killed_at_any_change_a_whole_checkpoint_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, story: str
) -> None:
    before, (step, final) = STORIES[story]
    with monkeypatch.context() as patch:
        fuse = Fuse(patch)
        for point in range(100):
            store = CheckpointStore(tmp_path / str(point), keep=1)
            for earlier, end in before:
                store.save(content(earlier), final=end)
            names(store) if before else None
            fuse.left = point
            with suppress(Killed):
                store.save(content(step), final=final)
            if store._removal is not None:
                store._removal.join()
            done, fuse.left = fuse.left >= 0, 10**9

            found = newest(CheckpointStore(store.folder))
            assert found in {step, *(earlier for earlier, _ in before[-1:] or [(None, False)])}
            # The process that goes on saves the same step again, and all is tidy.
            again = CheckpointStore(store.folder, keep=1)
            again.save(content(step), final=final)
            assert newest(again) == step
            assert not [name for name in names(again) if "." in name]
            if done:
                break
    assert point > 10


def test_what_was_just_saved_stays_below_a_damaged_one(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep=1)
    store.save(content(9))
    (tmp_path / "step-00000009" / "manifest.json").write_text("{")
    store.save(content(7))
    with pytest.warns(UserWarning, match="damaged checkpoint was skipped"):
        assert newest(store) == 7


def test_the_version_that_is_whole_is_read(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    store.save(content(1))
    shutil.copytree(tmp_path / "step-00000001", tmp_path / "step-00000001.1")
    assert store.steps() == [1]
    assert [checkpoint.path.name for checkpoint in store.candidates()] == [
        "step-00000001.1",
        "step-00000001",
    ]
    (tmp_path / "step-00000001.1" / "manifest.json").unlink()
    assert store.at(1).path.name == "step-00000001"
    store.save(content(1))
    assert names(store) == ["latest", "step-00000001"]
