"""`%load_ext` costs nothing: no heavy library, and nothing registered twice."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "transformers", "pandas", "numpy", "bitsandbytes", "sql", "sqlglot", "sqlalchemy")


def python(code: str) -> str:
    """What a fresh interpreter prints for `code`."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.strip()


START = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = set(sys.modules)
shell.run_line_magic("load_ext", "sqlcoder_magic")
"""


def test_load_ext_imports_nothing_heavy() -> None:
    out = python(START + f"print([m for m in {HEAVY} if m in set(sys.modules) - before])")
    assert out == "[]"


def test_importing_the_package_imports_nothing_heavy() -> None:
    out = python(f"import sys, sqlcoder_magic; print([m for m in {HEAVY} if m in sys.modules])")
    assert out == "[]"


def test_loading_twice_registers_once() -> None:
    code = """
shell.run_line_magic("load_ext", "sqlcoder_magic")
shell.run_line_magic("reload_ext", "sqlcoder_magic")
print(sum(type(c).__name__ == "NL2SQL" for c in shell.configurables))
magics = shell.magics_manager.magics
print("nl2sql" in magics["cell"], "sqlcoder" in magics["line"])
shell.run_line_magic("unload_ext", "sqlcoder_magic")
print("nl2sql" in shell.magics_manager.magics["cell"])
"""
    lines = [line for line in python(START + code).splitlines() if "already" not in line]
    assert [line for line in lines if "reload" not in line] == ["1", "True True", "False"]


def test_settings_are_traits() -> None:
    code = """
shell.run_cell("%config NL2SQL.row_limit = 7")
nl2sql = next(c for c in shell.configurables if type(c).__name__ == "NL2SQL")
print(nl2sql.settings().row_limit)
"""
    assert python(START + code).splitlines()[-1] == "7"


def test_every_public_name_can_be_had() -> None:
    out = python(
        "import sqlcoder_magic as s; print([n for n in s.__all__ if getattr(s, n, None) is None])"
    )
    assert out == "[]"
