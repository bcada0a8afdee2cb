"""The user's session is as it was, whatever came of the run: every setting that the engine can
list, the driver's own switches, and the transaction that the user had open.

Engines × outcomes, one test each. A setting is compared by the engine's own list of all of them,
not by a list of those that the guard is known to touch. Only what counts or tells the time is
left out, by name.
"""

from __future__ import annotations

import gc
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from sqlcoder_magic.errors import EngineNotGuardedError, QueryTimeoutError, RunError, Stopped
from sqlcoder_magic.execute import run_sql

SETUP = (
    "CREATE TABLE shop (name VARCHAR(20), price INTEGER)",
    "INSERT INTO shop VALUES ('tea', 1)",
)
MINE = "INSERT INTO shop VALUES ('mine', 2)"
_numbers = count()
COUNT = "SELECT count(*) FROM shop"


class Case:
    """One way to hand over a connection. `state` is all that can be read from it."""

    dialect = ""
    endless = ""
    failing = ""
    # Whether the run sees the user's uncommitted row; None: nothing is run beside it at all.
    sees_mine: bool | None = True

    def __init__(self, target: Any, raw: Any, *, is_open: bool) -> None:
        self.target, self.raw, self.is_open = target, raw, is_open

    def state(self) -> dict[str, Any]:
        """Whatever could differ afterwards."""
        raise NotImplementedError

    def count(self) -> int:
        """Rows that the user's own session sees."""
        raise NotImplementedError

    def committed(self) -> int:
        """Rows that another session sees."""
        raise NotImplementedError


# ---------------------------------------------------------------- SQLite

# These do something when they are read, want an argument, or count.
_NOT_READ = frozenset(
    "case_sensitive_like data_version foreign_key_check foreign_key_list function_list "
    "incremental_vacuum index_info index_list index_xinfo integrity_check module_list optimize "
    "pragma_list quick_check shrink_memory table_info table_list table_xinfo wal_checkpoint "
    "collation_list compile_options database_list hard_heap_limit lock_proxy_file".split()
)


class SQLiteCase(Case):
    dialect = "sqlite"
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    )
    failing = "SELECT abs(-9223372036854775808)"

    def __init__(self, target: Any, raw: Any, path: Path | None, *, is_open: bool) -> None:
        super().__init__(target, raw, is_open=is_open)
        self._path = path
        self.asked: list[int] = []
        raw.row_factory = sqlite3.Row
        raw.text_factory = bytes
        raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 7_654_321)
        raw.execute("PRAGMA busy_timeout = 4321")
        raw.execute("PRAGMA cache_size = -3000")
        raw.create_function("mine", 0, lambda: 42)
        if is_open:
            raw.execute("BEGIN")
            raw.execute(MINE)
        raw.set_authorizer(self._authorizer)

    def _authorizer(self, action: int, *_: Any) -> int:
        self.asked.append(action)
        return sqlite3.SQLITE_OK

    def state(self) -> dict[str, Any]:
        names = [row[0].decode() for row in self.raw.execute("PRAGMA pragma_list")]
        pragmas = {n: _first(self.raw, f"PRAGMA {n}") for n in names if n not in _NOT_READ}
        self.asked.clear()
        assert _first(self.raw, f"SELECT mine() -- {next(_numbers)}") == (42,)  # not from a cache
        return pragmas | {
            "authorizer asked": bool(self.asked),
            "callbacks": sorted(map(repr, filter(callable, gc.get_referents(self.raw)))),
            "limits": [self.raw.getlimit(which) for which in range(12)],
            "factories": (self.raw.row_factory, self.raw.text_factory),
            "in_transaction": self.raw.in_transaction,
            "isolation_level": self.raw.isolation_level,
            "total_changes": self.raw.total_changes,
        }

    def count(self) -> int:
        return int(_first(self.raw, COUNT)[0])

    def committed(self) -> int:
        if self._path is None:  # in memory there is no other session: what a rollback leaves
            self.raw.rollback()
            return self.count()
        with closing(sqlite3.connect(self._path)) as other:
            return int(other.execute(COUNT).fetchone()[0])


def _first(raw: sqlite3.Connection, sql: str) -> tuple[Any, ...]:
    row = raw.execute(sql).fetchone()
    return tuple(row) if row is not None else ()


