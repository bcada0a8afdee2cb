"""The house stands as docs/architecture.md draws it: import order, and who may import what."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "sqlcoder_magic"
# Rooms from left to right; those in one tuple are siblings and never import each other.
ORDER = (
    ("errors",),
    ("types",),
    ("settings",),
    ("sample", "redaction", "embedded"),
    ("connection",),
    ("schema", "prompt", "check", "execute", "cells", "models", "memory"),
    ("context", "choosing"),
    ("drafting", "confidence"),
    ("pipeline",),
    ("display", "evals", "teaching"),
    ("browsing",),
    ("commands", "__main__"),
    ("magics",),
    ("training",),
)
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
# Library -> rooms that may import it at all.
ONLY_IN = {
    "IPython": {"cells", "display", "magics", "commands", ""},
    "traitlets": {"magics"},
    "sqlalchemy": {"connection", "schema", "execute"},
    "torch": {"models", "training"},
    "transformers": {"models", "training"},
}
# Never at the top of a module: too slow for `%load_ext`.
LAZY = {"torch", "transformers", "bitsandbytes", "accelerate", "pandas", "numpy", "sql", "duckdb"}
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """The room a file is in; "" for the package's own `__init__`."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imports(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """(module, whether the import runs when the file is imported)."""
    in_functions = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for_types = {
        node
        for condition in ast.walk(tree)
        if isinstance(condition, ast.If) and "TYPE_CHECKING" in ast.unparse(condition.test)
        for node in ast.walk(condition)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, node not in in_functions
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            if node.module == "sqlcoder_magic":
                for name in node.names:
                    yield f"sqlcoder_magic.{name.name}", node not in in_functions
            else:
                yield node.module or "", node not in in_functions


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_left(path: Path) -> None:
    room = room_of(path)
    for module, at_import in imports(ast.parse(path.read_text("utf-8"))):
        library = module.split(".")[0]
        if library == "sqlcoder_magic" and room:
            other = module.split(".")[1] if "." in module else ""
            assert other == room or RANK[other] < RANK[room], f"{room} imports {module}"
        assert room in ONLY_IN.get(library, {room}), f"{room} imports {library}"
        assert not (library in LAZY and at_import), f"{module} is imported at the top"


def test_every_room_is_in_the_order_and_in_the_docs() -> None:
    docs = (PACKAGE.parent / "docs" / "architecture.md").read_text("utf-8")
    rooms = {room_of(path) for path in FILES} - {""}
    assert rooms == set(RANK)
    for room in rooms:
        assert f"  {room}.py " in docs or f"  {room}/ " in docs, f"docs do not name {room}"


def test_only_the_guard_makes_checked_sql() -> None:
    makers = [
        str(path.relative_to(PACKAGE))
        for path in FILES
        if "_SEAL" in path.read_text("utf-8") and path.name != "types.py"
    ]
    assert makers == ["check/guard.py"]


def test_no_file_and_no_function_outgrows_its_screen() -> None:
    for path in FILES:
        text = path.read_text("utf-8")
        assert len(text.splitlines()) <= 500, f"{path} is too long"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                assert length <= 60, f"{path}:{node.lineno} {node.name} has {length} lines"


def test_every_module_says_what_it_is() -> None:
    for path in FILES:
        assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), f"{path} has no docstring"
