"""Imports point down only: the table of layers, held by reading every import."""

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from places import ROOT

PACKAGE = ROOT / "pruneplug"


class Row(NamedTuple):
    """What a module, or all modules of a folder, may import."""

    own: frozenset[str]
    others: frozenset[str]


def _row(own: str = "", others: str = "") -> Row:
    return Row(frozenset(own.split()), frozenset(others.split()))


def _core(names: str) -> str:
    return " ".join(f"pruning.{name}" for name in names.split())


# From the ground up: no row names one that stands below it.
TABLE = {
    "process": _row(others="filelock"),
    "pruning.backend": _row(),
    "pruning.keras_internals": _row(others="keras"),
    "pruning.schedules": _row(),
    "pruning.sparsity": _row(),
    "pruning.ranking": _row(others="numpy"),
    "pruning.masks": _row("pruning.ranking", "numpy keras"),
    "pruning.patterns": _row("pruning.masks", "numpy"),
    "pruning.allocation": _row("pruning.ranking", "numpy"),
    "pruning.surgery": _row("pruning.keras_internals", "keras"),
    "pruning.attributes": _row(_core("keras_internals surgery"), "keras"),
    "pruning.known_layers": _row("pruning.keras_internals", "keras"),
    "pruning.registry": _row(_core("keras_internals sparsity known_layers"), "keras"),
    "pruning.layer_parts": _row(
        _core("keras_internals sparsity surgery known_layers registry"), "keras"
    ),
    "pruning.policies": _row(_core("keras_internals registry layer_parts"), "keras"),
    "pruning.variables": _row("pruning.backend", "numpy keras tensorflow"),
    "pruning.constraint": _row("pruning.variables", "keras"),
    "pruning.clock": _row(_core("variables constraint")),
    "pruning.serialization": _row(_core("schedules patterns allocation"), "keras"),
    "pruning.layer_proxy": _row("pruning.keras_internals", "keras"),
    "pruning.masked_layer": _row(
        _core("schedules masks variables constraint layer_proxy"), "keras"
    ),
    "pruning.wrapper": _row(
        _core(
            "known_layers keras_internals schedules masks layer_parts patterns allocation registry "
            "variables "
            "serialization masked_layer"
        ),
        "numpy keras",
    ),
    "pruning.weights": _row(_core("layer_parts sparsity wrapper"), "keras"),
    "pruning.cohort": _row(
        _core(
            "schedules sparsity ranking masks patterns allocation variables masked_layer wrapper"
        ),
        "keras",
    ),
    "pruning.shortfall": _row(_core("schedules sparsity cohort")),
    "pruning.optimizers": _row("pruning.keras_internals", "keras"),
    "pruning.pruner": _row(
        _core(
            "schedules sparsity variables constraint clock wrapper weights cohort shortfall "
            "optimizers"
        ),
        "keras",
    ),
    "pruning.selection": _row(
        _core("registry allocation layer_parts patterns schedules sparsity wrapper"), "keras"
    ),
    "pruning.naming": _row(_core("keras_internals wrapper"), "keras"),
    "pruning.in_place": _row(
        _core("attributes keras_internals layer_parts surgery wrapper naming"), "keras"
    ),
    "pruning.prune": _row(
        _core(
            "attributes schedules patterns allocation surgery layer_parts policies wrapper pruner "
            "selection "
            "naming in_place"
        ),
        "keras",
    ),
    "pruning.inspection": _row(
        _core("keras_internals sparsity registry layer_parts wrapper weights pruner"), "numpy keras"
    ),
    "pruning.callbacks": _row(_core("keras_internals sparsity wrapper pruner"), "keras"),
    "tracking": _row("process"),
    "tracking.mlflow": _row("process.lock tracking", "mlflow"),
    "training.feeds": _row(others="numpy keras tensorflow"),
    "training.steps": _row(
        f"{_core('keras_internals wrapper')} training.feeds", "keras tensorflow"
    ),
    "training.checkpoints": _row(
        f"process {_core('keras_internals variables masked_layer wrapper serialization')} "
        "training.feeds",
        "numpy keras tensorflow ml_dtypes",
    ),
    "training.workers": _row(others="numpy tensorflow"),
    "training.model": _row(
        f"{_core('attributes keras_internals surgery constraint layer_proxy wrapper')} "
        f"{_core('in_place prune')} "
        "training.feeds training.checkpoints training.workers",
        "numpy keras tensorflow",
    ),
    "training": _row("process pruning tracking.base", "numpy keras tensorflow rich"),
    "export": _row(others="keras"),
    "command.folder": _row(),
    "command.importing": _row(),
    "command.terminal": _row("process.signals tracking.locations"),
    "command.data": _row(others="numpy keras sklearn"),
    "command.models": _row("pruning.keras_internals command.data", "keras"),
    "command.flat_settings": _row(),
    "command.settings": _row(
        "command.folder pruning.schedules pruning.patterns pruning.policies "
        "pruning.allocation tracking "
        "command.data command.models command.flat_settings",
        "keras hydra omegaconf yaml",
    ),
    "command.failures": _row("command.folder command.settings training.checkpoints.store", "hydra"),
    "command.plugins": _row("command.settings", "hydra"),
    "command.pictures": _row("tracking.curves", "matplotlib"),
    "command.summary": _row(
        "command.folder process.files pruning.sparsity pruning.inspection tracking training export "
        "command.pictures",
        "keras",
    ),
    "command.sensitivity": _row(
        f"command.folder process.files {_core('ranking patterns weights')}",
        "numpy keras matplotlib yaml",
    ),
    "command.comparison": _row(
        "command.folder process.files tracking command.flat_settings command.summary",
        "pandas matplotlib yaml",
    ),
    "command.report": _row("command.terminal command.comparison", "rich"),
    "command.pruned_network": _row(
        f"{_core('schedules allocation masks variables prune inspection')} command.settings "
        "command.sensitivity",
        "keras",
    ),
    "command.extras": _row(
        "command.folder tracking command.settings command.data command.sensitivity", "keras"
    ),
    "command.console": _row("pruning.inspection", "rich"),
    "command.job": _row(
        "command.folder process pruning.backend tracking training command.extras "
        "command.console command.data "
        "command.flat_settings command.importing command.models command.summary "
        "command.pruned_network "
        "command.settings",
        "keras tensorflow rich",
    ),
    "command.preview": _row(
        f"{_core('backend inspection prune pruner schedules')} tracking.locations export "
        "command.console command.importing command.pruned_network command.settings",
        "keras rich",
    ),
    "command.sweep": _row(
        "command.folder command.terminal process.files pruning.backend tracking "
        "command.settings command.summary "
        "command.comparison command.flat_settings",
        "rich hydra omegaconf",
    ),
    "command.sync": _row("command.terminal process.files tracking"),
    "command.main": _row(
        "command.folder tracking.locations command.failures "
        "command.terminal command.settings "
        "command.job command.preview command.sweep",
        "rich hydra omegaconf",
    ),
    "train": _row("command.main"),
    "report": _row("command.report"),
    "sync": _row("command.sync"),
    "data": _row("command.data"),
    "models": _row("command.models"),
    # Its names are loaded on use; type checkers read them here.
    "__init__": _row("pruning training"),
}


