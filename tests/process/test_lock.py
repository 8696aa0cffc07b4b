import errno
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from places import ROOT

from pruneplug.process.lock import FolderInUseError, sole_use

HOLD = """
import sys, time
from pathlib import Path
from pruneplug.process.lock import sole_use
with sole_use(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def hold(path: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_names_the_owner_and_takes_over_from_a_dead_one(tmp_path: Path) -> None:
    path = tmp_path / "run" / ".lock"
    with hold(path) as process:
        with pytest.raises(FolderInUseError) as refused, sole_use(path):
            pass
        named = rf"process {process.pid} on {re.escape(socket.gethostname())}, started at \d{{4}}-"
        assert re.search(named, str(refused.value))
        process.send_signal(signal.SIGKILL)
    assert path.exists()
    with sole_use(path):
        pass
    assert not path.exists()


def test_holds_against_its_own_process_too(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    now = datetime(2030, 1, 2, tzinfo=UTC)
    with sole_use(path, lambda: now):
        with pytest.raises(FolderInUseError, match="started at 2030-01-02"), sole_use(path):
            pass
        path.write_text("")
        with pytest.raises(FolderInUseError, match="just starting"), sole_use(path):
            pass


def test_an_error_lets_go(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with pytest.raises(RuntimeError), sole_use(path):
        raise RuntimeError
    with sole_use(path):
        pass


def failing(*arguments: object, **options: object) -> None:
    raise OSError(errno.EROFS, "Read-only file system")


@pytest.mark.parametrize("call", ["unlink", "stat", "fstat", "close"])
def test_a_lock_that_cannot_be_removed_takes_nothing_with_it(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".lock"
    with monkeypatch.context() as patch:
        with sole_use(path):
            patch.setattr(os, call, failing)
        done = True
    assert done

    def end(patch: pytest.MonkeyPatch) -> None:
        with sole_use(tmp_path / "other"):
            patch.setattr(os, call, failing)
            raise SystemExit(143)

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as ending:
        end(patch)
    assert ending.value.code == 143


def test_the_lock_of_another_run_is_let_alone(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with sole_use(folder / ".lock"):
        shutil.rmtree(folder)
        with sole_use(folder / ".lock"):
            pass
        folder.joinpath(".lock").write_text("of another run")
    assert folder.joinpath(".lock").read_text() == "of another run"
