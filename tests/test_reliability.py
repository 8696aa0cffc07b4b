"""The short form of `experiments/reliability`: real kills of the command, compared bit by bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

from places import ROOT


def test_five_killed_runs_end_with_the_same_bits(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "experiments.reliability", "--kills", "5", "--seed", "1"]
    done = subprocess.run(
        [*command, "--combinations", "2", "--out", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("5 of 5 kills")
    chains = json.loads((tmp_path / "results.json").read_text())["chains"]
    assert sum(len(chain["kills"]) for chain in chains) == 5
    assert "5 of 5" in (tmp_path / "results.md").read_text()


def test_a_sample_of_the_points_at_which_a_run_can_fail(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "experiments.reliability.points", "--sample", "5"]
    done = subprocess.run(
        [*command, "--seed", "1", "--out", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "**5 of 5 faults at 5 points" in (tmp_path / "results.md").read_text()
    trials = [json.loads(line) for line in (tmp_path / "points.jsonl").read_text().splitlines()]
    assert [trial["again"] for trial in trials] == [0] * 5


CHANGES = """
import os, sys, shutil
from pathlib import Path
from experiments.reliability.layer import Layer
root = Path(sys.argv[1])
Layer(root, Path(sys.argv[2]), *sys.argv[3:]).install()
(root / "draft").mkdir()
with open(root / "draft" / "a", "wb") as file:
    file.write(b"synced")
    file.flush()
    os.fsync(file.fileno())
    file.write(b", and not")
os.rename(root / "draft", root / "done")
(root / f"b.{os.getpid()}").write_text("never synced")
shutil.rmtree(root / "done")
(root.parent / "elsewhere").write_text("of no interest")
"""


def change(folder: Path, *fault: str) -> tuple[int, dict[str, str]]:
    """Make some changes under a layer; give the exit code and what is left."""
    root = folder / "-".join(["root", *fault]).replace(" ", "_").replace("/", "_")
    root.mkdir()
    command = [sys.executable, "-c", CHANGES, str(root), str(folder / "seen"), *fault]
    code = subprocess.run(command, cwd=ROOT, check=False, stderr=subprocess.PIPE).returncode
    files = (path for path in root.rglob("*") if path.is_file())
    return code, {str(path.relative_to(root)).split(".")[0]: path.read_text() for path in files}


def test_the_layer_names_each_change_and_fails_where_it_is_told(tmp_path: Path) -> None:
    assert change(tmp_path) == (0, {"b": "never synced"})
    seen = (tmp_path / "seen").read_text().splitlines()
    assert seen[::2] == [
        "mkdir draft 0 before", "open draft/a 0 before", "write draft/a 0 before",
        "fsync draft/a 0 before", "write draft/a 1 before", "rename draft 0 before",
        "open b.PID 0 before", "write b.PID 0 before", "unlink done/a 0 before",
        "rmdir done 0 before",
    ]  # fmt: skip
    assert seen[1::2] == [name.replace("before", "after") for name in seen[::2]]
    text = "synced, and not"
    assert change(tmp_path, "rename draft 0 before", "kill") == (-9, {"draft/a": text})
    assert change(tmp_path, "rename draft 0 after", "kill") == (-9, {"done/a": text})
    assert change(tmp_path, "rename draft 0 after", "cut") == (-9, {"done/a": "synced"})
    assert change(tmp_path, "write b.PID 0 after", "cut") == (-9, {"done/a": "synced", "b": ""})
    assert change(tmp_path, "rename draft 0 before", "EIO") == (1, {"draft/a": text})
    assert change(tmp_path, "open b.PID 0 before", "EROFS") == (1, {"done/a": text})
