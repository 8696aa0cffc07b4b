import os
import time
from pathlib import Path

import numpy as np
import pytest

from pruneplug.training.checkpoint import Checkpoint
from pruneplug.training.checkpoint_store import CheckpointStore


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
