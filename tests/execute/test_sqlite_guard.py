"""SQLite: each harm is first shown to work without the guard, then refused by it; and afterwards
the user's connection is as it was.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.pool import StaticPool

from sqlcoder_magic.connection import Session
from sqlcoder_magic.errors import (
    EngineNotGuardedError,
    QueryTimeoutError,
    RunError,
    Stopped,
)
from sqlcoder_magic.execute import run_sql, run_sql_result
from sqlcoder_magic.execute import sqlite as guard_module
from sqlcoder_magic.execute.base import Limits

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
SETUP = """
CREATE TABLE shop (name TEXT, price REAL);
INSERT INTO shop VALUES ('tea', 2.5), ('rye', 4.0), ('fig', 1.0);
CREATE TABLE secret (word TEXT);
INSERT INTO secret VALUES ('swordfish');
CREATE VIEW cheap AS SELECT name FROM shop WHERE price < 3;
CREATE VIEW cheapest AS SELECT min(name) AS name FROM cheap;
CREATE VIRTUAL TABLE notes USING fts5 (body);
INSERT INTO notes VALUES ('green tea'), ('black rye');
"""


def content(path: Path) -> list[Any]:
    connection = sqlite3.connect(path)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    connection = sqlite3.connect(path)
    connection.executescript(SETUP)
    connection.close()
    return path


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{path}")
    yield engine
    engine.dispose()


def test_rows(engine: Engine, unchecked: Any) -> None:
    sql = "SELECT name, price, name FROM shop ORDER BY price"
    frame = run_sql(unchecked("sqlite", sql, "shop"), engine)
    assert list(frame.columns) == ["name", "price", "name"]
    assert frame.values.tolist() == [
        ["fig", 1.0, "fig"],
        ["tea", 2.5, "tea"],
        ["rye", 4.0, "rye"],
    ]
    assert frame.attrs == {"truncated": False, "notes": []}


@pytest.mark.parametrize(
    "sql, rows",
    [
        ("SELECT * FROM cheapest", [["fig"]]),
        ("SELECT body FROM notes WHERE notes MATCH 'tea'", [["green tea"]]),
        ("SELECT value FROM shop, json_each('[7]') WHERE name = 'tea'", [[7]]),
        ("WITH c AS (SELECT name FROM shop) SELECT count(*) FROM c", [[3]]),
        ("SELECT '100%' LIKE '%s', ':name', '?' ; ", [[0, ":name", "?"]]),
        ("VALUES (1), (2)", [[1], [2]]),
        ("SELECT name FROM shop WHERE 0", []),
        ("SELECT max(name) OVER () FROM shop LIMIT 1", [["tea"]]),
        ("SELECT count(*) FROM shop WHERE EXISTS (SELECT 1 FROM shop)", [[3]]),
        ("SELECT X'00ff'", [[b"\x00\xff"]]),
        ("SELECT CAST(X'e9' AS TEXT)", [["�"]]),
    ],
)
def test_ordinary_queries_run(engine: Engine, unchecked: Any, sql: str, rows: list[Any]) -> None:
    checked = unchecked("sqlite", sql, "shop", "cheapest", "notes")
    assert run_sql(checked, engine).values.tolist() == rows


@pytest.mark.parametrize(
    "sql, rows", [("EXPLAIN QUERY PLAN SELECT * FROM shop", 1), ("EXPLAIN SELECT 1", 4)]
)
def test_explain_runs(engine: Engine, unchecked: Any, sql: str, rows: int) -> None:
    assert len(run_sql(unchecked("sqlite", sql, "shop"), engine)) >= rows


WRITES = [
    "DELETE FROM shop",
    "INSERT INTO shop VALUES ('x', 1)",
    "UPDATE shop SET price = 0",
    "REPLACE INTO shop VALUES ('x', 1)",
    "WITH d AS (SELECT 1) DELETE FROM shop",
    "INSERT INTO shop VALUES ('x', 1) RETURNING *",
    "DROP TABLE shop",
    "CREATE TABLE new AS SELECT * FROM shop",
    "ALTER TABLE shop RENAME TO other",
    "CREATE TRIGGER t AFTER INSERT ON shop BEGIN DELETE FROM secret; END",
    "PRAGMA user_version = 7",
    "REINDEX",
]


@pytest.mark.parametrize("sql", WRITES)
def test_a_write_harms_without_the_guard_and_is_refused_by_it(
    path: Path, engine: Engine, unchecked: Any, sql: str
) -> None:
    before = path.read_bytes()
    with pytest.raises(RunError):
        run_sql(unchecked("sqlite", sql, "shop"), engine)
    assert path.read_bytes() == before

    unguarded = sqlite3.connect(path)
    unguarded.execute(sql).fetchall()
    unguarded.commit()
    unguarded.close()
    assert path.read_bytes() != before or sql == "REINDEX"  # nothing to rebuild: no harm


@pytest.mark.parametrize("sql", ["ATTACH '{0}' AS out", "VACUUM INTO '{0}'"])
@pytest.mark.parametrize("off", ["", "authorizer", "query_only"])
def test_no_file_is_written_even_with_one_layer_off(
    path: Path,
    engine: Engine,
    unchecked: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sql: str,
    off: str,
) -> None:
    target = tmp_path / "out.db"
    sql = sql.format(target)
    switch_off(monkeypatch, off)
    with pytest.raises(RunError):
        run_sql(unchecked("sqlite", sql, "shop"), engine)
    assert not target.exists()

    unguarded = sqlite3.connect(path)
    unguarded.execute(sql)
    if "ATTACH" in sql:
        unguarded.execute("CREATE TABLE out.x (a)")
    unguarded.close()
    assert target.exists()


def switch_off(monkeypatch: pytest.MonkeyPatch, layer: str) -> None:
    guard = guard_module.SQLiteGuard
    if layer == "authorizer":
        monkeypatch.setattr(guard, "_authorize", lambda *_: sqlite3.SQLITE_OK)
    if layer == "query_only":
        whole = guard._pragma
        monkeypatch.setattr(
            guard,
            "_pragma",
            lambda self, name, v: whole(self, name, 0 if name == "query_only" else v),
        )
    if layer:
        monkeypatch.setattr(guard, "_prove", lambda *_: None)


@pytest.mark.parametrize("layer", ["authorizer", "query_only"])
def test_each_layer_alone_refuses_a_write(
    path: Path, engine: Engine, unchecked: Any, monkeypatch: pytest.MonkeyPatch, layer: str
) -> None:
    switch_off(monkeypatch, layer)
    before = content(path)
    with pytest.raises(RunError):
        run_sql(unchecked("sqlite", "DELETE FROM shop", "shop"), engine)
    assert content(path) == before


def test_both_layers_off_the_write_happens(
    path: Path, engine: Engine, unchecked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch_off(monkeypatch, "authorizer")
    switch_off(monkeypatch, "query_only")
    monkeypatch.setattr(
        guard_module.SQLiteGuard, "_end_own_transaction", lambda self, _: self._raw.commit()
    )
    before = content(path)
    run_sql(unchecked("sqlite", "DELETE FROM shop", "shop"), engine)
    assert content(path) != before


@pytest.mark.parametrize("layer", ["authorizer", "query_only"])
def test_nothing_is_sent_where_a_refusal_cannot_be_shown(
    path: Path, engine: Engine, unchecked: Any, monkeypatch: pytest.MonkeyPatch, layer: str
) -> None:
    prove = guard_module.SQLiteGuard._prove
    switch_off(monkeypatch, layer)
    monkeypatch.setattr(guard_module.SQLiteGuard, "_prove", prove)
    sent: list[str] = []
    event.listen(engine, "connect", lambda raw, _: raw.set_trace_callback(sent.append))
    with pytest.raises(EngineNotGuardedError, match="shown, not run"):
        run_sql(unchecked("sqlite", "SELECT name FROM shop", "shop"), engine)
    assert sent and not any("SELECT name FROM shop" in one for one in sent)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM temp.sqlite_master")).scalar() == 0


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM secret",
        "WITH x AS (SELECT * FROM secret) SELECT * FROM x",
        "SELECT (SELECT word FROM secret)",
        "SELECT sql FROM sqlite_master",
        "SELECT * FROM pragma_table_info('shop')",
        "SELECT * FROM cheapest",
        "SELECT load_extension('x')",
    ],
)
def test_only_the_checked_tables_are_read(engine: Engine, unchecked: Any, sql: str) -> None:
    with pytest.raises(RunError, match=r"prohibited|not authorized"):
        run_sql(unchecked("sqlite", sql, "shop"), engine)


def test_a_huge_value_is_refused(engine: Engine, unchecked: Any) -> None:
    sql = "SELECT length(zeroblob(200000000))"
    with engine.connect() as unguarded:
        assert unguarded.execute(text(sql)).scalar() == 200_000_000
    with pytest.raises(RunError, match="too big"):
        run_sql(unchecked("sqlite", sql), engine)


# ------------------------------------------------------------ the user's session afterwards


class Watched:
    """A raw connection with everything set that a guard might forget to put back."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw = raw
        self.asked: list[int] = []
        self.steps = 0
        raw.row_factory = sqlite3.Row
        raw.text_factory = bytes
        raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 12_345_678)
        raw.execute("PRAGMA busy_timeout = 4321")
        raw.set_authorizer(self.authorizer)
        raw.set_progress_handler(self.progress, 1)

    def authorizer(self, action: int, *_: Any) -> int:
        self.asked.append(action)
        return sqlite3.SQLITE_OK

    def progress(self) -> int:
        self.steps += 1
        return 0

    def state(self) -> dict[str, Any]:
        raw = self.raw
        self.asked.clear()
        self.steps = 0
        pragma = {
            name: tuple(raw.execute(f"PRAGMA {name}").fetchone())
            for name in ("query_only", "busy_timeout", "foreign_keys", "user_version")
        }
        raw.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 9999) "
            "SELECT count(*) FROM n"
        ).fetchall()
        limits = (sqlite3.SQLITE_LIMIT_LENGTH, sqlite3.SQLITE_LIMIT_ATTACHED)
        return pragma | {
            "limits": [raw.getlimit(which) for which in limits],
            "factories": (raw.row_factory, raw.text_factory),
            "in_transaction": raw.in_transaction,
            "isolation": raw.isolation_level,
            "authorizer asked": bool(self.asked),
            "progress called": self.steps > 0,
        }


