from pathlib import Path

import pytest

from pruneplug.command.failures import broken_off, describe, keep_traceback
from pruneplug.command.folder import ERRORS

GRAPH = """Graph execution error:

Detected at node PyFunc defined at (most recent call last):
<stack traces unavailable>
ValueError: row 27 is broken
Traceback (most recent call last):

  File "x.py", line 6, in gen
ValueError: row 27 is broken
\t [[{{node PyFunc}}]]"""


def test_finds_the_telling_line() -> None:
    assert describe(RuntimeError(GRAPH)) == "RuntimeError: ValueError: row 27 is broken"
    assert describe(KeyError()) == "KeyError: "


def test_says_the_notes_too() -> None:
    error = ValueError("Too small.")
    error.add_note("It can go on from step 3.")
    assert describe(error) == "ValueError: Too small. It can go on from step 3."


def test_a_launcher_whose_process_is_gone_needs_no_details() -> None:
    gone = type("UncompletedJobError", (Exception,), {})("Job 7 (task: 0) with path /x.pkl")
    said = "The process of a job was killed or has crashed (UncompletedJobError)"
    assert broken_off(gone) == f"{said}; its job is not finished."
    assert broken_off(KeyError("x")) == "The command broke off: KeyError: 'x'"


def test_keeps_every_traceback_in_a_file(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with pytest.raises(ValueError, match=text) as failure:
            raise ValueError(text)
        assert str(tmp_path / ERRORS) in keep_traceback(failure.value, tmp_path)
    content = (tmp_path / ERRORS).read_text()
    assert content.count("Traceback") == 2
    assert "ValueError: second" in content


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    said = keep_traceback(ValueError("x"), tmp_path / "missing")
    assert "could not be written" in said
    assert "No such file" in said


@pytest.mark.parametrize("line", ["", "   "])
def test_an_error_without_words_has_its_type(line: str) -> None:
    assert describe(OSError(line)) == "OSError: "
