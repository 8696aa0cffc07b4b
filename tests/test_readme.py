"""The README's Python examples run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

README = ROOT / "README.md"
CITED = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", README.read_text())
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=["own training", "Trainer"])
def test_example_saves_a_sparse_model(example: str, tmp_path: Path) -> None:
    check = (
        "import numpy as np\n"
        "kernels = [layer.kernel for layer in keras.saving.load_model('sparse.keras').layers"
        " if hasattr(layer, 'kernel')]\n"
        "print([round(float(np.mean(keras.ops.convert_to_numpy(kernel) == 0)), 2)"
        " for kernel in kernels])"
    )
    code = f"{example}\nimport keras\n{check}"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    sparsities = eval(result.stdout.splitlines()[-1])
    assert sparsities
    assert set(sparsities) == {0.8}


@pytest.mark.parametrize(("file", "test"), CITED)
def test_a_cited_test_exists(file: str, test: str) -> None:
    text = (README.parent / file).read_text()
    assert not test or f"def {test}(" in text
