from pathlib import Path

import pytest

from pruneplug.training.checkpoints.checkpoint import Checkpoint
from pruneplug.training.checkpoints.resume import check_identity, find_checkpoint
from pruneplug.training.checkpoints.store import CheckpointStore


def save(store: CheckpointStore, step: int, outcome: object = None) -> Path:
    facts = {"outcome": outcome, "epochs": 3, "identity": {"seed": 1, "data": {"batch_size": 8}}}
    return store.save(Checkpoint(step, facts, {}), final=outcome is not None)


def test_auto_finds_the_newest_and_never_refuses(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "checkpoints")
    assert find_checkpoint(store, "auto", 3) is None
    assert find_checkpoint(store, "never", 3) is None
    save(store, 5)
    found = find_checkpoint(store, "auto", 3)
    assert found is not None
    assert found.step == 5
    with pytest.raises(ValueError, match="must not hold the checkpoints of another run"):
        find_checkpoint(store, "never", 3)


def test_a_path_may_name_a_checkpoint_or_a_run(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "checkpoints")
    first = save(store, 5)
    save(store, 6)
    for path, step in [(first, 5), (tmp_path, 6)]:
        found = find_checkpoint(None, str(path), 3)
        assert found is not None
        assert found.step == step
    with pytest.raises(FileNotFoundError, match="where no valid checkpoint is"):
        find_checkpoint(None, str(tmp_path / "other"), 3)


def test_a_finished_run_counts_for_its_own_length_only(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "checkpoints")
    save(store, 6)
    save(store, 6, outcome={})
    lengths = {3: True, 4: False}
    for epochs, finished in lengths.items():
        found = find_checkpoint(store, "auto", epochs)
        assert found is not None
        assert found.is_finished == finished


def test_shows_every_difference(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "checkpoints")
    save(store, 5)
    checkpoint = store.at(5)
    assert not check_identity(checkpoint, {"seed": 1, "data": {"batch_size": 8}}, epochs=4)
    with pytest.raises(
        ValueError, match=r"seed: 1 in the checkpoint, 2 now\n- trainer\.batch_size: 8 .*16"
    ):
        check_identity(checkpoint, {"seed": 2, "data": {"batch_size": 16}}, epochs=3)