@contextmanager
def sqlite_case(request: pytest.FixtureRequest, kind: str) -> Iterator[Case]:
    path = request.getfixturevalue("tmp_path") / "shop.db" if kind != "memory" else None
    engine = create_engine(f"sqlite:///{path}" if path else "sqlite://")
    connection = engine.connect()
    try:
        raw: Any = connection.connection.driver_connection
        for statement in SETUP:
            raw.execute(statement)
        raw.commit()
        target = connection if kind == "connection" else engine
        yield SQLiteCase(target, raw, path, is_open=kind != "file")
    finally:
        raw.set_authorizer(None)
        raw.row_factory, raw.text_factory = None, str
        connection.close()
        engine.dispose()


# ---------------------------------------------------------------- PostgreSQL


class PostgresCase(Case):
    dialect = "postgres"
    endless = "SELECT count(*) FROM generate_series(1, 1000000000) a, generate_series(1, 1000) b"
    failing = "SELECT 1 / (price - price) FROM shop"

    def __init__(self, target: Any, raw: Any, url: str, *, is_open: bool) -> None:
        super().__init__(target, raw, is_open=is_open)
        self._url = url
        raw.execute("SET statement_timeout = 76543")
        raw.execute("SET search_path = public, pg_catalog")
        raw.execute("SET work_mem = '5MB'")
        raw.execute("PREPARE mine AS SELECT 1")
        raw.commit()
        if is_open:
            raw.execute("BEGIN ISOLATION LEVEL REPEATABLE READ" if raw.autocommit else "SELECT 1")
            raw.execute("SET LOCAL lock_timeout = 54321")
            raw.execute(MINE)

    def state(self) -> dict[str, Any]:
        raw = self.raw
        switches = (
            *(raw.info.transaction_status.name, raw.autocommit, raw.isolation_level),
            *(raw.read_only, raw.deferrable, raw.row_factory, raw.prepare_threshold),
        )

        def rows(sql: str) -> list[Any]:
            return list(raw.execute(sql.encode(), prepare=False).fetchall())

        found = {
            "switches": switches,
            "settings": rows("SELECT name, setting, source FROM pg_settings ORDER BY 1"),
            "prepared": rows("SELECT name FROM pg_prepared_statements ORDER BY 1"),
            "cursors": rows("SELECT name FROM pg_cursors WHERE name <> '' ORDER BY 1"),
            "advisory": rows("SELECT * FROM pg_locks WHERE locktype = 'advisory'"),
            "temporary": rows("SELECT pg_my_temp_schema()"),
            "listening": rows("SELECT pg_listening_channels()"),
        }
        if switches[0] == "IDLE" and not raw.autocommit:
            raw.rollback()
        return found

    def count(self) -> int:
        count = int(self.raw.execute(COUNT).fetchone()[0])
        if not self.is_open:
            self.raw.rollback()
        return count

    def committed(self) -> int:
        import psycopg

        with psycopg.connect(self._url.replace("+psycopg", "")) as other:
            row = other.execute(COUNT).fetchone()
        assert row is not None
        return int(row[0])


@contextmanager
def postgres_case(request: pytest.FixtureRequest, kind: str) -> Iterator[Case]:
    url = request.getfixturevalue("postgres_url")
    level = {"isolation_level": "AUTOCOMMIT"} if kind == "autocommit" else {}
    engine = create_engine(url, pool_size=1, max_overflow=0, **level)
    try:
        with engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            for statement in SETUP:
                raw.execute(statement)
            raw.commit()
            if kind != "engine":
                yield PostgresCase(connection, raw, url, is_open=True)
                raw.rollback()
                return
        yield PostgresCase(engine, raw, url, is_open=False)  # its pool's only connection
    finally:
        engine.dispose()


# ---------------------------------------------------------------- DuckDB


