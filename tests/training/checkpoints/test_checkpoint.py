import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pruneplug.training.checkpoints.arrays import hash_file
from pruneplug.training.checkpoints.checkpoint import (
    Checkpoint,
    folder_name,
    read_checkpoint,
    write_checkpoint,
)
from pruneplug.training.checkpoints.manifest import MANIFEST, DamagedCheckpointError, write_manifest

CONTENT = Checkpoint(
    step=7,
    facts={"epoch": 1, "value": [0.1, None, float("inf")]},
    sections={"model": [("a", np.arange(3.0)), ("b", np.array(1, "int64"))], "empty": []},
    needs=[3],
)


def write(parent: Path) -> Path:
    folder = parent / folder_name(7)
    folder.mkdir()
    write_checkpoint(folder, CONTENT, lambda path: (path / "extra").write_text("x") and None, 0)
    return folder


def test_comes_back_as_written(tmp_path: Path) -> None:
    folder = write(tmp_path)
    back = read_checkpoint(folder)
    assert (back.step, back.facts, back.needs, back.path) == (7, CONTENT.facts, [3], folder)
    assert {name: [path for path, _ in arrays] for name, arrays in back.sections.items()} == {
        "model": ["a", "b"],
        "empty": [],
    }
    for (_, one), (_, other) in zip(CONTENT.sections["model"], back.sections["model"], strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_changed_byte_goes_unnoticed(tmp_path: Path) -> None:
    folder = write(tmp_path)
    for path in folder.iterdir():
        whole = path.read_bytes()
        for index in range(len(whole)):
            for bit in (1, 32):
                path.write_bytes(whole[:index] + bytes([whole[index] ^ bit]) + whole[index + 1 :])
                with pytest.raises(DamagedCheckpointError):
                    read_checkpoint(folder)
        path.write_bytes(whole)
    read_checkpoint(folder)


def test_belongs_to_the_step_of_its_folder(tmp_path: Path) -> None:
    folder = write(tmp_path).rename(tmp_path / folder_name(8))
    with pytest.raises(DamagedCheckpointError, match="holds step 7"):
        read_checkpoint(folder)


def reseal(folder: Path, **changes: Any) -> None:
    """Do what somebody does who hands on a checkpoint of another make: seal it anew."""
    manifest = json.loads((folder / MANIFEST).read_bytes())
    size, sha = hash_file(folder / "arrays.npy")
    manifest["files"]["arrays.npy"] = {"size": size, "sha256": sha}
    write_manifest(folder, {**manifest, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"arrays": []},
        {"arrays": [{"section": "other", "path": "a", "dtype": "float64"}] * 2},
        {"arrays": [{"section": "model"}] * 2},
        {"arrays": [{"section": "model", "path": "a", "dtype": ["x"]}] * 2},
        {"arrays": [{"section": "model", "path": "a", "dtype": "float64"}] * 9},
        {"sections": 5},
        {"sections": [["model"]]},
        {"step": "7"},
        {"step": None},
    ],
)
def test_another_makes_checkpoint_is_damaged_and_no_surprise(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    folder = write(tmp_path)
    reseal(folder, **changes)
    if changes == {"arrays": []}:
        assert read_checkpoint(folder).sections["model"] == []  # refused by its variables
        return
    with pytest.raises(DamagedCheckpointError):
        read_checkpoint(folder)


def test_arrays_that_say_they_are_huge_are_damage(tmp_path: Path) -> None:
    folder = write(tmp_path)
    with (folder / "arrays.npy").open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (2**32,)}
        np.lib.format.write_array_header_1_0(file, header)
    reseal(folder)
    with pytest.raises(DamagedCheckpointError, match="needs 34359738368 bytes; got 0"):
        read_checkpoint(folder)


def test_only_what_was_written_with_it_counts_as_its_files(tmp_path: Path) -> None:
    folder = write(tmp_path)
    assert read_checkpoint(folder).extra == folder
    plain = tmp_path / "other" / folder_name(7)
    plain.mkdir(parents=True)
    write_checkpoint(plain, CONTENT, lambda path: None, 0)
    (plain / "iterator.index").write_text("a stranger's")
    with pytest.warns(UserWarning, match="iterator.index"):
        assert read_checkpoint(plain).extra is None
