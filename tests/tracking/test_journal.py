"""The journal keeps what it was given, whatever happens to the process or the disk."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruneplug.tracking import Journal
from pruneplug.tracking.journal import entries, last_run, run_begin, values


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
