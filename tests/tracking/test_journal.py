"""The journal keeps what it was given, whatever happens to the process or the disk."""

import json
import math
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruneplug.tracking import Journal
from pruneplug.tracking.journal import entries, last_run, run_begin, values
from pruneplug.tracking.journal_lines import damage


def _kinds(path: Path) -> list[str]:
    return [entry["type"] for entry in Journal.read(path)]


def test_a_run_reads_back_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "folder" / "journal.jsonl", clock=lambda: 12.3456)
    journal.start({"lr": 0.1, "name": "a", "on": True}, {"git": "abc"})
    journal.log_metrics({"loss": 1.5}, step=3)
    journal.log_artifact(tmp_path / "folder" / "sub" / "table.csv", "tables")
    journal.log_artifact(tmp_path / "elsewhere.csv")
    journal.finish("FINISHED")
    start, params, tags, metrics, inside, outside, finish = Journal.read(journal.path)
    assert not start["resume"]
    assert start["time"] == 12346
    assert params["params"] == {"lr": 0.1, "name": "a", "on": True}
    assert tags["tags"] == {"git": "abc"}
    assert (metrics["step"], values(metrics)) == (3, {"loss": 1.5})
    assert (inside["path"], inside["folder"]) == ("sub/table.csv", "tables")
    assert Path(outside["path"]) == tmp_path / "elsewhere.csv"
    assert finish["status"] == "FINISHED"


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_every_float_survives_strict_json(
    tmp_path_factory: pytest.TempPathFactory, value: float
) -> None:
    journal = Journal(tmp_path_factory.mktemp("j") / "journal.jsonl")
    journal.log_metrics({"loss": value}, step=0)
    line = journal.path.read_text()
    json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    (read,) = (values(entry)["loss"] for entry in Journal.read(journal.path))
    assert read == value or (math.isnan(read) and math.isnan(value))


