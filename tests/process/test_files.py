import csv
import errno
import os
import re
from functools import partial
from pathlib import Path

import pytest

from pruneplug.process.files import find_files, read_json, replacing, write_csv, write_json


def test_finds_files_by_their_names(tmp_path: Path) -> None:
    for name in ("a.txt", "b/a.txt", "b/c/a.txt", "b/c/d.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "e.txt").mkdir()
    found = {str(path.relative_to(tmp_path)) for path in find_files(tmp_path, "*.txt")}
    assert found == {"a.txt", "b/a.txt", "b/c/a.txt"}
    assert list(find_files(tmp_path / "nowhere", "*")) == []


def test_passes_over_what_vanishes_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "job.json").touch()
    (tmp_path / "checkpoints").mkdir()
    files = find_files(tmp_path, "job.json")
    assert next(files) == tmp_path / "job.json"
    (tmp_path / "checkpoints").rmdir()
    assert list(files) == []


@pytest.mark.parametrize("broken", ["write", "fsync", "replace"])
def test_a_file_is_what_it_was_until_it_is_what_it_is_to_be(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "summary.json"
    write_json(path, {"steps": 1})

    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if broken == "write":
        monkeypatch.setattr(Path, "write_bytes", lambda path, data: [path.touch(), fail()])
    else:
        monkeypatch.setattr(os, broken, fail)
    with pytest.raises(OSError, match="No space"):
        write_json(path, {"steps": 2})
    assert read_json(path) == {"steps": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_on_the_disk_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        note = partial(lambda name, real, *args: (calls.append(name), real(*args))[1], name, real)
        monkeypatch.setattr(os, name, note)
    with replacing(tmp_path / "curves.png") as aside:
        assert aside.suffix == ".png"
        aside.write_bytes(b"picture")
    assert calls == ["fsync", "replace", "fsync"]
    assert (tmp_path / "curves.png").read_bytes() == b"picture"


def test_a_table_holds_no_formulas(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    row = {"job": -1, "overrides": '=cmd|"/C calc"!A0', "folder": "a,b", "@sum": -0.5}
    write_csv(path, ["job", "overrides", "folder", "@sum", "size"], [row, {"overrides": "+a=1"}])
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["job", "overrides", "folder", "'@sum", "size"],
        ["-1", "'" + row["overrides"], "a,b", "-0.5", ""],
        ["", "'+a=1", "", "", ""],
    ]


@pytest.mark.parametrize("content", [b"", b'{"steps": 1', b"\xff\x00", b"[1]", b"[" * 100_000])
def test_a_damaged_file_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        read_json(path)
