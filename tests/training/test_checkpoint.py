from pathlib import Path

import numpy as np
import pytest

from pruneplug.training.checkpoint import (
    Checkpoint,
    folder_name,
    read_checkpoint,
    write_checkpoint,
)
from pruneplug.training.manifest import DamagedCheckpointError

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