def test_a_point_is_in_the_file_when_the_call_returns(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.log_metrics({"loss": 1.0}, step=0)
    assert _kinds(journal.path) == ["metrics"]


def test_a_half_written_line_costs_nothing_else(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.log_metrics({"loss": 1.0}, step=0)
    with open(journal.path, "a") as file:
        file.write('{"type": "metr')
    assert _kinds(journal.path) == ["metrics"]
    Journal(journal.path).log_metrics({"loss": 2.0}, step=1)
    assert [entry["step"] for entry in Journal.read(journal.path)] == [0, 1]


def test_reading_goes_on_from_an_offset(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    for step in range(3):
        journal.log_metrics({"loss": 0.0}, step)
    offset, _ = next(entries(journal.path))
    assert [entry["step"] for _, entry in entries(journal.path, offset)] == [1, 2]


def test_a_resumed_run_does_not_record_repeated_steps(tmp_path: Path) -> None:
    first = Journal(tmp_path / "journal.jsonl")
    first.start({}, {})
    for step in (1, 2, 3):
        first.log_metrics({"loss": 1.0}, step)
    second = Journal(first.path, resume=True)
    second.start({}, {})
    for step in (2, 3, 4):
        second.log_metrics({"loss": 1.0, "late": 0.0}, step)
    run = last_run(first.path)
    assert [e["step"] for e in run if "loss" in e.get("metrics", {})] == [1, 2, 3, 4]
    assert [e["step"] for e in run if "late" in e.get("metrics", {})] == [2, 3, 4]
    starts = [entry for entry in run if entry["type"] == "start"]
    assert [start["resume"] for start in starts] == [False, True]
    assert len({start["id"] for start in starts}) == 1


def test_a_new_run_in_an_old_file_records_everything(tmp_path: Path) -> None:
    for _ in range(2):
        journal = Journal(tmp_path / "journal.jsonl")
        journal.start({}, {})
        journal.log_metrics({"loss": 1.0}, step=1)
    assert _kinds(journal.path).count("metrics") == 2
    assert len(last_run(journal.path)) == 4
    assert run_begin(journal.path) > journal.path.stat().st_size / 2


def test_resume_without_an_earlier_run_is_a_start(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl", resume=True)
    journal.start({}, {})
    assert [entry["resume"] for entry in Journal.read(journal.path) if "resume" in entry] == [False]


def test_passwords_stay_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.start({"tracking.uri": "https://me:s3cret@host/x"}, {"from": "ftp://me:s3cret@host"})
    assert "s3cret" not in journal.path.read_text()


def test_lines_wait_until_the_disk_takes_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path / "folder" / "journal.jsonl")
    moved = journal.path.parent.rename(tmp_path / "away")
    for step in range(3):
        journal.log_metrics({"loss": 1.0}, step)
    moved.rename(journal.path.parent)
    journal.log_metrics({"loss": 1.0}, 3)
    assert [entry["step"] for entry in Journal.read(journal.path)] == [0, 1, 2, 3]
    assert len(caplog.messages) == 1


def test_an_unwritable_file_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").mkdir()
    with pytest.raises(OSError, match=r"journal\.jsonl"):
        Journal(tmp_path / "journal.jsonl")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A journal with one entry of each type, two of the metrics."""
    journal = Journal(tmp_path / "run" / "journal.jsonl", clock=lambda: 1.5)
    journal.start({"lr": 0.1, "name": "a"}, {"git": "abc"}, {"uri": "http://host"})
    journal.log_metrics({"loss": 1.0, "nan": math.nan}, 10)
    journal.log_metrics({"loss": 2.0}, 11)
    journal.log_artifact(tmp_path / "run" / "table.csv")
    journal.finish("FINISHED")
    return journal.path


@pytest.mark.parametrize("flip", [0x01, 0x20, 0x80])
def test_a_damaged_byte_costs_its_line_at_most(written: Path, flip: int) -> None:
    data, whole = written.read_bytes(), list(Journal.read(written))
    for place in range(len(data)):
        written.write_bytes(data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :])
        left = list(Journal.read(written))
        lost = [e for e in whole if not any(e.items() <= other.items() for other in left)]
        made_up = [e for e in left if not any(entry.items() <= e.items() for entry in whole)]
        assert made_up == []
        assert len(lost) <= 1
        assert not any(entry["type"] == "start" for entry in lost)
        assert not lost or damage(written)
        assert next(e["id"] for e in last_run(written) if e["type"] == "start") == whole[0]["id"]


def test_old_lines_without_a_checksum_are_read_or_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    good = [
        {"type": "start", "time": 1, "id": "a", "resume": False},
        {"type": "metrics", "time": 2, "step": 3, "metrics": {"loss": "NaN", "acc": 1}},
    ]
    bad = [
        {"type": "metrics", "time": 2, "step": 3},
        {"type": "metrics", "time": 2, "step": "3", "metrics": {}},
        {"type": "metrics", "time": 2, "step": 3, "metrics": {"loss": "NaM"}},
        {"type": "metrics", "time": 2, "step": 3, "metrics": {"loss": [1]}},
        {"type": "start", "time": 1, "id": 5, "resume": False},
        {"type": "artifact", "time": 1, "path": None, "folder": ""},
        {"type": "params", "time": 1.5, "params": {}},
        {"type": 5, "time": 1},
        [1],
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in [*good, *bad]))
    assert list(Journal.read(path)) == good
    assert damage(path).startswith("9 lines are damaged")
    assert [entry["type"] for entry in last_run(path)] == ["start", "metrics"]


@pytest.mark.parametrize("torn", ['{"type": "metr', "\0\0\0", '{"type": "finish", "ti'])
def test_a_torn_end_is_no_damage(written: Path, torn: str) -> None:
    whole = list(Journal.read(written))
    with written.open("a") as file:
        file.write(torn)
    Journal(written, resume=True).start({}, {})
    assert list(Journal.read(written))[: len(whole)] == whole
    assert damage(written) == ""


def test_a_removed_folder_comes_back_with_all_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path / "run" / "journal.jsonl")
    journal.start({}, {})
    for step in range(6):
        if step in (2, 4):
            shutil.rmtree(tmp_path / "run")
        journal.log_metrics({"loss": 1.0}, step)
    journal.finish("FINISHED")
    assert [e["step"] for e in Journal.read(journal.path) if "step" in e] == [0, 1, 2, 3, 4, 5]
    assert _kinds(journal.path)[0] == "start"
    assert len(caplog.messages) == 2
    assert "was removed; it is written anew" in caplog.text


def test_lines_that_were_never_written_are_said_to_be_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.start({}, {})

    def fail(*_: object) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "write", fail)
    journal.log_metrics({"loss": 1.0}, 0)
    journal.log_metrics({"loss": 1.0}, 1)
    journal.finish("FINISHED")
    assert "cannot be written ([Errno 30] Read-only file system)" in caplog.messages[0]
    assert caplog.messages[1].startswith("Lost: the last 3 lines of ")


def test_a_run_is_on_the_disk_when_it_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, int]] = []
    real = os.fsync

    def note(descriptor: int) -> None:
        stat = os.fstat(descriptor)
        synced.append((stat.st_ino, stat.st_size))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    journal = Journal(tmp_path / "journal.jsonl")
    journal.start({}, {})
    file, folder = journal.path.stat(), tmp_path.stat()
    assert synced[0] == (file.st_ino, file.st_size)
    assert synced[1][0] == folder.st_ino
    journal.log_metrics({"loss": 1.0}, 0)
    journal.flush()
    assert synced[2] == (file.st_ino, journal.path.stat().st_size)


def test_a_disk_that_cannot_sync_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    journal = Journal(tmp_path / "journal.jsonl")
    journal.start({}, {})
    journal.finish("FINISHED")
    assert _kinds(journal.path) == ["start", "params", "tags", "finish"]
    assert "may not survive a power cut ([Errno 5] Input/output error)" in caplog.text
