"""E. Runs that are refused, fail, last too long or return too much. Numbers are table rows.

Rows covered: writes, AUTOCOMMIT (23), timeouts (67), row and byte caps (69), odd shapes (71), odd
values (73, 75), markup in values (77), the user's session afterwards (79, 81), EXPLAIN (83). Not
covered: MySQL's zero dates, GET_LOCK, PROCESSLIST; the repair loop (85). That a write does harm
with the guard off, and memory while streaming, is in `tests/execute`.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from bad_input_helpers import SHOP, Shop, Told
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from sqlcoder_magic import FakeModel, Settings, ask
from sqlcoder_magic.display import answer_html, answer_text, show_frame
from sqlcoder_magic.errors import NL2SQLError, QueryTimeoutError, RunError, SQLRejected, Stopped
from sqlcoder_magic.types import Answer

COUNT = "SELECT COUNT(*) AS n FROM sales"
ENDLESS = {
    "sqlite": "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) "
    "SELECT COUNT(*) FROM r",
    "duckdb": "SELECT COUNT(*) FROM range(100000000) a, range(100000000) b",
    "postgres": "SELECT COUNT(*) FROM generate_series(1, 1000000000000) g",
}
FAILING = {
    "sqlite": "SELECT ABS(-9223372036854775808) FROM sales",
    "duckdb": "SELECT CAST(city AS INTEGER) FROM sales",
    "postgres": "SELECT 1 / (id - 1) FROM sales",
}


def run(value: object, reply: str | BaseException, **settings: Any) -> Answer:
    return ask("What?", value, FakeModel([reply]), settings=Settings(run=True, **settings))


@pytest.mark.parametrize(
    "reply",
    [
        "DROP TABLE sales",
        "delete from sales",
        "UPDATE sales SET city = 'x'",
        "INSERT INTO sales VALUES (9, 1, 'x', 1)",
        "TRUNCATE TABLE sales",
        "CREATE TABLE x AS SELECT * FROM sales",
        "SELECT * INTO x FROM sales",
        "WITH gone AS (DELETE FROM sales RETURNING *) SELECT * FROM gone",
        "EXPLAIN ANALYZE DELETE FROM sales",
        "ALTER TABLE sales ADD COLUMN x INTEGER",
        "GRANT ALL ON sales TO PUBLIC",
        "CALL do_it()",
        "VACUUM",
    ],
)
def test_a_write_changes_nothing_and_says_so(shop: Shop, reply: str, told: Told) -> None:
    before = shop.content()
    answer = run(shop.connection, reply)
    assert isinstance(answer.error, SQLRejected) and answer.frame is None and answer.checked is None
    assert "let through" in told(answer.error) or "change data" in told(answer.error)
    assert answer.sql
    assert shop.content() == before


def test_83_explain_alone(shop: Shop, told: Told) -> None:
    plan = run(shop.connection, f"EXPLAIN {COUNT}")
    assert plan.frame is not None and len(plan.frame) > 0
    for refused in (f"EXPLAIN ANALYZE {COUNT}", f"EXPLAIN (ANALYZE) {COUNT}"):
        answer = run(shop.connection, refused)
        assert isinstance(answer.error, SQLRejected) and "ANALYZE" in told(answer.error)


def test_67_the_time_limit_is_named(shop: Shop, told: Told) -> None:
    answer = run(shop.connection, ENDLESS[shop.name], timeout_s=0.3)
    assert isinstance(answer.error, QueryTimeoutError)
    assert "0.3 s" in told(answer.error) and "--timeout" in told(answer.error)
    assert answer.sql == ENDLESS[shop.name]
    if shop.name == "postgres":
        active = shop.run(
            "SELECT COUNT(*) FROM pg_stat_activity WHERE state <> 'idle' "
            "AND pid <> pg_backend_pid() AND datname = current_database()"
        )
        assert active == [(0,)]
    again = run(shop.connection, COUNT)
    assert again.frame is not None and again.error is None


def test_69_a_cut_result_never_looks_complete(shop: Shop) -> None:
    for limits in ({"row_limit": 2}, {"byte_limit": 1024}):
        many = "SELECT a.* FROM sales a, sales b, sales c, sales d"
        answer = run(shop.connection, many, **limits)
        assert answer.frame is not None and answer.frame.attrs["truncated"]
        for text in show_frame(answer.frame):
            assert "of more rows" in text
    assert "of more" not in show_frame(run(shop.connection, COUNT).frame)[0]


def test_a_failing_query_keeps_the_sql(shop: Shop, told: Told) -> None:
    answer = run(shop.connection, FAILING[shop.name])
    assert isinstance(answer.error, RunError)
    assert "could not run the query" in told(answer.error)
    assert answer.sql == FAILING[shop.name] and answer.checked is not None
    assert answer.sql in answer_text(answer)


# ---------------------------------------------------------------- 71 to 77: results


def test_71_no_rows_and_odd_columns(shop: Shop) -> None:
    empty = run(shop.connection, "SELECT id, city FROM sales WHERE 1 = 0").frame
    assert empty is not None and empty.shape == (0, 2) and list(empty.columns) == ["id", "city"]
    assert "(no rows) id, city" in show_frame(empty)[0]
    twice = run(shop.connection, "SELECT 1 AS a, 2 AS a").frame
    assert twice is not None and list(twice.columns) == ["a", "a"]
    nothing = run(shop.connection, "SELECT NULL AS a").frame
    assert nothing is not None and nothing.iloc[0, 0] is None


def test_71_no_columns_at_all(postgres_url: str) -> None:
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t AS SELECT 1 AS a")
    frame = run(engine, "SELECT FROM t").frame
    assert frame is not None and frame.shape == (1, 0)
    assert "1 row × 0 columns" in show_frame(frame)[0]
    engine.dispose()


VALUES = {
    "sqlite": "SELECT x'00ff' AS bytes, NULL AS missing, 9e999 AS much, '0001-01-01' AS early",
    "duckdb": "SELECT '\\x00\\xFF'::BLOB AS bytes, [1, NULL] AS list, {'a': 1} AS struct, "
    "TIMESTAMP '0001-01-01' AS early, TIMESTAMP 'infinity' AS never, "
    "TIMESTAMPTZ '2020-03-29 02:30:00+01' AS gap, INTERVAL 1 MONTH AS month, "
    "170141183460469231731687303715884105727::HUGEINT AS huge",
    "postgres": "SELECT '\\x00ff'::bytea AS bytes, ARRAY[1, NULL] AS list, "
    "'{\"a\": [1]}'::jsonb AS j, "
    "int4range(1, 5) AS range, DATE '0001-01-01' AS early, TIMESTAMP 'infinity' AS never, "
    "TIMESTAMP '0044-03-15 BC' AS ides, TIMESTAMPTZ '2020-03-29 02:30:00+01' AS gap, "
    "INTERVAL '1 mon' AS month, 'NaN'::numeric AS nan, TIME '24:00' AS midnight, "
    "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS uuid",
}


def test_73_75_odd_values_arrive_and_are_shown(shop: Shop) -> None:
    answer = run(shop.connection, VALUES[shop.name])
    assert answer.frame is not None, answer.error
    row = answer.frame.iloc[0]
    assert bytes(row["bytes"]) == b"\x00\xff"
    text, page = show_frame(answer.frame)
    assert "<2 bytes>" in text and "&lt;2 bytes&gt;" in page
    if shop.name == "postgres":
        assert row["j"] == {"a": [1]} and row["early"] == dt.date(1, 1, 1)
        assert "infinity" in str(row["never"]) and "BC" in row["ides"]
        assert row["gap"].utcoffset() is not None


def test_77_what_is_in_the_database_cannot_act_in_the_page(shop: Shop) -> None:
    evil = "<img src=x onerror=alert(1)> $x^2$ \x1b[31mred \u202eyenom =cmd()"
    shop.run("CREATE TABLE notes (name VARCHAR(200))")
    shop.run(f"INSERT INTO notes VALUES ('{evil}')")
    answer = run(shop.connection, 'SELECT name AS "<b>$y$</b>" FROM notes')
    assert answer.frame is not None and answer.frame.iloc[0, 0] == evil  # the value is whole
    text, page = show_frame(answer.frame)
    page += answer_html(answer)
    for sign in ("<img", "<b>", "\x1b", "\u202e", "$x^2$", "$y$"):
        assert sign not in page
    assert "\x1b" not in text and "\u202e" not in text and "\\x1b[31mred" in text


# ---------------------------------------------------------------- 79, 81, 23: the session


OUTCOMES = {
    "rows": (COUNT, {}),
    "cut rows": ("SELECT a.* FROM sales a, sales b", {"row_limit": 1}),
    "a refusal": ("DELETE FROM sales", {}),
    "an unknown column": ("SELECT nope FROM sales", {}),
    "a failure": ("failing", {}),
    "the time limit": ("endless", {"timeout_s": 0.2}),
    "prose": ("I cannot say.", {}),
    "Ctrl-C": (KeyboardInterrupt(), {}),
}


def live_through_all(name: str, value: object) -> Iterator[str]:
    """Ask for one outcome after the other; yields each when it has come about."""
    for outcome, (reply, settings) in OUTCOMES.items():
        wanted = {"failing": FAILING[name], "endless": ENDLESS[name]}
        said = wanted.get(reply, reply) if isinstance(reply, str) else reply
        try:
            answer = run(value, said, **settings)
        except (NL2SQLError, Stopped):
            assert outcome in ("prose", "Ctrl-C")
        else:
            assert (answer.frame is None) == (outcome not in ("rows", "cut rows")), outcome
        yield outcome


@pytest.mark.parametrize("mode", ["idle", "in a transaction"])
@pytest.mark.parametrize("level", [None, "AUTOCOMMIT", "SERIALIZABLE"])
def test_79_a_postgres_connection_is_as_it_was(
    postgres_url: str, level: str | None, mode: str
) -> None:
    engine = create_engine(postgres_url, **({"isolation_level": level} if level else {}))
    with engine.begin() as connection:
        for statement in SHOP:
            connection.exec_driver_sql(statement)
    queries = (
        "SELECT name, setting FROM pg_settings ORDER BY 1",
        "SELECT COUNT(*) FROM sales",
        "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory'",
        "SELECT COUNT(*) FROM pg_cursors",
        "SELECT COUNT(*) FROM pg_prepared_statements",
    )
    with engine.connect() as own:
        raw: Any = own.connection.driver_connection
        raw.prepare_threshold = None  # the looks of this test prepare nothing themselves
        raw.execute("SET statement_timeout = '77s'")
        raw.execute("SET lock_timeout = '7s'")
        raw.commit()
        if mode != "idle":
            raw.execute("INSERT INTO sales VALUES (9, 1, 'mine', 1)")

        def state() -> list[Any]:
            status = raw.info.transaction_status.name
            seen = [raw.execute(query).fetchall() for query in queries]
            if status == "IDLE" and not raw.autocommit:
                raw.rollback()
            return [status, raw.autocommit, own.in_transaction(), raw.isolation_level, seen]

        before = state()
        for outcome in live_through_all("postgres", own):
            assert state() == before, outcome
        raw.rollback()
    engine.dispose()


@pytest.mark.parametrize("mode", ["idle", "in a transaction"])
@pytest.mark.parametrize("kind", ["connection", "static pool"])
def test_79_a_sqlite_connection_is_as_it_was(kind: str, mode: str) -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as connection:
        for statement in SHOP:
            connection.exec_driver_sql(statement)
        held = connection.connection.driver_connection
    assert isinstance(held, sqlite3.Connection)
    raw = held
    raw.row_factory = sqlite3.Row
    raw.text_factory = bytes
    raw.execute("PRAGMA busy_timeout = 777")
    if mode != "idle":
        raw.execute("INSERT INTO sales VALUES (9, 1, 'mine', 1)")
    limits = (sqlite3.SQLITE_LIMIT_LENGTH, sqlite3.SQLITE_LIMIT_ATTACHED)

    def state() -> list[Any]:
        pragmas = ("query_only", "busy_timeout", "foreign_keys", "read_uncommitted")
        return [
            raw.in_transaction,
            raw.isolation_level,
            raw.row_factory,
            raw.text_factory,
            [raw.getlimit(limit) for limit in limits],
            [tuple(raw.execute(f"PRAGMA {pragma}").fetchone()) for pragma in pragmas],
            tuple(raw.execute("SELECT COUNT(*) FROM sales").fetchone()),
        ]

    before = state()
    if kind == "connection":
        with engine.connect() as own:
            for outcome in live_through_all("sqlite", own):
                assert state() == before, outcome
            raw.rollback()
    else:
        for outcome in live_through_all("sqlite", engine):
            assert state() == before, outcome
        raw.rollback()
    raw.execute("CREATE TABLE mine (a)")  # not read-only, no authorizer, nothing locked
    engine.dispose()


def test_79_a_duckdb_connection_is_as_it_was() -> None:
    import duckdb

    with duckdb.connect() as own:
        for statement in SHOP:
            own.execute(statement)
        own.execute("SET threads = 1")
        own.execute("BEGIN")
        own.execute("INSERT INTO sales VALUES (9, 1, 'mine', 1)")

        def state() -> list[Any]:
            settings = own.execute("SELECT name, value FROM duckdb_settings() ORDER BY 1")
            return [settings.fetchall(), own.execute(COUNT).fetchall()]

        before = state()
        for outcome in live_through_all("duckdb", own):
            assert state() == before, outcome
        own.execute("ROLLBACK")
        assert own.execute(COUNT).fetchall() == [(3,)]
        own.execute("COPY (SELECT 1) TO '/dev/null'")  # external access was not switched off


def test_23_autocommit_is_no_way_around_the_guard(postgres_url: str) -> None:
    engine = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as own:
        for statement in SHOP:
            own.exec_driver_sql(statement)
        own.exec_driver_sql(
            "CREATE FUNCTION gone() RETURNS text LANGUAGE sql AS "
            "$$ DELETE FROM sales; SELECT 'gone' $$"
        )
        own.exec_driver_sql("CREATE VIEW trap AS SELECT gone() AS a")
        answer = run(own, "SELECT a FROM trap")  # which the check cannot see through
        assert isinstance(answer.error, RunError) and "read-only" in str(answer.error)
        assert own.exec_driver_sql(COUNT).scalar_one() == 3
        raw: Any = own.connection.driver_connection
        assert raw.autocommit is True
    engine.dispose()


def test_an_engine_without_a_guard_shows_the_sql(told: Told) -> None:
    """SQLite under another name stands in for an engine that has no guard."""
    from dataclasses import replace

    from sqlcoder_magic.connection import open_database

    lenient = {"check_same_thread": False}  # a server's schema is read in a thread of its own
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args=lenient)
    with engine.begin() as connection:
        for statement in SHOP:
            connection.exec_driver_sql(statement)
    other = replace(open_database(engine), engine_name="clickhouse")
    answer = run(other, COUNT)
    assert "shown, not run" in told(answer.error) and "clickhouse" in told(answer.error)
    assert answer.sql == COUNT and answer.frame is None
    engine.dispose()