ENDINGS = {
    "success": ("SELECT name FROM shop", 30.0),
    "truncated": ("SELECT a.name FROM shop a, shop b", 30.0),
    "refusal": ("DELETE FROM shop", 30.0),
    "driver error": ("SELECT nothing FROM shop", 30.0),
    "timeout": (ENDLESS, 0.2),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("open_transaction", [False, True])
@pytest.mark.parametrize("kind", ["connection", "memory", "static", "autocommit"])
def test_the_only_connection_is_as_it_was(
    path: Path, unchecked: Any, kind: str, open_transaction: bool, ending: str
) -> None:
    engine, connection = only_connection(path, kind)
    raw = connection.connection.driver_connection
    if open_transaction:
        raw.execute("BEGIN")
        raw.execute("INSERT INTO shop VALUES ('mine', 9)")
    watched = Watched(raw)
    before = watched.state()
    try:
        run(unchecked, engine if kind in ("memory", "static") else connection, ending)
        assert watched.state() == before
        assert raw.in_transaction is open_transaction
        count = raw.execute("SELECT count(*) FROM shop").fetchone()[0]
        assert count == 3 + open_transaction
        raw.rollback()
        assert raw.execute("SELECT count(*) FROM shop").fetchone()[0] == 3
    finally:
        raw.set_authorizer(None)
        raw.set_progress_handler(None, 0)
        raw.row_factory, raw.text_factory = None, str
        connection.close()
        engine.dispose()


def run(unchecked: Any, where: Any, ending: str) -> None:
    sql, timeout_s = ENDINGS[ending]
    checked = unchecked("sqlite", sql, "shop")
    if ending in ("success", "truncated"):
        assert len(run_sql(checked, where, timeout_s=timeout_s, row_limit=3)) == 3
        return
    with pytest.raises(QueryTimeoutError if ending == "timeout" else RunError):
        run_sql(checked, where, timeout_s=timeout_s)


def only_connection(path: Path, kind: str) -> tuple[Engine, Any]:
    if kind == "connection":
        engine = create_engine(f"sqlite:///{path}")
    elif kind == "autocommit":
        engine = create_engine(f"sqlite:///{path}", isolation_level="AUTOCOMMIT")
    elif kind == "static":
        engine = create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
    else:
        engine = create_engine("sqlite://")
    connection = engine.connect()
    if kind in ("memory", "static"):
        connection.connection.driver_connection.executescript(SETUP)
    return engine, connection


def test_nothing_is_left_on_a_connection_of_the_pool(engine: Engine, unchecked: Any) -> None:
    run_sql(unchecked("sqlite", "SELECT 1"), engine)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO shop VALUES ('new', 1)"))
        connection.execute(text("CREATE TABLE more (a)"))
    assert run_sql(unchecked("sqlite", "SELECT count(*) FROM shop", "shop"), engine).iat[0, 0] == 4


# ------------------------------------------------------------ time, Ctrl-C, locks


def test_the_time_limit_is_named_and_can_be_raised(engine: Engine, unchecked: Any) -> None:
    with pytest.raises(QueryTimeoutError) as caught:
        run_sql(unchecked("sqlite", ENDLESS), engine, timeout_s=0.2)
    assert "0.2 s" in caught.value.message
    assert "--timeout" in caught.value.fix


@pytest.mark.parametrize("kind", ["engine", "connection"])
def test_ctrl_c_stops_a_running_query(
    engine: Engine, unchecked: Any, ctrl_c: Any, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    started = threading.Event()
    progress = guard_module.SQLiteGuard._progress

    def seen(self: Any) -> int:
        started.set()
        return progress(self)

    monkeypatch.setattr(guard_module.SQLiteGuard, "_progress", seen)
    connection = engine.connect()
    where = engine if kind == "engine" else connection
    try:
        with ctrl_c(started.is_set) as pressed, pytest.raises(Stopped):
            run_sql(unchecked("sqlite", ENDLESS), where, timeout_s=60)
        assert time.monotonic() - pressed[0] < 10  # far from the time limit
        assert len(run_sql(unchecked("sqlite", "SELECT * FROM shop", "shop"), where)) == 3
    finally:
        connection.close()


@pytest.mark.parametrize("moment", ["_learn_names", "_prove", "_end_own_transaction"])
def test_ctrl_c_while_settings_change_leaves_none_changed(
    engine: Engine, unchecked: Any, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    whole = getattr(guard_module.SQLiteGuard, moment)

    def interrupted(self: Any, *arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        whole(self, *arguments)

    monkeypatch.setattr(guard_module.SQLiteGuard, moment, interrupted)
    handler = signal.getsignal(signal.SIGINT)
    with engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        watched = Watched(raw)
        before = watched.state()
        with pytest.raises(Stopped):
            run_sql(unchecked("sqlite", "SELECT * FROM shop", "shop"), connection)
        assert watched.state() == before
        raw.set_authorizer(None)
        raw.set_progress_handler(None, 0)
        raw.row_factory, raw.text_factory = None, str
    assert signal.getsignal(signal.SIGINT) is handler


def test_another_driver_of_sqlite_is_not_guarded(unchecked: Any) -> None:
    with pytest.raises(EngineNotGuardedError, match="SQLite by builtins"):
        guard_module.SQLiteGuard(
            Session(object(), owned=True), unchecked("sqlite", "SELECT 1"), Limits(1, 1, 1)
        )


def test_a_locked_database_is_a_sentence(path: Path, engine: Engine, unchecked: Any) -> None:
    locker = sqlite3.connect(path)
    locker.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(RunError, match="locked"):
            run_sql(unchecked("sqlite", "SELECT * FROM shop", "shop"), engine)
    finally:
        locker.close()


def test_row_and_byte_limits(engine: Engine, unchecked: Any) -> None:
    sql = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000) "
        "SELECT i, hex(zeroblob(500)) AS filler FROM n"
    )
    checked = unchecked("sqlite", sql)
    by_rows = run_sql_result(checked, engine, row_limit=100)
    assert (len(by_rows.frame), by_rows.truncated) == (100, True)
    assert "First 100 of more rows" in by_rows.notes[0]
    by_bytes = run_sql_result(checked, engine, row_limit=10**6, byte_limit=2**20)
    assert 0 < len(by_bytes.frame) <= 2**20 // 1000
    assert "1 MiB" in by_bytes.notes[0]
    assert by_bytes.frame.attrs["truncated"]


def test_exactly_as_many_rows_as_the_limit_is_not_truncated(engine: Engine, unchecked: Any) -> None:
    result = run_sql_result(unchecked("sqlite", "SELECT * FROM shop", "shop"), engine, row_limit=3)
    assert (len(result.frame), result.truncated, result.notes) == (3, False, ())
