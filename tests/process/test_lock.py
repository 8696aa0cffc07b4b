import errno
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from places import ROOT

from pruneplug.process.lock import LOCK, FolderInUseError, sole_use

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
    folder = tmp_path / "run"
    with hold(folder) as process:
        with pytest.raises(FolderInUseError) as refused, sole_use(folder):
            pass
        named = rf"process {process.pid} on {re.escape(socket.gethostname())}, started at \d{{4}}-"
        assert re.search(named, str(refused.value))
        process.send_signal(signal.SIGKILL)
    assert (folder / LOCK).exists()
    with sole_use(folder):
        pass
    assert not (folder / LOCK).exists()


def test_holds_against_its_own_process_too(tmp_path: Path) -> None:
    now = datetime(2030, 1, 2, tzinfo=UTC)
    with sole_use(tmp_path, now=lambda: now):
        with pytest.raises(FolderInUseError, match="started at 2030-01-02"), sole_use(tmp_path):
            pass
        (tmp_path / LOCK).write_text("")
        with pytest.raises(FolderInUseError, match="just starting"), sole_use(tmp_path):
            pass


def test_a_folder_is_lent_to_what_is_called_and_to_no_one_else(tmp_path: Path) -> None:
    def another() -> None:
        with sole_use(tmp_path):
            pass

    with sole_use(tmp_path, lend=True):
        with sole_use(tmp_path):
            assert (tmp_path / LOCK).exists()
        assert (tmp_path / LOCK).exists()
        with ThreadPoolExecutor(1) as thread, pytest.raises(FolderInUseError):
            thread.submit(another).result()
    with sole_use(tmp_path), pytest.raises(FolderInUseError), sole_use(tmp_path):
        pass


def test_an_error_lets_go(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), sole_use(tmp_path):
        raise RuntimeError
    with sole_use(tmp_path):
        pass


def failing(*arguments: object, **options: object) -> None:
    raise OSError(errno.EROFS, "Read-only file system")


@pytest.mark.parametrize("call", ["unlink", "stat", "fstat", "close"])
def test_a_lock_that_cannot_be_removed_takes_nothing_with_it(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        with sole_use(tmp_path):
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
    with sole_use(folder):
        shutil.rmtree(folder)
        with sole_use(folder):
            pass
        folder.joinpath(LOCK).write_text("of another run")
    assert folder.joinpath(LOCK).read_text() == "of another run"
