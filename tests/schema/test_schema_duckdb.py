"""DuckDB's reader, on native connections and through duckdb-engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from schema_helpers import column, counted, names, table
from sqlalchemy import Engine, text
from sqlalchemy.pool import StaticPool

from sqlcoder_magic.errors import SchemaError
from sqlcoder_magic.schema import read_schema
from sqlcoder_magic.types import ForeignKey

duckdb = pytest.importorskip("duckdb")

SHOP = """
CREATE TYPE mood AS ENUM ('sad', 'it''s ok');
CREATE TABLE people (a INT, b INT, name VARCHAR, feels mood, tags VARCHAR[], PRIMARY KEY (b, a),
    UNIQUE (name, feels));
CREATE TABLE visits (
    y INT, x INT, twice INT GENERATED ALWAYS AS (x * 2),
    FOREIGN KEY (y, x) REFERENCES people (b, a));
CREATE VIEW named AS SELECT name FROM people;
CREATE SCHEMA far;
CREATE TABLE far.people (id INT PRIMARY KEY);
CREATE TABLE far.pets (owner INT REFERENCES far.people (id));
COMMENT ON TABLE people IS 'everyone';
COMMENT ON COLUMN people.name IS 'first and last';
COMMENT ON VIEW named IS 'names alone';
INSERT INTO people
VALUES (1, 1, 'Ada', 'sad', []), (2, 1, 'Ada', 'it''s ok', []), (3, 1, 'Bob', 'sad', []);
"""


@pytest.fixture(params=["native", "engine", "connection"])
def shop(request: pytest.FixtureRequest, engines: Callable[..., Engine]) -> Iterator[Any]:
    """The same database, as each of the things a user may hold."""
    if request.param == "native":
        with duckdb.connect() as connection:
            connection.execute(SHOP)
            yield connection
        return
    pytest.importorskip("duckdb_engine")
    engine = engines("duckdb:///:memory:", poolclass=StaticPool)
    with engine.connect() as connection:
        connection.connection.driver_connection.execute(SHOP)
        yield engine if request.param == "engine" else connection


def test_everything_is_read(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with counted(monkeypatch) as sent:
        schema = read_schema(shop)
    assert len(sent) <= 6
    assert schema.dialect == "duckdb"
    assert set(names(schema)) == {"people", "visits", "named", "far.people", "far.pets"}
    people = table(schema, "people")
    assert people.comment == "everyone"
    assert people.primary_key == ("b", "a")
    assert [c.name for c in people.columns] == ["a", "b", "name", "feels", "tags"]
    assert column(schema, "people", "name").comment == "first and last"
    assert column(schema, "people", "feels").samples == ("sad", "it's ok")
    assert column(schema, "people", "tags").type == "VARCHAR[]"
    assert not column(schema, "people", "a").nullable
    assert column(schema, "people", "name").nullable
    assert people.unique_keys == (("name", "feels"),)
    assert people.kind == "table"
    assert people.rows == 3
    assert column(schema, "visits", "twice").generated
    assert not column(schema, "visits", "x").generated
    assert table(schema, "named").kind == "view"
    assert table(schema, "named").rows is None
    assert table(schema, "named").comment == "names alone"
    assert table(schema, "visits").foreign_keys == (ForeignKey(("y", "x"), "people", ("b", "a")),)
    assert column(schema, "visits", "twice").type == "INTEGER"
    assert table(schema, "far.pets").foreign_keys == (
        ForeignKey(("owner",), "far.people", ("id",)),
    )


def test_samples_are_the_most_frequent(shop: Any) -> None:
    schema = read_schema(shop, samples_per_column=1)
    assert column(schema, "people", "name").samples == ("Ada",)
    assert column(schema, "people", "tags").samples == ()
    assert schema.notes == ()


def test_another_schema_in_use_has_no_namespace(engines: Callable[..., Engine]) -> None:
    engine = engines("duckdb:///:memory:", poolclass=StaticPool)
    with engine.connect() as connection:
        connection.connection.driver_connection.execute(SHOP + "USE far;")
        assert set(names(read_schema(connection))) == {
            "main.people",
            "main.visits",
            "main.named",
            "people",
            "pets",
        }


def test_attached_databases_and_odd_names() -> None:
    with duckdb.connect() as connection:
        connection.execute(
            """ATTACH ':memory:' AS "two words"; CREATE TABLE "two words"."or""der" (a INT);
            CREATE SCHEMA "two words".s; CREATE TABLE "two words".s.t (a VARCHAR);
            CREATE TABLE "😀
            line" ("select" VARCHAR); INSERT INTO "😀
            line" VALUES ('x'); INSERT INTO "two words".s.t VALUES ('y')"""
        )
        schema = read_schema(connection, samples_per_column=1)
    assert {(t.namespace, t.name) for t in schema.tables} == {
        ("two words", 'or"der'),
        ("two words.s", "t"),
        ("", "😀\n            line"),
    }
    assert schema.notes == ()
    assert {c.samples for t in schema.tables for c in t.columns} == {(), ("x",), ("y",)}


