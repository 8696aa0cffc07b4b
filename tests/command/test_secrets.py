"""A password in an address is refused before it is written or shown anywhere."""

from pathlib import Path

import pytest
from cli import run_command

pytestmark = pytest.mark.filterwarnings("default")

SECRET = "s3cr3t"
WORDS = [
    f"tracking.uri=http://me:{SECRET}@127.0.0.1:9",
    f"tracking.uri='mysql://me:{SECRET}@127.0.0.1/db'",
    f"tracking.uri=postgresql://me:{SECRET}'x@127.0.0.1/db",  # no value that Hydra can read
    f'tracking.uri="mysql://me:{SECRET}"x@127.0.0.1/db"',
    f"tracking.uri=sqlite:///a.db,mysql://me:{SECRET}@127.0.0.1/db",
    f"tracking.uri='postgresql:///db?password={SECRET}'",
    f"tracking.uri='mssql+pyodbc:///?odbc_connect=UID%3Dme%3BPWD%3D{SECRET}'",
    f"hydra.sweeper.params={{tracking.uri:'mysql://me:{SECRET}@127.0.0.1/db'}}",
]


def check(folder: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> str:
    out, err = capfd.readouterr()
    assert SECRET not in out + err + caplog.text
    for path in filter(Path.is_file, folder.rglob("*")):
        assert path.parent.name == "experiment" or SECRET.encode() not in path.read_bytes(), path
    return err


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("others", [(), ("-m", "hydra.sweep.dir=sweep"), ("dry_run=true",)])
def test_on_the_command_line(
    word: str,
    others: tuple[str, ...],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert run_command(tmp_path, *others, word, "experiment=quick") == 2
    assert "MLFLOW_TRACKING_URI" in check(tmp_path, capfd, caplog)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "setting",
    [
        f"tracking:\n  uri: postgresql://me:{SECRET} x@127.0.0.1/db\n",
        "tracking:\n  uri: ${oc.env:ADDRESS}\n",
        f"hydra:\n  sweeper:\n    params:\n      tracking.uri: http://{SECRET}@127.0.0.1:9\n",
    ],
)
@pytest.mark.parametrize("others", [(), ("-m", "hydra.sweep.dir=sweep"), ("dry_run=true",)])
def test_in_a_file_of_settings(
    setting: str,
    others: tuple[str, ...],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "sweeper" in setting and "-m" not in others:
        pytest.skip("only a sweep has such a setting")
    monkeypatch.setenv("ADDRESS", f"mysql://me:{SECRET}@127.0.0.1/db")
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{setting}")
    words = ("--config-dir", str(tmp_path), *others, "experiment=mine", "hydra.run.dir=run")
    assert run_command(tmp_path, *words) == 2
    assert "MLFLOW_TRACKING_URI" in check(tmp_path, capfd, caplog)
