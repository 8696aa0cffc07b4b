import json
from pathlib import Path

import pytest

from pruneplug.training.manifest import (
    FORMAT,
    DamagedCheckpointError,
    read_manifest,
    write_manifest,
)
from pruneplug.training.records import hash_file


def seal(folder: Path, **changes: object) -> None:
    (folder / "data").write_bytes(b"123")
    size, sha = hash_file(folder / "data")
    files = {"data": {"size": size, "sha256": sha}}
    write_manifest(folder, {"format": FORMAT, "files": files, **changes})


def test_returns_what_was_written(tmp_path: Path) -> None:
    seal(tmp_path, step=3)
    assert read_manifest(tmp_path)["step"] == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"124", "data does not match"), (b"12", "2 bytes instead of 3"), (None, "data: No such")],
)
def test_notices_a_changed_file(tmp_path: Path, content: bytes | None, message: str) -> None:
    seal(tmp_path)
    (tmp_path / "data").unlink()
    if content is not None:
        (tmp_path / "data").write_bytes(content)
    with pytest.raises(DamagedCheckpointError, match=message):
        read_manifest(tmp_path)
    read_manifest(tmp_path, files=False)


@pytest.mark.parametrize("name", ["manifest.json", "manifest.json.sha256"])
def test_notices_a_missing_or_changed_manifest(tmp_path: Path, name: str) -> None:
    seal(tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b" ")
    with pytest.raises(DamagedCheckpointError, match=r"manifest.json does not match"):
        read_manifest(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(DamagedCheckpointError, match="No such file"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "..", "a/b"])
def test_names_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    seal(tmp_path, files={name: {"size": 0, "sha256": ""}})
    with pytest.raises(DamagedCheckpointError, match="is not a file of this folder"):
        read_manifest(tmp_path)


def test_links_are_not_followed(tmp_path: Path) -> None:
    seal(tmp_path)
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    (tmp_path / "data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DamagedCheckpointError, match="is not a file of this folder"):
        read_manifest(tmp_path)


def test_refuses_another_format(tmp_path: Path) -> None:
    seal(tmp_path, format=99)
    with pytest.raises(ValueError, match="format must be 1; got format=99"):
        read_manifest(tmp_path)
    assert json.loads((tmp_path / "manifest.json").read_text())["format"] == 99