def _name(path: Path) -> str:
    """Dotted name of a module inside the package."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def _imports(path: Path) -> Iterator[str]:
    """Full names of all that a file imports, at its top or anywhere else."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} must import by full name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _lies_in(module: str, rooms: Iterable[str]) -> bool:
    return any(f"{module}.".startswith(f"{room}.") for room in rooms)


def _is_allowed(module: str, row: Row, home: str) -> bool:
    top, _, rest = module.partition(".")
    if top != "pruneplug":
        return top in sys.stdlib_module_names or top in row.others
    return _lies_in(rest, {home, *row.own})


def _home(name: str) -> str:
    """The row of a module: the closest of its own, its folder's, and that of the room."""
    name = name.removesuffix(".__init__")
    own = [row for row in TABLE if _lies_in(name, [row])]
    return max(own, key=len, default=name)


# The first module of some folders only says what they are.
MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if any(_imports(path))]


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_point_down(path: Path) -> None:
    home = _home(_name(path))
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


def test_tables_and_json_are_written_in_one_place() -> None:
    writers = ("csv.writer", "csv.DictWriter", ".to_csv(", "json.dump(", ".to_json(")
    found = [
        _name(path) for path in MODULES if any(writer in path.read_text() for writer in writers)
    ]
    # A checkpoint knows the writer that Keras' CSVLogger holds.
    assert [name for name in found if not name.startswith("training.checkpoints")] == [
        "process.files"
    ]


def _rows_in(room: str) -> list[str]:
    return [row for row in TABLE if _lies_in(row, [room])] or [_home(room)]


@pytest.mark.parametrize("name", TABLE)
def test_the_table_itself_points_down(name: str) -> None:
    lower = list(TABLE)[: list(TABLE).index(name) + 1]
    higher = [room for room in TABLE[name].own if not set(_rows_in(room)) <= set(lower)]
    assert not higher, f"{name} must come after {higher}"


@pytest.mark.parametrize("name", TABLE)
def test_no_row_allows_more_than_it_needs(name: str) -> None:
    imports = [i for path in MODULES if _home(_name(path)) == name for i in _imports(path)]
    rows = {_home(_name(path)) for path in PACKAGE.rglob("*.py")}
    assert name in rows, f"{name} must be the row of a module"
    allowed = {*(f"pruneplug.{room}" for room in TABLE[name].own), *TABLE[name].others}
    unused = [room for room in allowed if not any(_lies_in(i, [room]) for i in imports)]
    assert not unused, f"{name} does not import {unused}"


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("pruneplug", ("mlflow", "hydra", "omegaconf", "tensorflow")),
        ("pruneplug.pruning.callbacks", ("mlflow", "hydra", "omegaconf")),
        ("pruneplug.command.data", ("keras", "tensorflow", "sklearn")),
        ("pruneplug.command.models", ("keras", "tensorflow")),
        ("pruneplug.command.main", ("pandas",)),
        ("pruneplug.command.summary", ("pandas",)),
        ("pruneplug.command.report", ("keras", "tensorflow", "mlflow", "hydra")),
    ],
)
def test_importing_loads_no_more_than_needed(module: str, absent: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(*sorted({set(absent)!r} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []
