"""DuckDB, native and by duckdb-engine: harm without the guard, refusal with it, nothing left."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlalchemy import create_engine

from sqlcoder_magic.connection import Session
from sqlcoder_magic.errors import (
    EngineNotGuardedError,
    QueryTimeoutError,
    RunError,
    Stopped,
)
from sqlcoder_magic.execute import duckdb as guard_module
from sqlcoder_magic.execute import run_sql, run_sql_result
from sqlcoder_magic.execute.base import Limits

ENDLESS = "SELECT count(*) FROM range(1000000000000) a WHERE a.range % 7 = 3"
SETUP = """
CREATE TABLE shop (name VARCHAR, price DECIMAL(9, 2));
INSERT INTO shop VALUES ('tea', 2.5), ('rye', 4), ('fig', 1);
CREATE SEQUENCE tickets;
CREATE VIEW cheap AS SELECT name FROM shop WHERE price < 3;
CREATE MACRO priced(p) AS TABLE SELECT name FROM shop WHERE price = p;
"""


@pytest.fixture
def native() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    connection.execute(SETUP)
    yield connection
    connection.close()


def content(native: duckdb.DuckDBPyConnection) -> list[Any]:
    queries = (
        "SELECT * FROM shop ORDER BY ALL",
        "SELECT table_name FROM duckdb_tables() ORDER BY ALL",
        "SELECT last_value FROM duckdb_sequences()",
        "SELECT name, value FROM duckdb_settings() ORDER BY ALL",
        "SELECT database_name FROM duckdb_databases() ORDER BY ALL",
    )
    return [native.execute(query).fetchall() for query in queries]


def test_rows(native: duckdb.DuckDBPyConnection, unchecked: Any) -> None:
    sql = "SELECT name, price, name FROM shop ORDER BY price; -- ? %s :name $1"
    frame = run_sql(unchecked("duckdb", sql, "shop"), native)
    assert list(frame.columns) == ["name", "price", "name"]
    assert frame.iloc[0].tolist() == ["fig", Decimal("1.00"), "fig"]


@pytest.mark.parametrize(
    "sql, rows",
    [
        ("FROM main.shop", 3),
        ("SELECT * FROM cheap", 2),
        ("SELECT * FROM priced(4)", 1),
        ("WITH c AS (SELECT 1 AS n) SELECT * FROM c", 1),
        ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) FROM n", 5),
        ("SELECT * FROM range(4), unnest([1, 2])", 8),
        ("PIVOT shop ON name USING sum(price)", 1),
        ("PIVOT shop ON name IN ('tea') USING sum(price)", 1),
        ("SUMMARIZE shop", 2),
        ("EXPLAIN SELECT * FROM shop", 1),
        ("/* plan */ explain FROM shop", 1),
        ("VALUES (1), (2)", 2),
        ("SELECT * FROM shop WHERE false", 0),
    ],
)
def test_ordinary_queries_run(
    native: duckdb.DuckDBPyConnection, unchecked: Any, sql: str, rows: int
) -> None:
    assert len(run_sql(unchecked("duckdb", sql, "shop", "cheap"), native)) == rows


WRITES = [
    "DELETE FROM shop",
    "INSERT INTO shop VALUES ('x', 1) RETURNING name",
    "CREATE TABLE new AS FROM shop",
    "DROP TABLE shop",
    "SELECT nextval('tickets')",
    "SELECT 1; DELETE FROM shop",
    "SELECT 1; COMMIT; DELETE FROM shop",
    "COMMIT; DELETE FROM shop",
    "SET threads = 1",
    "ATTACH ':memory:' AS other",
    "EXPLAIN ANALYZE DELETE FROM shop",
]


@pytest.mark.parametrize("sql", WRITES)
def test_a_write_harms_without_the_guard_and_is_refused_by_it(
    native: duckdb.DuckDBPyConnection, unchecked: Any, sql: str
) -> None:
    before = content(native)
    with pytest.raises(RunError):
        run_sql(unchecked("duckdb", sql, "shop"), native)
    assert content(native) == before
    if "COMMIT" in sql:
        native.execute("BEGIN TRANSACTION READ ONLY")  # which the text itself ends
    native.execute(sql).fetchall()
    if "DROP" in sql:
        native.execute("CREATE TABLE shop AS SELECT 'empty' AS name, 0 AS price")
    assert content(native) != before


@pytest.mark.parametrize("sql", WRITES[:5])
def test_the_read_only_transaction_alone_refuses_a_write(
    native: duckdb.DuckDBPyConnection,
    unchecked: Any,
    monkeypatch: pytest.MonkeyPatch,
    sql: str,
) -> None:
    monkeypatch.setattr(guard_module.DuckDBGuard, "_vouch", lambda *_: None)
    before = content(native)
    with pytest.raises(RunError, match="read-only"):
        run_sql(unchecked("duckdb", sql, "shop"), native)
    assert content(native) == before


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    path.write_text("name,word\nann,swordfish\n")
    return path


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM '{0}'",
        'FROM "{0}"',
        "SELECT * FROM read_csv('{0}')",
        "SELECT * FROM read_text('{0}')",
        "SELECT * FROM glob('{0}')",
        "SUMMARIZE '{0}'",
        "SELECT (SELECT count(*) FROM '{0}')",
        'WITH "{0}" AS (SELECT 1) SELECT * FROM (FROM "{0}")',
        "SELECT * FROM query('FROM ''{0}''')",
        "SELECT * FROM query_table('{0}')",
        "EXPLAIN SELECT * FROM read_csv('{0}')",
    ],
)
def test_no_file_is_read(
    native: duckdb.DuckDBPyConnection, unchecked: Any, file: Path, sql: str
) -> None:
    sql = sql.format(file)
    assert native.execute(sql).fetchall()  # it is readable without the guard
    with pytest.raises(RunError, match=r"own parser|no files|not allowed"):
        run_sql(unchecked("duckdb", sql, "shop"), native)


def test_no_file_is_written(
    native: duckdb.DuckDBPyConnection, unchecked: Any, tmp_path: Path
) -> None:
    target = tmp_path / "out.csv"
    sql = f"COPY shop TO '{target}'"
    with pytest.raises(RunError, match="COPY"):
        run_sql(unchecked("duckdb", sql, "shop"), native)
    assert not target.exists()
    native.execute("BEGIN TRANSACTION READ ONLY")
    native.execute(sql)  # which is why the transaction alone is not enough
    native.execute("ROLLBACK")
    assert target.exists()


def test_a_dataframe_of_the_notebook_is_no_table(
    native: duckdb.DuckDBPyConnection, unchecked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd

    salaries = pd.DataFrame({"salary": [1]})
    assert native.execute("SELECT * FROM salaries").fetchall() == [(1,)]
    for layer in ("both", "setting alone"):
        if layer == "setting alone":
            monkeypatch.setattr(guard_module.DuckDBGuard, "_vouch", lambda *_: None)
        with pytest.raises(RunError, match="salaries"):
            run_sql(unchecked("duckdb", "SELECT * FROM salaries", "shop"), native)
    assert native.execute("SELECT * FROM salaries").fetchall() == [(1,)]  # the user still can
    assert len(salaries) == 1


def test_nothing_is_sent_where_a_refusal_cannot_be_shown(
    native: duckdb.DuckDBPyConnection, unchecked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard_module, "_READ_ONLY", "BEGIN TRANSACTION")
    sent: list[str] = []
    monkeypatch.setattr(guard_module.DuckDBGuard, "execute", lambda self, sql: sent.append(sql))
    before = content(native)
    with pytest.raises(EngineNotGuardedError, match="shown, not run"):
        run_sql(unchecked("duckdb", "SELECT 1"), native)
    assert sent == []
    assert content(native) == before


# ------------------------------------------------------------ the user's session afterwards

ENDINGS = {
    "success": ("SELECT name FROM shop", 30.0),
    "truncated": ("SELECT * FROM range(50000)", 30.0),
    "refusal": ("DELETE FROM shop", 30.0),
    "driver error": ("SELECT error('no') FROM shop", 30.0),
    "timeout": (ENDLESS, 0.3),
}


def run(unchecked: Any, where: Any, ending: str) -> None:
    sql, timeout_s = ENDINGS[ending]
    checked = unchecked("duckdb", sql, "shop")
    if ending in ("success", "truncated"):
        assert len(run_sql(checked, where, timeout_s=timeout_s, row_limit=3)) == 3
        return
    with pytest.raises(QueryTimeoutError if ending == "timeout" else RunError):
        run_sql(checked, where, timeout_s=timeout_s)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("open_transaction", [False, True])
def test_the_users_connection_is_as_it_was(
    native: duckdb.DuckDBPyConnection, unchecked: Any, open_transaction: bool, ending: str
) -> None:
    if open_transaction:
        native.execute("BEGIN")
        native.execute("INSERT INTO shop VALUES ('mine', 9)")
    before = content(native)
    run(unchecked, native, ending)
    assert content(native) == before
    assert native.execute("SELECT count(*) FROM shop").fetchone() == (3 + open_transaction,)
    if open_transaction:
        native.rollback()
    native.execute("INSERT INTO shop VALUES ('new', 1)")  # still writable
    assert native.execute("SELECT count(*) FROM shop").fetchone() == (4,)


def test_a_pending_result_of_the_user_is_not_lost(
    native: duckdb.DuckDBPyConnection, unchecked: Any
) -> None:
    native.execute("SELECT * FROM range(10000)")
    assert native.fetchmany(1) == [(0,)]
    run(unchecked, native, "success")
    assert native.fetchmany(1) == [(1,)]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", ["memory", "file", "connection"])
def test_duckdb_engine(unchecked: Any, tmp_path: Path, kind: str, ending: str) -> None:
    place = ":memory:" if kind == "memory" else str(tmp_path / "shop.duckdb")
    engine = create_engine(f"duckdb:///{place}")
    try:
        with engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            raw.execute(SETUP)
            raw.commit() if kind == "connection" else None
            before = content(raw)
            run(unchecked, connection if kind == "connection" else engine, ending)
            assert content(raw) == before
            raw.execute("INSERT INTO shop VALUES ('new', 1)")
    finally:
        engine.dispose()


def test_a_file_opened_read_only(unchecked: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "shop.duckdb")
    with duckdb.connect(path) as maker:
        maker.execute(SETUP)
    with duckdb.connect(path, read_only=True) as reader:
        run(unchecked, reader, "success")
        run(unchecked, reader, "refusal")


# ------------------------------------------------------------ stopping, limits, values


def test_ctrl_c_stops_a_running_query(
    native: duckdb.DuckDBPyConnection,
    unchecked: Any,
    ctrl_c: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[float] = []
    execute = guard_module.DuckDBGuard.execute

    def noted(self: Any, sql: str) -> None:
        sent.append(time.monotonic())
        execute(self, sql)

    monkeypatch.setattr(guard_module.DuckDBGuard, "execute", noted)
    with (
        ctrl_c(lambda: bool(sent) and time.monotonic() > sent[0] + 0.3) as pressed,
        pytest.raises(Stopped) as caught,
    ):
        run_sql(unchecked("duckdb", ENDLESS), native, timeout_s=60)
    assert time.monotonic() - pressed[0] < 10  # far from the time limit
    assert caught.value.fix == ""  # the engine has confirmed it
    assert native.execute("SELECT 1").fetchone() == (1,)


def test_rows_are_streamed(native: duckdb.DuckDBPyConnection, unchecked: Any) -> None:
    """A trillion rows are not made for the hundred that are wanted."""
    sql = "SELECT range, repeat('x', 1000) FROM range(1000000000000)"
    result = run_sql_result(unchecked("duckdb", sql), native, row_limit=100, timeout_s=20)
    assert (len(result.frame), result.truncated) == (100, True)
    result = run_sql_result(unchecked("duckdb", sql), native, byte_limit=10**6, timeout_s=20)
    assert 0 < len(result.frame) < 1000
    assert result.truncated


@pytest.mark.parametrize(
    "value, expected",
    [
        ("170141183460469231731687303715884105727::HUGEINT", 2**127 - 1),
        ("9007199254740993::BIGINT", 9007199254740993),
        ("[1, NULL]", [1, None]),
        ("{'a': [1]}", {"a": [1]}),
        ("'{\"a\": [1]}'::JSON", {"a": [1]}),
        ("date '290000-01-01'", "290000-01-01"),
        ("date '0044-03-15 (BC)'", "0044-03-15 (BC)"),
        ("date '2020-01-02'", dt.date(2020, 1, 2)),
        ("'\\xAA'::BLOB", b"\xaa"),
        ("1.5::DECIMAL(30, 3)", Decimal("1.500")),
        ("NULL", None),
    ],
)
def test_values_arrive(
    native: duckdb.DuckDBPyConnection, unchecked: Any, value: str, expected: Any
) -> None:
    frame = run_sql(unchecked("duckdb", f"SELECT {value} AS v"), native)
    assert frame["v"].tolist() == [expected]


def test_a_time_zone_is_kept(native: duckdb.DuckDBPyConnection, unchecked: Any) -> None:
    pytest.importorskip("pytz", reason="DuckDB's driver makes zones of it")
    sql = "SELECT TIMESTAMPTZ '2024-07-01 12:00:00+00' AS v"
    frame = run_sql(unchecked("duckdb", sql), native)
    assert frame["v"].dt.tz is not None
    assert frame["v"].iat[0].timestamp() == 1719835200


def test_a_missing_pytz_is_named(native: duckdb.DuckDBPyConnection, unchecked: Any) -> None:
    """The driver's words where it is missing; once imported, it cannot be taken away."""
    guard = guard_module.DuckDBGuard(
        Session(native, owned=False), unchecked("duckdb", "SELECT 1"), Limits(1, 1, 1)
    )
    words = "Invalid Input Error: Required module 'pytz' failed to import, due to the following"
    assert guard.failure(duckdb.InvalidInputException(words)).fix == "%pip install pytz"
    guard.restore()
