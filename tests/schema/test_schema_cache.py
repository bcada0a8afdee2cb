"""The cache, the fingerprint, and the tables that a user names."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from schema_helpers import counted, names, table
from sqlalchemy import Engine, create_engine

from sqlcoder_magic.errors import OptionError, Stopped
from sqlcoder_magic.schema import cache, read_schema, refresh_schema, schema_age_s, sqlite

Make = Callable[[str], Engine]


def test_an_unchanged_schema_is_the_same_object(sqlite_engine: Make) -> None:
    engine = sqlite_engine("CREATE TABLE t (a INT)")
    schema = read_schema(engine)
    assert read_schema(engine) is schema
    assert read_schema(engine, refresh=True) is not schema


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE more (a INT)",
        "DROP TABLE t",
        "ALTER TABLE t ADD COLUMN b INT",
        "ALTER TABLE t RENAME a TO b",
        "CREATE VIEW v AS SELECT 1 AS one",
    ],
)
def test_a_change_by_another_program_is_noticed(sqlite_engine: Make, change: str) -> None:
    engine = sqlite_engine("CREATE TABLE t (a INT); CREATE TABLE u (a INT)")
    before = read_schema(engine)
    other = sqlite3.connect(engine.url.database or "")
    other.execute("INSERT INTO u VALUES (1)")
    other.commit()
    assert read_schema(engine) is before
    other.execute(change)
    other.commit()
    other.close()
    assert read_schema(engine) != before


def test_a_file_made_anew_is_noticed(sqlite_engine: Make) -> None:
    engine = sqlite_engine("CREATE TABLE t (a INT)")
    assert names(read_schema(engine)) == ["t"]
    path = Path(engine.url.database or "")
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE other (a INT)")
    other.close()
    engine.dispose()
    assert names(read_schema(engine)) == ["other"]


def test_an_attached_database_is_noticed(sqlite_engine: Make) -> None:
    engine = sqlite_engine("CREATE TABLE t (a INT)")
    with engine.connect() as connection:
        assert names(read_schema(connection)) == ["t"]
        raw = connection.connection.driver_connection
        raw.execute("ATTACH ':memory:' AS side")
        raw.execute("CREATE TABLE side.u (a INT)")
        assert names(read_schema(connection)) == ["t", "side.u"]


def test_age_and_forgetting(sqlite_engine: Make) -> None:
    one, two = (sqlite_engine("CREATE TABLE t (a INT)") for _ in range(2))
    assert schema_age_s(one) is None
    read_schema(one)
    read_schema(two)
    assert (schema_age_s(one) or -1) >= 0
    refresh_schema(one)
    assert schema_age_s(one) is None
    assert schema_age_s(two) is not None
    refresh_schema()
    assert schema_age_s(two) is None


def test_what_was_read_goes_with_its_engine(sqlite_engine: Make) -> None:
    kept = sqlite_engine("CREATE TABLE t (a INT)")
    engine = create_engine(kept.url)
    read_schema(engine)
    assert len(cache._entries) == 1
    engine.dispose()
    del engine
    gc.collect()
    assert len(cache._entries) == 0


def test_without_a_fingerprint_a_schema_is_believed_for_a_while(sqlite_engine: Make) -> None:
    entry = cache.Entry(read_schema(sqlite_engine("CREATE TABLE t (a INT)")), None)
    assert entry.is_current(None)
    assert not entry.is_current("something")
    entry.read_at -= cache.WITHOUT_FINGERPRINT_S
    assert not entry.is_current(None)


def test_samples_are_read_once(sqlite_engine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = sqlite_engine("CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('x')")
    read_schema(engine, samples_per_column=2)
    with counted(monkeypatch) as sent:
        schema = read_schema(engine, samples_per_column=2)
    assert schema.tables[0].columns[0].samples == ("x",)
    assert not [sql for sql in sent if "part" in sql]
    assert read_schema(engine).tables[0].columns[0].samples == ()


def test_an_interrupt_is_a_sentence(sqlite_engine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = sqlite_engine("CREATE TABLE t (a TEXT)")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sqlite, "_read_columns", interrupted)
    with pytest.raises(Stopped):
        read_schema(engine)
    monkeypatch.undo()
    assert names(read_schema(engine)) == ["t"]


# ---------------------------------------------------------------- the tables that a user names

NAMES = """CREATE TABLE Customers (a INT); CREATE TABLE orders (a INT REFERENCES Customers);
CREATE TABLE "two words" (a INT); CREATE TABLE order_lines (a INT); CREATE TABLE "a.b" (c INT)"""


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["orders"], ["orders"]),
        (["customers"], ["Customers"]),
        ([" CUSTOMERS ", "orders", "Orders"], ["Customers", "orders"]),
        (['"two words"'], ["two words"]),
        (["[orders]"], ["orders"]),
        (["main.orders"], ["orders"]),
        (["a.b"], ["a.b"]),
        (["orders", "", " "], ["orders"]),
    ],
)
def test_tables_by_name(sqlite_engine: Make, typed: list[str], meant: list[str]) -> None:
    engine = sqlite_engine(NAMES)
    assert names(read_schema(engine, tables=typed)) == meant
    assert len(read_schema(engine).tables) == 5


def test_an_unknown_table_names_the_nearest(sqlite_engine: Make) -> None:
    engine = sqlite_engine(NAMES)
    with pytest.raises(OptionError, match="no table or view called 'custmers'") as caught:
        read_schema(engine, tables=["custmers"])
    assert "Customers" in caught.value.fix
    with pytest.raises(OptionError) as caught:
        read_schema(engine, tables=["zzz"])
    assert "There are: Customers, orders" in caught.value.fix
    with pytest.raises(OptionError):
        read_schema(engine, tables=["wrong.orders"])


def test_an_ambiguous_table_is_asked_about(sqlite_engine: Make) -> None:
    with sqlite_engine(NAMES).connect() as connection:
        raw = connection.connection.driver_connection
        for name in ("one", "two"):
            raw.execute(f"ATTACH ':memory:' AS {name}")
            raw.execute(f"CREATE TABLE {name}.same (a INT)")
        with pytest.raises(OptionError, match=r"could be one\.same, two\.same"):
            read_schema(connection, tables=["same"])
        schema = read_schema(connection, tables=["TWO.same"])
        assert table(schema, "two.same").name == "same"
