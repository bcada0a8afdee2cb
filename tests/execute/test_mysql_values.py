"""MySQL and MariaDB: what is sent and what arrives.

What Oracle's MySQL would be sent is compared with a list, since no test here can start one; the
rest is tried on a real MariaDB.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pymysql
import pytest
from mysql_helpers import guarded_engine, guarded_url, state  # noqa: F401 (fixtures)
from sqlalchemy import Engine, create_engine, make_url

from sqlcoder_magic.connection import Session
from sqlcoder_magic.errors import EngineNotGuardedError, RunError
from sqlcoder_magic.execute import mysql as guard_module
from sqlcoder_magic.execute import run_sql
from sqlcoder_magic.execute.base import Limits
from sqlcoder_magic.models.fake import FakeModel
from sqlcoder_magic.pipeline import ask

# ------------------------------------------------------------ what is read as it was checked


@pytest.mark.parametrize("mode", ["ANSI_QUOTES", "PIPES_AS_CONCAT", "ANSI", "ORACLE"])
def test_a_mode_of_the_users_does_not_change_what_a_text_means(
    url: str, engine: Engine, unchecked: Any, mode: str
) -> None:
    mine = create_engine(url, connect_args={"sql_mode": mode})
    try:
        frame = run_sql(unchecked("mysql", "SELECT \"name\", 'a' || 'b' FROM shop", "shop"), mine)
    finally:
        mine.dispose()
    assert frame.iloc[0].tolist() == ["name", 0]


def test_a_long_concatenation_is_whole(url: str, engine: Engine, unchecked: Any) -> None:
    mine = create_engine(url, connect_args={"init_command": "SET group_concat_max_len = 1024"})
    sql = "SELECT LENGTH(GROUP_CONCAT(seq)) FROM seq_1_to_10000"
    try:
        assert run_sql(unchecked("mysql", sql), mine).iat[0, 0] == 48893
    finally:
        mine.dispose()


# ------------------------------------------------------------ the whole way

DRAFT = (
    "SELECT DATE_TRUNC('month', sold_on)::date AS month, STRING_AGG(name, ', ' ORDER BY name) "
    "FILTER (WHERE name ILIKE '%E%') AS names FROM sold GROUP BY month ORDER BY month NULLS LAST"
)


@pytest.mark.parametrize("kind", ["engine", "connection", "url"])
def test_from_a_question_to_rows_as_an_ordinary_user(mariadb_fresh_url: str, kind: str) -> None:
    """The model's PostgreSQL is put into MySQL, checked against the catalogue, and run."""
    mine = create_engine(mariadb_fresh_url)
    with mine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE sold (name VARCHAR(20), sold_on DATE)")
        connection.exec_driver_sql(
            "INSERT INTO sold VALUES ('Tea', '2024-02-29'), ('rye', '2024-02-01'), "
            "('fig', '2024-01-31'), ('pear', NULL)"
        )
    with mine.connect() as connection:
        before = state(connection)
        where = {"engine": mine, "connection": connection, "url": mariadb_fresh_url}[kind]
        answer = ask("What was sold in each month?", where, FakeModel([DRAFT]), run=True)
        assert answer.frame is not None
        rows = answer.frame.astype(object).where(answer.frame.notna(), None).values.tolist()
        assert [[str(m)[:10], names] for m, names in rows] == [
            ["2024-01-01", None],
            ["2024-02-01", "rye, Tea"],
            ["None", "pear"],
        ]
        assert state(connection) == before
    mine.dispose()


# ------------------------------------------------------------ what MySQL is sent

MYSQL_VARIABLES = {
    "max_execution_time": "0",
    "lock_wait_timeout": "31536000",
    "innodb_lock_wait_timeout": "50",
    "group_concat_max_len": "1024",
    "sql_mode": "ONLY_FULL_GROUP_BY,ANSI_QUOTES,STRICT_TRANS_TABLES",
    "transaction_read_only": "OFF",
}


