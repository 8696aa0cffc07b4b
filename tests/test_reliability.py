"""The short form of `experiments/reliability`: real kills of the command, compared bit by bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


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
