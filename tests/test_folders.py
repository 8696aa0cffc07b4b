from pathlib import Path

from pruneplug.folders import find_files


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