def recorded(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> list[str]:
    """Let guards talk to a server that has these variables and refuses what it should."""
    sent: list[str] = []
    refusals = {guard_module._SEVERAL: 1064, guard_module._PROBE: 1792}

    def rows(self: Any, sql: str, raw: Any = None) -> list[tuple[Any, ...]]:
        sent.append(sql)
        if sql in refusals:
            raise pymysql.err.OperationalError(refusals[sql], "no")
        if sql.startswith("SHOW"):
            return [(name, value) for name, value in variables.items() if f"'{name}'" in sql]
        return [(7,)] if sql == "SELECT CONNECTION_ID()" else []

    monkeypatch.setattr(guard_module.MySQLGuard, "_rows", rows)
    return sent


def test_what_mysql_is_sent(monkeypatch: pytest.MonkeyPatch, unchecked: Any) -> None:
    sent = recorded(monkeypatch, MYSQL_VARIABLES)
    raw = type("connection", (), {"__module__": "pymysql.connections"})()
    guard = guard_module.MySQLGuard(
        Session(raw, owned=True), unchecked("mysql", "SELECT 1"), Limits(10, 10, 2.5)
    )
    guard.begin()
    guard._vouch("SELECT 'it''s' -- x\n;")
    guard.restore()
    assert [sql for sql in sent if not sql.startswith("SHOW")] == [
        "SELECT CONNECTION_ID()",
        "SET TRANSACTION READ ONLY",
        "SET SESSION max_execution_time = 2500, lock_wait_timeout = 3, "
        "innodb_lock_wait_timeout = 3, group_concat_max_len = 1048576, "
        "sql_mode = 'ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES'",
        "SET SESSION TRANSACTION READ ONLY",
        "START TRANSACTION READ ONLY",
        "DO 0; DO 0",
        "CREATE TEMPORARY TABLE nl2sql_preflight.x (x INT)",
        "PREPARE nl2sql_vouch FROM 'SELECT EXISTS (SELECT ''it''''s''\n)'",
        "DEALLOCATE PREPARE nl2sql_vouch",
        "ROLLBACK AND NO CHAIN NO RELEASE",
        "SET SESSION TRANSACTION READ WRITE",
        "SET SESSION max_execution_time = 0, lock_wait_timeout = 31536000, "
        "innodb_lock_wait_timeout = 50, group_concat_max_len = 1024, "
        "sql_mode = 'ONLY_FULL_GROUP_BY,ANSI_QUOTES,STRICT_TRANS_TABLES'",
        "DO RELEASE_ALL_LOCKS()",
    ]


def test_a_server_without_a_time_limit_is_not_guarded(
    monkeypatch: pytest.MonkeyPatch, unchecked: Any
) -> None:
    sent = recorded(monkeypatch, {"lock_wait_timeout": "50"})
    raw = type("connection", (), {"__module__": "pymysql.connections"})()
    guard = guard_module.MySQLGuard(
        Session(raw, owned=True), unchecked("mysql", "SELECT 1"), Limits(10, 10, 2.5)
    )
    with pytest.raises(EngineNotGuardedError, match="no time limit"):
        guard.begin()
    assert not [sql for sql in sent if sql.startswith("SET SESSION")]


@pytest.mark.parametrize("code, kind", [(1969, "timeout"), (3024, "timeout"), (2006, "lost")])
def test_errors_of_both_servers_are_read(unchecked: Any, code: int, kind: str) -> None:
    raw = type("connection", (), {"__module__": "pymysql.connections"})()
    guard = guard_module.MySQLGuard(
        Session(raw, owned=True), unchecked("mysql", "SELECT 1"), Limits(10, 10, 2.5)
    )
    failure = guard.failure(pymysql.err.OperationalError(code, "said"))
    assert (failure.text, failure.timeout, failure.lost) == (
        "said",
        kind == "timeout",
        kind == "lost",
    )


# ------------------------------------------------------------ values and errors


@pytest.mark.parametrize(
    "value, expected",
    [
        ("CAST('2024-02-29' AS DATE)", dt.date(2024, 2, 29)),
        ("CAST('9999-12-31' AS DATE)", dt.date(9999, 12, 31)),
        ("CAST('-100:00:01' AS TIME)", -dt.timedelta(hours=100, seconds=1)),
        ("12345678901234567890.5", Decimal("12345678901234567890.5")),
        ("18446744073709551615", 2**64 - 1),
        ("x'00ff'", b"\x00\xff"),
        ("b'101'", b"\x05"),
        ("JSON_OBJECT('a', 1)", '{"a": 1}'),
        ("1.5e0", 1.5),
        ("1 = 1", 1),
        ("NULL", None),
    ],
)
def test_values_arrive(engine: Engine, unchecked: Any, value: str, expected: Any) -> None:
    frame = run_sql(unchecked("mysql", f"SELECT {value} AS v"), engine)
    assert frame["v"].tolist() == [expected]


def test_a_date_of_zeros_arrives_as_text(engine: Engine, unchecked: Any) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("SET sql_mode = ''")
        connection.exec_driver_sql("CREATE TABLE days (d DATE)")
        connection.exec_driver_sql("INSERT INTO days VALUES ('0000-00-00'), ('2024-01-02')")
    frame = run_sql(unchecked("mysql", "SELECT d FROM days ORDER BY d", "days"), engine)
    assert [str(value) for value in frame["d"]] == ["0000-00-00", "2024-01-02"]


def test_no_rows(engine: Engine, unchecked: Any) -> None:
    empty = run_sql(unchecked("mysql", "SELECT name, price FROM shop WHERE 1 = 0"), engine)
    assert (list(empty.columns), len(empty)) == (["name", "price"], 0)


def test_an_error_shows_the_servers_words_and_no_password(
    url: str, engine: Engine, unchecked: Any
) -> None:
    """A password that the server repeats is hidden, also in the exception's chain."""
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE OR REPLACE USER p@localhost IDENTIFIED BY 'hunter2'")
        connection.exec_driver_sql("GRANT ALL ON guarded.* TO p@localhost")
    mine = create_engine(make_url(url).set(username="p", password="hunter2"))
    try:
        with pytest.raises(RunError) as caught:
            run_sql(unchecked("mysql", "SELECT hunter2 FROM shop", "shop"), mine)
    finally:
        mine.dispose()
    error: BaseException | None = caught.value
    assert "Unknown column" in str(error)
    assert "EXISTS" not in str(error)
    while error is not None:
        assert "hunter2" not in str(error)
        error = error.__cause__ or error.__context__
