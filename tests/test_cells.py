"""The cell's text as jupysql reads it, run by the real jupysql; and which connection it names."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine

from sqlcoder_magic import cells
from sqlcoder_magic.connection import open_database


class Shell:
    """Records what a front end is asked for."""

    def __init__(self, cell_id: str = "") -> None:
        self.calls: list[tuple[str, bool]] = []
        self.parent_header = {"metadata": {"cellId": cell_id}} if cell_id else {}

    def set_next_input(self, text: str, replace: bool = False) -> None:
        self.calls.append((text, replace))


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    cells.forget_cells()
    yield
    cells.forget_cells()


def test_unchanged_sql_adds_no_second_cell() -> None:
    shell = Shell("one")
    assert cells.insert_cell(shell, "a") is cells.Placed.BELOW
    assert cells.insert_cell(shell, "a") is cells.Placed.UNCHANGED
    assert cells.insert_cell(shell, "b") is cells.Placed.BELOW
    assert cells.insert_cell(Shell("two"), "b") is cells.Placed.BELOW
    assert [text for text, _ in shell.calls] == ["a", "b"]


def test_a_front_end_without_cell_ids_always_gets_the_cell() -> None:
    shell = Shell()
    cells.insert_cell(shell, "a")
    cells.insert_cell(shell, "a")
    assert len(shell.calls) == 2


def test_replace_rewrites_the_cell() -> None:
    shell = Shell("one")
    assert cells.insert_cell(shell, "a", replace=True) is cells.Placed.REPLACED
    assert shell.calls == [("a", True)]


def test_the_cell_has_connection_question_and_sql() -> None:
    database = open_database("sample")
    text = cells.sql_cell("SELECT 1", "How many\nsales?", database, "shop")
    assert text == "%%sql shop\n-- How many sales?\nSELECT 1"
    assert cells.sql_cell("SELECT 1", "q", database, "").startswith("%%sql\n")


def test_aliases_hold_nothing_secret() -> None:
    taken = {"db", "db_2"}
    secret = create_engine("postgresql+psycopg://u:s3cr3t@h/db")
    assert cells._free_alias(open_database(secret), taken) == "db_3"
    assert cells._free_alias(open_database(create_engine("sqlite://")), set()) == "sqlite"
    assert cells._free_alias(open_database("sample"), set()) == "sample"  # as `connect` names it
    assert cells._free_alias(open_database("sample"), {"sample"}) == "sample_2"


CASES = [
    ("SELECT '{{b}}' AS a", "{{b}}"),
    ("SELECT '{% x %}{# y #}' AS a", "{% x %}{# y #}"),
    ("SELECT ' :foo' AS a", " :foo"),
    ("SELECT '10:30' AS a", "10:30"),
    ("SELECT '50%' AS a", "50%"),
    ("SELECT ';' AS a", ";"),
    ("SELECT '--' AS a", "--"),
    ("SELECT 'it''s' AS a", "it's"),
    ("WITH t AS (SELECT 'x' AS a) SELECT a FROM t", "x"),
]
QUESTIONS = ["plain", "what's {{x}} {% y %} :z; a << b \\ 50%?", "-x --alias y", "x" * 500]

RUNNER = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
from sqlcoder_magic import cells
from sqlcoder_magic.connection import open_database
shell = InteractiveShell.instance()
database = open_database("sample")
out = []
for sql, question in json.load(sys.stdin):
    target = cells.jupysql_target(shell, database)
    head, _, body = cells.sql_cell(sql, question, database, target).partition("\\n")
    result = shell.run_cell_magic("sql", head.removeprefix("%%sql").strip(), body)
    out.append([list(row) for row in result])
print("RESULT" + json.dumps(out))
"""


def test_jupysql_runs_every_cell_as_it_was_meant() -> None:
    import json

    asked = [(sql, question) for sql, _ in CASES for question in QUESTIONS]
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "RESULT" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]
    rows: list[Any] = json.loads(done.stdout.split("RESULT")[1].splitlines()[0])
    assert rows == [[[value]] for _, value in CASES for _ in QUESTIONS]
