import json
import os
import stat
from pathlib import Path

import pytest

from pruneplug.training.checkpoints.arrays import hash_file
from pruneplug.training.checkpoints.manifest import (
    FORMAT,
    DamagedCheckpointError,
    read_manifest,
    write_manifest,
)


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


@pytest.mark.parametrize("name", ["data", "manifest.json", "manifest.json.sha256"])
@pytest.mark.parametrize("kind", ["fifo", "link", "folder", "socket"])
def test_what_is_no_plain_file_is_not_opened(tmp_path: Path, name: str, kind: str) -> None:
    seal(tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)  # opening it would wait for somebody to write into it
    elif kind == "link":
        elsewhere = tmp_path.with_name("elsewhere")
        elsewhere.write_bytes(content)
        path.symlink_to(elsewhere)
    elif kind == "folder":
        path.mkdir()
    else:
        os.mknod(path, 0o600 | stat.S_IFSOCK)
    with pytest.raises(DamagedCheckpointError, match=f"'{name}' is not a file of this folder"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("kind", ["file", "fifo", "link"])
def test_what_is_not_listed_is_named_and_not_read(tmp_path: Path, kind: str) -> None:
    seal(tmp_path, step=3)
    stranger = tmp_path / "iterator.index"
    if kind == "file":
        stranger.write_text("x")
    elif kind == "fifo":
        os.mkfifo(stranger)
    else:
        stranger.symlink_to("/dev/zero")
    with pytest.warns(UserWarning, match="holds iterator.index, which its manifest does not list"):
        assert read_manifest(tmp_path)["step"] == 3


@pytest.mark.parametrize(
    "manifest",
    [
        [], {}, {"format": FORMAT}, {"format": FORMAT, "files": 3},
        {"format": FORMAT, "files": {"data": 3}}, {"format": FORMAT, "files": {"data": {}}},
    ],
)  # fmt: skip
def test_a_manifest_of_another_make_is_damaged(tmp_path: Path, manifest: object) -> None:
    seal(tmp_path)
    write_manifest(tmp_path, manifest)  # type: ignore[arg-type]
    with pytest.raises(DamagedCheckpointError):
        read_manifest(tmp_path)