def test_an_open_transaction_survives(engines: Callable[..., Engine]) -> None:
    engine = engines("duckdb:///:memory:", poolclass=StaticPool)
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE t (a VARCHAR)"))
        connection.commit()
        connection.execute(text("INSERT INTO t VALUES ('x')"))
        schema = read_schema(connection, samples_per_column=1)
        assert column(schema, "t", "a").samples == ("x",)
        connection.rollback()
        assert connection.execute(text("SELECT count(*) FROM t")).scalar() == 0


def test_no_tables() -> None:
    with duckdb.connect() as connection, pytest.raises(SchemaError, match="no tables"):
        read_schema(connection)


CHANGES = [
    "CREATE TABLE more (a INT)",
    "DROP TABLE far.pets",
    "ALTER TABLE far.people ADD COLUMN b INT",
    "ALTER TABLE visits DROP COLUMN q",
    "ALTER TABLE visits RENAME y TO z",
    "ALTER TABLE visits ALTER q TYPE VARCHAR",
    "ALTER TABLE visits RENAME TO trips",
    "COMMENT ON COLUMN people.a IS 'new'",
    "COMMENT ON TABLE people IS 'new'",
    "COMMENT ON VIEW named IS 'new'",
    "CREATE OR REPLACE VIEW named AS SELECT name AS other FROM people",
    "DROP TABLE far.pets; CREATE TABLE far.pets (owner BIGINT)",
    "USE far",
]
CHANGEABLE = SHOP.replace("FOREIGN KEY (y, x) REFERENCES people (b, a)", "q INT")


@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_noticed(change: str) -> None:
    with duckdb.connect() as connection:
        connection.execute(CHANGEABLE)
        before = read_schema(connection)
        assert read_schema(connection) is before
        connection.execute(change)
        assert read_schema(connection) != before


@pytest.mark.parametrize("change", CHANGES[:-1])
def test_changes_of_a_file_are_noticed_by_its_state(
    change: str, tmp_path: Path, engines: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute(CHANGEABLE)
    engine = engines(f"duckdb:///{path}")
    with engine.connect() as other:
        before = read_schema(engine)
        with counted(monkeypatch) as sent:
            assert read_schema(engine) is before
        assert len(sent) == 2
        other.connection.driver_connection.execute(change)
        assert read_schema(engine) != before


def test_what_is_not_committed_is_not_kept(tmp_path: Path, engines: Callable[..., Engine]) -> None:
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE t (a INT)")
    with engines(f"duckdb:///{path}").connect() as connection:
        connection.execute(text("CREATE TABLE u (a INT)"))
        assert set(names(read_schema(connection))) == {"t", "u"}
        connection.rollback()
        assert names(read_schema(connection)) == ["t"]


# ---------------------------------------------------------------- the user's own connection


def test_temporary_tables_and_registered_frames_are_seen() -> None:
    pandas = pytest.importorskip("pandas")
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (a INT); CREATE TEMP TABLE scratch (b VARCHAR)")
        connection.execute("INSERT INTO scratch VALUES ('x')")
        connection.register("frame", pandas.DataFrame({"c": [1]}))
        schema = read_schema(connection, samples_per_column=1)
        assert set(names(schema)) == {"t", "scratch", "frame"}
        assert column(schema, "scratch", "b").samples == ("x",)
        assert schema.notes == (
            "Temporary, and seen by your connection alone: frame, scratch. A run cannot read "
            "them; run the SQL in its own cell.",
        )
        assert read_schema(connection).notes == schema.notes
        connection.unregister("frame")
        assert set(names(read_schema(connection))) == {"t", "scratch"}


def test_an_unfinished_result_and_a_transaction_are_left_alone() -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (a INT); CREATE TEMP TABLE scratch (b INT)")
        connection.execute("FROM range(5)")
        assert connection.fetchone() == (0,)
        assert names(read_schema(connection)) == ["t"]
        assert connection.fetchall() == [(1,), (2,), (3,), (4,)]
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE u (a INT)")
        assert names(read_schema(connection)) == ["t"]
        connection.execute("ROLLBACK")
        assert set(names(read_schema(connection))) == {"t", "scratch"}
        connection.execute("SELECT 42")
        assert set(names(read_schema(connection, refresh=True))) == {"t"}
        assert connection.fetchall() == [(42,)]
