"""Comments in a CREATE TABLE: whose is which."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from schema_helpers import column, table
from sqlalchemy import Engine

from sqlcoder_magic.schema import read_schema
from sqlcoder_magic.schema.ddl_comments import ddl_comments

CASES = [
    # (DDL, the table's comment, the columns' comments)
    ("CREATE TABLE t (a INT, -- first\n b INT -- second\n)", "", {"a": "first", "b": "second"}),
    ("CREATE TABLE t (\n a INT, /* first */\n b INT /* second */)", "",
     {"a": "first", "b": "second"}),
    ("CREATE TABLE t (\n -- above\n a INT,\n /* and\n here */ b INT)", "",
     {"a": "above", "b": "and here"}),
    ("CREATE TABLE t ( -- goods\n a INT)", "goods", {}),
    ("CREATE TABLE t -- goods\n(a INT)", "goods", {}),
    ("CREATE TABLE t (a INT DEFAULT '-- no', -- yes\n b INT)", "", {"a": "yes"}),
    ("CREATE TABLE t (a TEXT DEFAULT 'it''s /* no */', -- yes\n b INT)", "", {"a": "yes"}),
    ('CREATE TABLE t ("a, ""b -- c" INT, -- odd\n [d e] INT, -- odder\n `f``g` INT -- oddest\n)',
     "",
     {'a, "b -- c': "odd", "d e": "odder", "f`g": "oddest"}),
    ("CREATE TABLE t (a DECIMAL(8, -- inside\n 2) NOT NULL, b INT)", "", {"a": "inside"}),
    ("CREATE TABLE t (a INT, -- one\n   -- of b\n b INT)", "", {"a": "one", "b": "of b"}),
    ("CREATE TABLE t (a INT, -- the key\n PRIMARY KEY (a) -- not of a\n)", "", {"a": "the key"}),
    ("CREATE TABLE t (a INT,\n -- the rule\n CHECK (a > 0))", "", {}),
    ("CREATE TABLE t (Name TEXT -- Mixed, case\n)", "", {"name": "Mixed, case"}),
    ("CREATE TABLE t (a INT, -- one\n b INT\n -- two\n)", "", {"a": "one", "b": "two"}),
    ("CREATE TABLE t (a INT --\n, b INT /**/)", "", {}),
    ("CREATE TABLE t (a INT /* never closed", "", {"a": "never closed"}),
    ("CREATE TABLE t (a TEXT DEFAULT 'never closed -- no", "", {"a": "no"}),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "of_table", "of_columns"), CASES)
def test_whose_comment(sql: str, of_table: str, of_columns: dict[str, str]) -> None:
    assert ddl_comments(sql) == (of_table, of_columns)


def test_comments_reach_the_schema(sqlite_engine: Callable[[str], Engine]) -> None:
    schema = read_schema(
        sqlite_engine(
            "CREATE TABLE Goods ( -- what we sell\n Id INTEGER PRIMARY KEY, -- the number\n n TEXT)"
        )
    )
    assert table(schema, "Goods").comment == "what we sell"
    assert column(schema, "Goods", "Id").comment == "the number"
    assert column(schema, "Goods", "n").comment == ""
