"""The reader of every other engine, on PostgreSQL, which it can read too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from schema_helpers import column, names, table
from sqlalchemy import Engine, text
from sqlalchemy.engine.reflection import Inspector
from sqlalchemy.types import NullType

from sqlcoder_magic.errors import SchemaError
from sqlcoder_magic.schema import inspector, read_schema, reading
from sqlcoder_magic.types import ForeignKey

SHOP = """
CREATE TABLE customers (id bigint PRIMARY KEY, name varchar(40) NOT NULL);
CREATE TABLE orders (no int, year int, PRIMARY KEY (year, no));
CREATE TABLE lines (y int, n int, twice int GENERATED ALWAYS AS (n * 2) STORED, UNIQUE (n, y),
    FOREIGN KEY (y, n) REFERENCES orders (year, no));
CREATE VIEW big AS SELECT id FROM customers;
COMMENT ON TABLE customers IS 'who buys';
COMMENT ON COLUMN customers.name IS 'in full';
"""


@pytest.fixture
def engine(
    postgres_url: str, engines: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> Engine:
    """PostgreSQL, as if nothing were known about it."""
    monkeypatch.delitem(reading._READERS, "postgresql")
    return engines(postgres_url)


def run(engine: Engine, script: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(script)


def test_everything_is_read(engine: Engine) -> None:
    run(engine, SHOP)
    schema = read_schema(engine)
    assert set(names(schema)) == {"customers", "orders", "lines", "big"}
    assert {t.name: t.kind for t in schema.tables if t.kind != "table"} == {"big": "view"}
    assert table(schema, "lines").unique_keys == (("n", "y"),)
    assert [c.name for c in table(schema, "lines").columns if c.generated] == ["twice"]
    assert table(schema, "customers").comment == "who buys"
    assert column(schema, "customers", "name").type == "VARCHAR(40)"
    assert column(schema, "customers", "name").comment == "in full"
    assert table(schema, "orders").primary_key == ("year", "no")
    assert table(schema, "lines").foreign_keys == (
        ForeignKey(("y", "n"), "orders", ("year", "no")),
    )
    assert read_schema(engine) is schema


def test_an_empty_default_schema_means_all_others(engine: Engine) -> None:
    run(
        engine,
        "CREATE SCHEMA far; CREATE TABLE far.a (id int PRIMARY KEY);"
        "CREATE TABLE far.b (x int REFERENCES far.a)",
    )
    schema = read_schema(engine)
    assert set(names(schema)) == {"far.a", "far.b"}
    assert table(schema, "far.b").foreign_keys == (ForeignKey(("x",), "far.a", ("id",)),)


def test_a_part_that_fails_is_a_note(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Any:
        raise RuntimeError("not today")

    def missing(*_: object, **__: object) -> Any:
        raise NotImplementedError

    run(engine, SHOP)
    monkeypatch.setattr(Inspector, "get_multi_foreign_keys", broken)
    monkeypatch.setattr(Inspector, "get_multi_table_comment", missing)
    schema = read_schema(engine)
    assert len(schema.tables) == 4
    assert table(schema, "orders").primary_key == ("year", "no")
    assert schema.notes == ("The foreign keys could not be read (RuntimeError).",)


def test_a_table_that_cannot_be_read_costs_a_note(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> Any:
        raise RuntimeError("not today")

    def singly(self: Inspector, name: str, *rest: Any, **more: Any) -> Any:
        return broken() if name == "big" else get_columns(self, name, *rest, **more)

    run(engine, SHOP)
    get_columns = Inspector.get_columns
    monkeypatch.setattr(Inspector, "get_multi_columns", broken)
    monkeypatch.setattr(Inspector, "get_columns", singly)
    schema = read_schema(engine)
    assert set(names(schema)) == {"customers", "orders", "lines"}
    assert table(schema, "orders").primary_key == ("year", "no")
    assert schema.notes == ("1 table left out that SQLAlchemy cannot read: big.",)
    monkeypatch.setattr(Inspector, "get_columns", broken)
    with pytest.raises(SchemaError, match="not today"):
        read_schema(engine, refresh=True)


def test_the_users_transaction_stays_as_it_was(engine: Engine) -> None:
    run(engine, SHOP)
    with engine.connect() as connection:
        read_schema(connection)
        assert not connection.in_transaction()
        connection.execute(text("INSERT INTO customers VALUES (1, 'Ada')"))
        read_schema(connection, refresh=True)
        assert connection.in_transaction()
        connection.rollback()
        assert connection.execute(text("SELECT count(*) FROM customers")).scalar() == 0


def test_names_are_spelled_as_in_a_catalogue_of_capitals(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle's dialect, and Snowflake's, give `customers` for CUSTOMERS, and "Mixed" as it is."""
    run(engine, SHOP + 'CREATE TABLE "Mixed" (a int)')
    monkeypatch.setattr(engine.dialect, "requires_name_normalize", True)
    schema = read_schema(engine)
    assert set(names(schema)) == {"CUSTOMERS", "ORDERS", "LINES", "BIG", "Mixed"}
    assert table(schema, "ORDERS").primary_key == ("YEAR", "NO")
    assert table(schema, "LINES").foreign_keys == (
        ForeignKey(("Y", "N"), "ORDERS", ("YEAR", "NO")),
    )
    assert table(schema, "LINES").unique_keys == (("N", "Y"),)
    assert table(schema, "BIG").kind == "view"


def test_a_type_that_cannot_be_spelled(engine: Engine) -> None:
    assert inspector._type_name(NullType(), engine.dialect) == "NullType"
