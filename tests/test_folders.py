from pathlib import Path

import pytest

from pruneplug.folders import find_files, write_text


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


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_text(path, "{}")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "x" * 100_000 + "\ud800")
    assert path.read_text() == "{}"
    assert list(tmp_path.iterdir()) == [path]
