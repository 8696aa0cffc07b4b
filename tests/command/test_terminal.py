"""The command in a terminal and out of one: help, completion, colors."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from places import ROOT

SCRIPT = Path(sys.executable).with_name("pruneplug-train")
RUN = [sys.executable, "-m", "pruneplug.train", "dry_run=true", "tracking=none"]
ESCAPE = "\x1b["
COLOR = re.compile(r"\x1b\[[0-9;]*(3[0-7]|9[0-7]|38;[0-9;]+)m")


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    return {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "120", **more}


def in_terminal(folder: Path, **more: str) -> str:
    """Run the command with a terminal as its standard output, and return what it wrote there."""
    ours, its = pty.openpty()
    with subprocess.Popen(
        RUN, cwd=folder, env=environment(**more), stdout=its, stderr=subprocess.DEVNULL
    ) as process:
        os.close(its)
        written, deadline = b"", time.monotonic() + 200
        while time.monotonic() < deadline:
            ready, _, _ = select.select([ours], [], [], 1.0)
            try:
                part = os.read(ours, 65536) if ready else None
            except OSError:  # how Linux says that the other end is closed
                break
            if part == b"":
                break
            written += part or b""
    os.close(ours)
    assert process.returncode == 0
    return written.decode()


def test_a_terminal_gets_colors(tmp_path: Path) -> None:
    assert ESCAPE in in_terminal(tmp_path)


def test_no_color_is_obeyed(tmp_path: Path) -> None:
    assert not COLOR.search(in_terminal(tmp_path, NO_COLOR="1"))


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_pipe_gets_plain_text(encoding: str, tmp_path: Path) -> None:
    env = environment(PYTHONIOENCODING=encoding)
    done = subprocess.run(RUN, cwd=tmp_path, env=env, capture_output=True, check=True)
    assert b"\x1b" not in done.stdout + done.stderr
    assert "hidden_1/kernel" in done.stdout.decode(encoding)


def test_help_is_for_people(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pruneplug.train", "--help"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    for part in (
        "one run", "a run for each value", "dry_run=true", "Groups (the default first)",
        "Common settings", "Exit codes: 0 done, 1 failed, 2", "3 target sparsity not reached",
        "-sc install=bash", "python -m pruneplug.report",
    ):  # fmt: skip
        assert part in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 100


@pytest.mark.skipif(not SCRIPT.exists(), reason="pruneplug-train is not installed")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("schedule=po", {"schedule=polynomial"}),
        ("trainer.ep", {"trainer.epochs="}),
        ("sparsity=0.5 block=4x", {"block=4x1", "block=4x4"}),
    ],
)
def test_bash_completes(typed: str, offered: set[str]) -> None:
    line = f"pruneplug-train {typed}"
    words = " ".join(f"'{word}'" for word in line.split())
    script = (
        'eval "$(pruneplug-train -sc install=bash)"\n'
        f"COMP_LINE='{line}' COMP_POINT={len(line)} COMP_WORDS=({words})\n"
        f"COMP_CWORD={len(line.split()) - 1}\n"
        'hydra_bash_completion\nprintf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = f"{SCRIPT.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], env=environment(PATH=path), capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert set(done.stdout.split()) == offered
