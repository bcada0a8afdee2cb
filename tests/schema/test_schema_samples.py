"""Sample values: only when asked, text columns alone, bounded, and never fatal."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from schema_helpers import column
from sqlalchemy import Engine

from sqlcoder_magic.schema import read_schema, samples
from sqlcoder_magic.schema.samples import TEXT_TYPE

Make = Callable[[str], Engine]


@pytest.mark.parametrize(
    "name",
    ["TEXT", "varchar(20)", "VARCHAR", "character varying(40)", "char(3)", "NVARCHAR(10)",
     "citext", "String", "mediumtext", "CLOB", "bpchar", "name", 'text COLLATE "C"', "varchar2(9)"],
)  # fmt: skip
def test_text_types(name: str) -> None:
    assert TEXT_TYPE.fullmatch(name)


@pytest.mark.parametrize(
    "name",
    ["INTEGER", "text[]", "VARCHAR[]", "STRUCT(a VARCHAR)", "MAP(VARCHAR, VARCHAR)", "json", "",
     "bytea", "BLOB", "uuid", "date", "tsvector", "ENUM('text')"],
)  # fmt: skip
def test_other_types(name: str) -> None:
    assert not TEXT_TYPE.fullmatch(name)


def test_none_unless_asked(sqlite_engine: Make) -> None:
    engine = sqlite_engine("CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('x')")
    assert column(read_schema(engine), "t", "a").samples == ()


def test_most_frequent_first_short_and_not_null(sqlite_engine: Make) -> None:
    engine = sqlite_engine(
        "CREATE TABLE t (a TEXT, n INT, b TEXT);"
        "INSERT INTO t (a, n) VALUES ('rare', 1), ('often', 1), ('often', 1), (NULL, 1), (NULL, 1),"
        f"(NULL, 1), ('{'x' * 61}', 1), ('{'x' * 61}', 1), (' ', 1), (x'00ff', 1), ('also', 1),"
        "('also', 1)"
    )
    schema = read_schema(engine, samples_per_column=3)
    assert column(schema, "t", "a").samples == ("also", "often", "rare")[:3]
    assert column(schema, "t", "n").samples == ()
    assert column(schema, "t", "b").samples == ()
    assert schema.notes == ()


def test_only_the_first_rows_are_looked_at(
    sqlite_engine: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "FIRST_ROWS", 2)
    engine = sqlite_engine(
        "CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('early'), ('early'), ('late')"
    )
    assert column(read_schema(engine, samples_per_column=3), "t", "a").samples == ("early",)


def test_a_table_that_fails_is_a_note(sqlite_engine: Make) -> None:
    engine = sqlite_engine(
        "CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('not json');"
        "CREATE VIEW bad AS SELECT a FROM t WHERE json_extract(a, '$.x') = 1;"
        "CREATE TABLE u (a TEXT); INSERT INTO u VALUES ('fine')"
    )
    schema = read_schema(engine, samples_per_column=1)
    assert column(schema, "u", "a").samples == ("fine",)
    assert schema.notes == ("No sample values from bad (OperationalError).",)


def test_a_large_schema_is_sampled_in_part(
    sqlite_engine: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "MOST_TABLES", 2)
    engine = sqlite_engine(
        "".join(f"CREATE TABLE t{i} (a TEXT); INSERT INTO t{i} VALUES ('x');" for i in range(4))
    )
    schema = read_schema(engine, samples_per_column=1)
    assert [t.columns[0].samples for t in schema.tables] == [("x",), ("x",), (), ()]
    assert schema.notes == ("No sample values from 2 further tables.",)
    named = read_schema(engine, tables=["t3"], samples_per_column=1)
    assert named.tables[0].columns[0].samples == ("x",)
