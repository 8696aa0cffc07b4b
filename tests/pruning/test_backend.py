"""Another backend of Keras is refused by name, before Keras is imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from pruneplug.pruning.backend import on_tensorflow, require_tensorflow

HEAVY = "sorted({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules))"


@pytest.fixture
def _not_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delitem(sys.modules, "keras.backend")
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))


def python(code: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.usefixtures("_not_loaded")
@pytest.mark.parametrize("name", ["jax", "torch", "openvino", "TensorFlow"])
def test_the_variable_decides_before_the_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keras.json").write_text(json.dumps({"backend": name}))
    with pytest.raises(ImportError, match=rf"backend='{name}' in .*keras\.json.*KERAS_BACKEND=ten"):
        require_tensorflow()
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    require_tensorflow()
    monkeypatch.setenv("KERAS_BACKEND", name)
    (tmp_path / "keras.json").unlink()
    with pytest.raises(ImportError, match=f"got KERAS_BACKEND={name}"):
        require_tensorflow()
    assert not on_tensorflow()


@pytest.mark.usefixtures("_not_loaded")
@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"backend": "tensorflow"}'])
def test_a_file_that_says_nothing_else_is_tensorflow(content: str, tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text(content)
    require_tensorflow()


def test_what_keras_has_loaded_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    require_tensorflow()  # too late to have an effect
    monkeypatch.setattr("keras.backend.backend", lambda: "torch")
    with pytest.raises(ImportError, match="backend='torch', which Keras has loaded"):
        require_tensorflow()


@pytest.mark.parametrize("name", ["Trainer", "prune_low_magnitude", "PolynomialDecay"])
def test_a_name_is_refused_and_the_import_is_not(name: str, tmp_path: Path) -> None:
    code = (
        f"import sys, pruneplug\ntry:\n    pruneplug.{name}\n"
        f"except ImportError as error:\n    print(error)\nprint({HEAVY})"
    )
    done = python(code, tmp_path, KERAS_BACKEND="jax")
    assert "KERAS_BACKEND=jax" in done.stdout
    assert done.stdout.endswith("[]\n"), done.stderr


@pytest.mark.parametrize("words", [[], ["dry_run=true"], ["-m", "sparsity=0.5,0.8"]])
def test_the_command_refuses_at_once(words: list[str], tmp_path: Path) -> None:
    code = (
        f"import sys\nfrom pruneplug.train import main\nsys.argv[1:] = {words}\n"
        f"try:\n    main()\nfinally:\n    print({HEAVY})"
    )
    done = python(code, tmp_path, KERAS_BACKEND="torch")
    assert (done.returncode, done.stdout) == (2, "[]\n")
    assert "got KERAS_BACKEND=torch" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())