class DuckDBCase(Case):
    dialect = "duckdb"
    endless = "SELECT count(*) FROM range(1000000000000) a WHERE a.range % 7 = 3"
    failing = "SELECT error('no') FROM shop"
    sees_mine = False  # a second connection: what is not committed is not seen

    def __init__(self, target: Any, raw: Any) -> None:
        super().__init__(target, raw, is_open=True)
        raw.execute("SET threads = 2")
        raw.execute("SET preserve_insertion_order = false")
        raw.execute("SET VARIABLE mine = 42")
        raw.execute("CREATE TEMP TABLE mine_too AS SELECT 1 AS a")
        raw.execute("BEGIN")
        raw.execute(MINE)

    def state(self) -> dict[str, Any]:
        queries = {
            "settings": "SELECT name, value FROM duckdb_settings() ORDER BY ALL",
            "databases": "SELECT database_name, path FROM duckdb_databases() ORDER BY ALL",
            "tables": "SELECT schema_name, table_name FROM duckdb_tables() ORDER BY ALL",
            "variables": "SELECT name, value FROM duckdb_variables() ORDER BY ALL",
            "secrets": "SELECT name FROM duckdb_secrets() ORDER BY ALL",
            "prepared": "SELECT name FROM pg_prepared_statements ORDER BY ALL",
            "transaction": "SELECT txid_current()",
        }
        return {name: self.raw.execute(sql).fetchall() for name, sql in queries.items()}

    def count(self) -> int:
        return int(self.raw.execute(COUNT).fetchone()[0])

    def committed(self) -> int:
        with self.raw.duplicate() as other:
            return int(other.execute(COUNT).fetchone()[0])


@contextmanager
def duckdb_case(request: pytest.FixtureRequest, kind: str) -> Iterator[Case]:
    import duckdb

    with ExitStack() as stack:
        if kind == "native":
            target: Any = stack.enter_context(duckdb.connect())
            raw: Any = target
        else:
            engine = create_engine("duckdb:///:memory:")
            stack.callback(engine.dispose)
            target = stack.enter_context(engine.connect())
            raw = target.connection.driver_connection
        for statement in SETUP:
            raw.execute(statement)
        if kind != "native":
            raw.commit()
        yield DuckDBCase(target, raw)
        raw.rollback()


# ---------------------------------------------------------------- MariaDB

_COUNTERS = re.compile(
    r"^(timestamp|last_gtid|gtid_|last_insert_id|insert_id|identity|rand_seed|pseudo_|error_count|"
    r"warning_count|in_transaction$|innodb_buffer_pool_(dump|load))"
)


