"""What betrays age is the longest function and the largest file."""

import ast
from pathlib import Path

import pytest
from places import ROOT

PACKAGE = ROOT / "pruneplug"
LONGEST_FUNCTION = 40
LARGEST_FILE = 250


def _body_lines(function: ast.FunctionDef) -> int:
    """Lines of a function below its signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return function.end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_functions_and_files_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= LARGEST_FILE
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    too_long = [node.name for node in functions if _body_lines(node) > LONGEST_FUNCTION]
    assert not too_long
