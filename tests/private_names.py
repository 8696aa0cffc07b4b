"""Finds where code touches private names of Keras: read from both sources, nothing is run."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import keras

from pruneplug.pruning.keras_internals import OVERRIDDEN

# Parts of Keras that no model of ours is made of.
ELSEWHERE = {"torch", "jax", "openvino", "applications", "datasets", "legacy"}
# Methods of strings, whose arguments are parts of names.
OF_STRINGS = {"startswith", "endswith", "removeprefix", "removesuffix", "replace", "strip", "split"}
# Functions that are given the name of an attribute after its object.
OF_ATTRIBUTES = {"getattr", "hasattr", "setattr", "delattr"}


# --- Which names Keras defines ---


def is_private(name: Any) -> bool:
    return isinstance(name, str) and name.startswith("_") and name[1:2].isalpha()


@cache
def keras_names() -> frozenset[str]:
    """Private names of attributes and methods that Keras' own source defines."""
    root = Path(keras.__file__).parent / "src"
    own = [p for p in root.rglob("*.py") if not p.stem.endswith("_test")]
    own = [p for p in own if ELSEWHERE.isdisjoint(p.relative_to(root).parts)]
    trees = (ast.parse(path.read_text()) for path in own)
    return frozenset(name for tree in trees for name in _defined(tree))


def _defined(tree: ast.AST) -> Iterator[str]:
    """Private names that a tree's classes define, or that it sets in any object."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from filter(is_private, _body(node))
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield from filter(is_private, [node.attr])
        elif _called(node) == "setattr":
            yield from (arg.value for arg in node.args[1:2] if is_private(text_of(arg)))


def _body(node: ast.ClassDef) -> Iterator[str]:
    """Names that a class defines outside its methods."""
    for part in node.body:
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
            yield part.name
        for target in getattr(part, "targets", [getattr(part, "target", None)]):
            if isinstance(target, ast.Name):
                yield target.id


def _called(node: Any) -> str | None:
    """The plain name of the function that a node calls."""
    return getattr(node.func, "id", None) if isinstance(node, ast.Call) else None


def text_of(node: Any) -> Any:
    return node.value if isinstance(node, ast.Constant) else None


# --- Where the package touches them ---

Classes = Mapping[str, Sequence[ast.ClassDef]]


def classes_of(trees: Iterable[ast.AST]) -> Classes:
    """All classes that are defined somewhere, by their names."""
    found: defaultdict[str, list[ast.ClassDef]] = defaultdict(list)
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(node)
    return dict(found)


class Checker(ast.NodeVisitor):
    """Collects what touches private names of Keras.

    A name that a class of ours defines is its own where its methods say `self`. Not so in a class
    that derives from one of Keras: there it would be Keras' too.
    """

    def __init__(self, classes: Classes) -> None:
        self.classes = classes
        self.found: list[str] = []
        self.own: frozenset[str] = frozenset()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        before, lineage = self.own, list(self._lineage(node))
        self.own = frozenset()
        if any(map(_is_of_keras, lineage)):
            for name in _body(node):
                self._note(name, node, allowed=name in OVERRIDDEN)
        else:
            self.own = frozenset(name for one in lineage for name in _defined(one))
        self.generic_visit(node)
        self.own = before

    def _lineage(self, node: ast.ClassDef) -> Iterator[ast.ClassDef]:
        """Yield a class and those of ours that it derives from."""
        yield node
        for base in node.bases:
            for parent in self.classes.get(ast.unparse(base).rpartition(".")[2], []):
                if parent is not node:
                    yield from self._lineage(parent)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        of_super = _called(node.value) == "super" and node.attr in OVERRIDDEN
        self._note(node.attr, node, allowed=of_super or self._is_own(node.value, node.attr))
        if node.attr == "src":
            self._note_module(ast.unparse(node), node)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        of_attribute = _called(node) in OF_ATTRIBUTES and len(node.args) > 1
        own = of_attribute and self._is_own(node.args[0], text_of(node.args[1]))
        of_string = isinstance(node.func, ast.Attribute) and node.func.attr in OF_STRINGS
        for part in ast.iter_child_nodes(node):
            if part is node.func or not isinstance(part, ast.Constant) or not (own or of_string):
                self.visit(part)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        for part in node.values:
            if isinstance(part, ast.FormattedValue):  # all else are parts of names
                self.visit(part)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            for part in node.value.split("."):
                self._note(part, node)
            self._note_module(node.value, node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._note_module(alias.name, node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self._note_module(f"{node.module}.{alias.name}", node)

    def _is_own(self, holder: ast.expr, name: Any) -> bool:
        return getattr(holder, "id", None) in ("self", "cls") and name in self.own

    def _note(self, name: str, node: Any, allowed: bool = False) -> None:
        if name in keras_names() and not allowed:
            self.found.append(f"{name} in line {node.lineno}")

    def _note_module(self, name: str, node: Any) -> None:
        if f"{name}.".startswith("keras.src."):
            self.found.append(f"{name} in line {node.lineno}")


def _is_of_keras(node: ast.ClassDef) -> bool:
    bases = map(ast.unparse, node.bases)
    return any(base.startswith(("keras.", "L.")) or base.endswith("Functional") for base in bases)


def touched(tree: ast.AST, classes: Classes) -> list[str]:
    """What a module touches of Keras' private names, and where."""
    checker = Checker(classes)
    checker.visit(tree)
    return checker.found