class MariaDBCase(Case):
    dialect = "mysql"
    endless = "SELECT count(*) FROM seq_1_to_1000000000 a, seq_1_to_1000 b WHERE a.seq % 7 = 3"
    failing = "SELECT (SELECT 1 UNION SELECT 2) FROM shop"

    def __init__(self, target: Any, raw: Any, other: Any, *, is_open: bool) -> None:
        super().__init__(target, raw, is_open=is_open)
        self._other = other
        if is_open:
            self.sees_mine = None  # it cannot be made read-only, and so nothing is run
        self._rows("SET SESSION max_statement_time = 77")
        self._rows("SET SESSION sql_mode = 'ANSI_QUOTES,STRICT_TRANS_TABLES'")
        self._rows("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        self._rows("SET @mine = 42")
        self._rows("PREPARE mine FROM 'SELECT 1'")
        raw.rollback()
        if is_open:
            self._rows("START TRANSACTION")
            self._rows(MINE)

    def _rows(self, sql: str) -> list[Any]:
        with self.raw.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def state(self) -> dict[str, Any]:
        in_transaction = self._rows("SELECT @@in_transaction")
        found = {
            "in transaction": in_transaction,
            "variables": [
                (name, value)
                for name, value in self._rows("SHOW SESSION VARIABLES")
                if not _COUNTERS.search(name)
            ],
            "mine": self._rows("SELECT @mine"),
            "prepared": self._rows("EXECUTE mine"),
            "tables": self._rows("SHOW TABLES"),
            "switches": (self.raw.get_autocommit(), self.raw.cursorclass, self.raw.open),
        }
        if not in_transaction[0][0]:
            self.raw.rollback()
        return found

    def count(self) -> int:
        count = int(self._rows(COUNT)[0][0])
        if not self.is_open:
            self.raw.rollback()
        return count

    def committed(self) -> int:
        with self._other.connect() as connection:
            return int(connection.exec_driver_sql(COUNT).scalar())


@contextmanager
def mariadb_case(request: pytest.FixtureRequest, kind: str) -> Iterator[Case]:
    url = request.getfixturevalue("mariadb_fresh_url")
    engine = create_engine(url, pool_size=1, max_overflow=0)
    other = create_engine(url)
    try:
        with engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            with raw.cursor() as cursor:
                for statement in SETUP:
                    cursor.execute(statement)
            raw.commit()
            if kind != "engine":
                yield MariaDBCase(connection, raw, other, is_open=kind == "in transaction")
                raw.rollback()
                return
        yield MariaDBCase(engine, raw, other, is_open=False)
    finally:
        engine.dispose()
        other.dispose()


# ---------------------------------------------------------------- the table

CASES: dict[str, Callable[[pytest.FixtureRequest], Any]] = {
    **{f"sqlite {k}": lambda r, k=k: sqlite_case(r, k) for k in ("file", "memory", "connection")},
    **{
        f"postgres {k}": lambda r, k=k: postgres_case(r, k)
        for k in ("engine", "connection", "autocommit")
    },
    **{f"duckdb {k}": lambda r, k=k: duckdb_case(r, k) for k in ("native", "duckdb-engine")},
    **{
        f"mariadb {k}": lambda r, k=k: mariadb_case(r, k)
        for k in ("engine", "connection", "in transaction")
    },
}
OUTCOMES = ("success", "refusal", "timeout", "Ctrl-C", "driver error")
ERRORS: dict[str, type[Exception]] = {
    "refusal": RunError,
    "timeout": QueryTimeoutError,
    "Ctrl-C": Stopped,
    "driver error": RunError,
}


def attempt(case: Case, outcome: str, unchecked: Any, ctrl_c: Any, sent: list[float]) -> None:
    """Run a text that ends in this way."""
    text = {
        "success": COUNT,
        "refusal": "DELETE FROM shop",
        "timeout": case.endless,
        "Ctrl-C": case.endless,
        "driver error": case.failing,
    }[outcome]
    checked = unchecked(case.dialect, text, "shop")
    if case.sees_mine is None:
        with pytest.raises(EngineNotGuardedError, match="open transaction"):
            run_sql(checked, case.target)
    elif outcome == "success":
        expected = 1 + (case.is_open and case.sees_mine)
        assert run_sql(checked, case.target).iat[0, 0] == expected
    elif outcome == "Ctrl-C":
        running = lambda: bool(sent) and time.monotonic() > sent[0] + 0.3  # noqa: E731
        with ctrl_c(running), pytest.raises(Stopped) as caught:
            run_sql(checked, case.target, timeout_s=60)
        assert caught.value.fix == ""  # confirmed: nothing is left running
    else:
        with pytest.raises(ERRORS[outcome]):
            run_sql(checked, case.target, timeout_s=0.5 if outcome == "timeout" else 60)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When a guard has begun to send a text."""
    from sqlcoder_magic.execute import duckdb, mysql, postgres, sqlite

    times: list[float] = []
    for guard in (
        *(duckdb.DuckDBGuard, mysql.MySQLGuard, postgres.PostgresGuard, sqlite.SQLiteGuard),
    ):

        def noted(self: Any, sql: str, execute: Any = guard.execute) -> None:
            times.append(time.monotonic())
            execute(self, sql)

        monkeypatch.setattr(guard, "execute", noted)
    return times


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("kind", CASES)
def test_the_session_is_as_it_was(
    kind: str,
    outcome: str,
    unchecked: Any,
    ctrl_c: Any,
    sent: list[float],
    request: pytest.FixtureRequest,
) -> None:
    with CASES[kind](request) as case:
        case.state()  # what an engine loads at a first look is there before
        before, rows = case.state(), case.count()
        assert rows == 1 + case.is_open
        attempt(case, outcome, unchecked, ctrl_c, sent)
        assert bool(sent) == (case.sees_mine is not None)
        assert _differences(before, case.state()) == {}
        assert case.count() == rows
        assert case.committed() == 1  # the user's open row is theirs to commit


def _differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What changed, small enough to read."""
    found: dict[str, Any] = {}
    for name, was in before.items():
        now = after[name]
        if was != now and isinstance(was, list):
            found[name] = [x for x in was if x not in now], [x for x in now if x not in was]
        elif was != now:
            found[name] = was, now
    return found
