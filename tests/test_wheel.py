"""A wheel brings everything along: the command runs from it in an empty folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked by pip into a folder of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir", "-q"]
    quietly = {"cwd": folder, "check": True, "capture_output": True}
    # Without isolation nothing is downloaded: the build backend is a development tool here.
    build = ["wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT)]
    subprocess.run([*pip, *build], **quietly)  # type: ignore[call-overload]
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    install = ["install", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run([*pip, *install], **quietly)  # type: ignore[call-overload]
    return target


def test_the_command_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    script = installed / "bin" / "pruneplug-train"
    arguments = ["experiment=quick", "tracking=journal", "hydra.run.dir=run"]
    done = subprocess.run(
        [sys.executable, script, *arguments],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["sparsity"]["total"] == pytest.approx(0.8, abs=0.01)


def test_nothing_comes_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    code = (
        "import pruneplug, pruneplug.train, pruneplug.command.settings as s\n"
        "print(pruneplug.__file__, s.config_folder(), pruneplug.train.__file__, sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert all(Path(line).is_relative_to(installed) for line in done.stdout.splitlines())


def test_the_wheel_holds_every_configuration_file(installed: Path) -> None:
    conf = installed / "pruneplug" / "conf"
    ours = {path.relative_to(ROOT / "conf") for path in (ROOT / "conf").rglob("*.yaml")}
    assert ours == {path.relative_to(conf) for path in conf.rglob("*.yaml")}


def test_the_wheel_brings_the_plug_in_for_other_apps(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import hydra\n"
        "@hydra.main(version_base='1.3', config_path=None, config_name=None)\n"
        "def main(config): print(config.pruneplug.schedule.name)\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "app.py", "+pruneplug/schedule=cosine"], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.stdout == "cosine\n", done.stderr
