"""Imports point down only: the table of layers, held by reading every import."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "pruneplug"


class Row(NamedTuple):
    """What a module, or all modules of a folder, may import."""

    own: frozenset[str]
    others: frozenset[str]


def _row(own: str = "", others: str = "") -> Row:
    return Row(frozenset(own.split()), frozenset(others.split()))


RULES = "schedules sparsity ranking masks patterns allocation surgery registry members policies"
WRAPPED = f"{RULES} constraint variables masked wrapper weights"
ENGINE = f"{WRAPPED} cohort shortfall optimizers pruner selection naming in_place prune report"
# All that a command drives.
BELOW = f"{ENGINE} callbacks training tracking export sensitivity data models lock files backend"

TABLE = {
    "schedules": _row(),
    "signals": _row(),
    "lock": _row(),
    "failures": _row(),
    "files": _row(),
    "importing": _row(),
    "backend": _row(),
    "sparsity": _row(),
    "ranking": _row(others="numpy"),
    "masks": _row("ranking", "numpy keras"),
    "patterns": _row("masks", "numpy"),
    "allocation": _row("ranking", "numpy"),
    "surgery": _row(others="keras"),
    "registry": _row("sparsity", "keras"),
    "members": _row("sparsity surgery registry", "keras"),
    "policies": _row("registry members", "keras"),
    "variables": _row("backend", "numpy keras tensorflow"),
    "constraint": _row("variables", "keras"),
    "serialization": _row("schedules patterns allocation", "keras"),
    "stand_in": _row(others="keras"),
    "masked": _row("schedules masks variables constraint stand_in", "keras"),
    "wrapper": _row(f"{RULES} variables serialization masked", "numpy keras"),
    "weights": _row(f"{RULES} wrapper", "keras"),
    "cohort": _row(WRAPPED, "keras"),
    "shortfall": _row("schedules sparsity cohort"),
    "optimizers": _row(others="keras"),
    "pruner": _row(f"{WRAPPED} cohort shortfall optimizers", "keras"),
    "selection": _row(f"{RULES} wrapper", "keras"),
    "naming": _row("wrapper", "keras"),
    "in_place": _row("members surgery wrapper naming", "keras"),
    "prune": _row(f"{RULES} wrapper selection naming in_place pruner", "keras"),
    "report": _row(f"{WRAPPED} pruner", "numpy keras"),
    "callbacks": _row("schedules sparsity registry wrapper pruner report", "keras"),
    "tracking": _row("files", "mlflow matplotlib"),
    "training": _row(
        f"{ENGINE} serialization surgery stand_in signals lock files callbacks tracking.base",
        "numpy keras tensorflow rich ml_dtypes",
    ),
    "export": _row(WRAPPED, "numpy keras tensorflow"),
    "sensitivity": _row(f"{RULES} wrapper weights files", "numpy keras matplotlib yaml"),
    "data": _row(others="numpy keras sklearn"),
    "models": _row("data", "numpy keras"),
    "settings": _row("tracking.locations", "hydra omegaconf yaml"),
    "outputs": _row(BELOW, "keras"),
    "comparison": _row("files tracking outputs", "matplotlib yaml"),
    "report.__main__": _row("comparison", "rich"),
    "console": _row(f"{BELOW} settings outputs", "rich"),
    "builders": _row(f"{BELOW} settings outputs", "keras numpy"),
    "job": _row(f"{BELOW} importing settings outputs console builders", "keras tensorflow rich"),
    "preview": _row(f"{BELOW} importing settings outputs console builders", "keras rich"),
    "sweep": _row(
        "backend files tracking settings outputs comparison builders", "rich hydra omegaconf"
    ),
    "sync": _row("files tracking"),
    "terminal": _row("signals tracking.locations"),
    "train": _row(
        "failures terminal settings outputs job preview sweep tracking.locations",
        "rich hydra omegaconf",
    ),
    "plugins": _row("settings", "hydra"),
    # Its names are loaded on use; type checkers read them here.
    "__init__": _row(f"{ENGINE} callbacks training backend"),
}


def _name(path: Path) -> str:
    """Dotted name of a module inside the package."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def _imports(path: Path) -> Iterator[str]:
    """Full names of the modules that a file imports, at its top or anywhere else."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} must import by full name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from names if node.module == "pruneplug" else [str(node.module)]


def _is_allowed(module: str, row: Row, home: str) -> bool:
    top, _, rest = module.partition(".")
    if top != "pruneplug":
        return top in sys.stdlib_module_names or top in row.others
    folder = rest.partition(".")[0]
    return folder == home or folder in row.own or rest in row.own


def _home(path: Path) -> str:
    """The row of a module: its own, or that of its folder."""
    name = _name(path)
    return name if name in TABLE else name.partition(".")[0]


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_point_down(path: Path) -> None:
    home = _home(path)
    assert home in TABLE, f"{home} must have a row in the table of layers"
    wrong = [name for name in _imports(path) if not _is_allowed(name, TABLE[home], home)]
    assert not wrong, f"{path.name} must not import {wrong}"


def test_mlflow_is_imported_in_one_place() -> None:
    importers = [
        _name(path)
        for path in MODULES
        if any(name.partition(".")[0] == "mlflow" for name in _imports(path))
    ]
    assert all(name.startswith("tracking.mlflow") for name in importers)


def test_the_table_itself_points_down() -> None:
    names = list(TABLE)
    for name, row in TABLE.items():
        higher = [own for own in row.own if names.index(own.partition(".")[0]) >= names.index(name)]
        assert not higher, f"{name} must come after {higher}"


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("pruneplug", ("mlflow", "hydra", "omegaconf", "tensorflow")),
        ("pruneplug.callbacks", ("mlflow", "hydra", "omegaconf")),
        ("pruneplug.data", ("keras", "tensorflow", "sklearn")),
        ("pruneplug.models", ("keras", "tensorflow")),
        ("pruneplug.report.__main__", ("keras", "tensorflow", "mlflow", "hydra")),
    ],
)
def test_importing_loads_no_more_than_needed(module: str, absent: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(*sorted({set(absent)!r} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []
