"""MySQL and MariaDB: the user's session afterwards, and stopping, on a real MariaDB."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from mysql_helpers import (  # noqa: F401 (fixtures among them)
    DRIVERS,
    ENDLESS,
    content,
    guarded_engine,
    guarded_url,
    idle_soon,
    running,
    state,
)
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool, StaticPool

from sqlcoder_magic.errors import (
    EngineNotGuardedError,
    LostConnectionError,
    QueryTimeoutError,
    RunError,
    Stopped,
)
from sqlcoder_magic.execute import mysql as guard_module
from sqlcoder_magic.execute import run_sql, run_sql_result

ENDINGS = {
    "success": ("SELECT name FROM shop", 30.0),
    "truncated": ("SELECT seq FROM seq_1_to_5", 30.0),
    "truncated early": ("SELECT seq, REPEAT('x', 1000) FROM seq_1_to_10000000", 30.0),
    "refusal": ("DELETE FROM shop", 30.0),
    "refused in the transaction": ("SELECT NEXTVAL(tickets)", 30.0),
    "driver error": ("SELECT name FROM shop WHERE name = (SELECT name FROM shop)", 30.0),
    "timeout": (ENDLESS, 0.3),
}


def run(unchecked: Any, where: Any, ending: str) -> None:
    sql, timeout_s = ENDINGS[ending]
    checked = unchecked("mysql", sql, "shop")
    if ending in ("success", "truncated", "truncated early"):
        assert len(run_sql(checked, where, timeout_s=timeout_s, row_limit=3)) == 3
        return
    with pytest.raises(QueryTimeoutError if ending == "timeout" else RunError):
        run_sql(checked, where, timeout_s=timeout_s)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("autocommit", [False, True])
def test_the_users_idle_connection_is_as_it_was(
    url: str, engine: Engine, unchecked: Any, autocommit: bool, driver: str, ending: str
) -> None:
    level = "AUTOCOMMIT" if autocommit else "SERIALIZABLE"
    mine = create_engine(make_url(url).set(drivername=f"mysql+{driver}"), isolation_level=level)
    try:
        with mine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            for statement in (
                "SET SESSION max_statement_time = 7654.5, lock_wait_timeout = 77",
                "SET SESSION sql_mode = 'ANSI,TRADITIONAL', completion_type = 1",
                "SET @mine = 5",
                "DO GET_LOCK('users', 1)",
            ):
                raw.cursor().execute(statement)
            before = state(connection)
            run(unchecked, connection, ending)
            assert state(connection) == before
    finally:
        mine.dispose()


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", ["pool", "autocommit", "null pool", "static pool"])
def test_an_engines_connections_are_as_they_were(
    url: str, engine: Engine, unchecked: Any, kind: str, ending: str
) -> None:
    options: dict[str, Any] = {
        "pool": {"pool_size": 1, "max_overflow": 0},
        "autocommit": {"isolation_level": "AUTOCOMMIT", "pool_size": 1, "max_overflow": 0},
        "null pool": {"poolclass": NullPool},
        "static pool": {"poolclass": StaticPool},
    }[kind]
    mine = create_engine(url, **options)
    try:
        with mine.connect() as connection:
            before = state(connection)
        run(unchecked, mine, ending)
        with mine.connect() as connection:
            assert state(connection) == before
        with mine.begin() as connection:
            connection.execute(text("INSERT INTO shop VALUES ('new', 1)"))
    finally:
        mine.dispose()


@pytest.mark.parametrize("kind", ["connection", "static pool"])
def test_the_users_open_transaction_is_neither_committed_nor_rolled_back(
    url: str, engine: Engine, unchecked: Any, kind: str
) -> None:
    """It cannot be made read-only, so the SQL is shown and not run."""
    untouched = content(engine)
    mine = create_engine(url, poolclass=StaticPool) if kind == "static pool" else engine
    checked = unchecked("mysql", "SELECT count(*) FROM shop", "shop")
    with mine.connect() as connection:
        connection.execute(text("INSERT INTO shop VALUES ('mine', 9)"))
        before = state(connection)
        with pytest.raises(EngineNotGuardedError, match="open transaction") as caught:
            run_sql(checked, mine if kind == "static pool" else connection)
        assert "Commit or roll back" in caught.value.fix
        assert state(connection) == before
        assert connection.execute(text("SELECT count(*) FROM shop")).scalar() == 4
        assert content(engine) == untouched  # nothing was committed
        connection.rollback()
        assert run_sql(checked, connection).iat[0, 0] == 3
    assert content(engine) == untouched
    mine.dispose()


def test_beside_an_engines_open_transaction_a_second_connection_is_used(
    engine: Engine, unchecked: Any
) -> None:
    with engine.connect() as connection:
        connection.execute(text("INSERT INTO shop VALUES ('mine', 9)"))
        checked = unchecked("mysql", "SELECT count(*) FROM shop", "shop")
        assert run_sql(checked, engine).iat[0, 0] == 3
        assert connection.execute(text("SELECT count(*) FROM shop")).scalar() == 4


def test_a_session_that_the_server_ended(engine: Engine, unchecked: Any) -> None:
    with engine.connect() as connection, engine.connect() as other:
        raw: Any = connection.connection.driver_connection
        other.execute(text(f"KILL {raw.thread_id()}"))
        with pytest.raises(LostConnectionError):
            run_sql(unchecked("mysql", "SELECT 1"), connection)
        connection.invalidate()


# ------------------------------------------------------------ stopping


def without_the_servers_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = guard_module.settings

    def settings(*arguments: Any) -> dict[str, str]:
        return {**whole(*arguments), "max_statement_time": "0"}

    monkeypatch.setattr(guard_module, "settings", settings)


@pytest.mark.parametrize("server_side", [True, False])
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_timeout_is_cancelled_on_the_server(
    url: str, engine: Engine, unchecked: Any, monkeypatch: Any, driver: str, server_side: bool
) -> None:
    if not server_side:
        without_the_servers_limit(monkeypatch)
    mine = create_engine(make_url(url).set(drivername=f"mysql+{driver}"), pool_size=1)
    with pytest.raises(QueryTimeoutError, match=r"0\.5 s"):
        run_sql(unchecked("mysql", ENDLESS), mine, timeout_s=0.5)
    assert idle_soon(engine)
    mine.dispose()


@pytest.mark.parametrize("driver", DRIVERS)
def test_ctrl_c_is_cancelled_on_the_server(
    url: str, engine: Engine, unchecked: Any, ctrl_c: Callable[..., Any], driver: str
) -> None:
    """Also with a pool that has no second connection to give."""
    mine = create_engine(
        make_url(url).set(drivername=f"mysql+{driver}"), pool_size=1, max_overflow=0
    )
    with ctrl_c(lambda: running(engine) > 0) as pressed, pytest.raises(Stopped) as caught:
        run_sql(unchecked("mysql", ENDLESS), mine, timeout_s=60)
    assert time.monotonic() - pressed[0] < 10  # far from the time limit
    assert caught.value.fix == ""  # the server has confirmed it
    assert idle_soon(engine)
    assert len(run_sql(unchecked("mysql", "SELECT * FROM shop", "shop"), mine)) == 3
    mine.dispose()


def test_ctrl_c_leaves_the_users_connection_as_it_was(
    engine: Engine, unchecked: Any, ctrl_c: Callable[..., Any]
) -> None:
    with engine.connect() as connection:
        before = state(connection)
        with ctrl_c(lambda: running(engine) > 0), pytest.raises(Stopped):
            run_sql(unchecked("mysql", ENDLESS), connection, timeout_s=60)
        assert state(connection) == before
        assert connection.execute(text("SELECT count(*) FROM shop")).scalar() == 3


def test_another_server_behind_the_same_name_is_not_told_to_kill(
    engine: Engine, unchecked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of our session would be somebody else's there."""
    guard = guard_module.MySQLGuard
    rows, sent = guard._rows, list[str]()

    def elsewhere(self: Any, sql: str, raw: Any = None) -> list[tuple[Any, ...]]:
        sent.append(sql)
        return [("hostname", "another")] if raw is not None else rows(self, sql)

    monkeypatch.setattr(guard, "_rows", elsewhere)
    with pytest.raises(QueryTimeoutError):
        run_sql(unchecked("mysql", "SELECT SLEEP(3)"), engine, timeout_s=0.3)
    assert not [sql for sql in sent if sql.startswith("KILL")]
    assert sent.count(guard_module._SHOW.format("', '".join(guard_module._SERVER))) >= 1


def test_rows_are_streamed(engine: Engine, unchecked: Any) -> None:
    """Ten million rows are not fetched for the hundred that are wanted, and the rest is ended."""
    sql = "SELECT seq, REPEAT('x', 1000) FROM seq_1_to_10000000"
    result = run_sql_result(unchecked("mysql", sql), engine, row_limit=100, timeout_s=20)
    assert (len(result.frame), result.truncated) == (100, True)
    assert idle_soon(engine)
    result = run_sql_result(unchecked("mysql", sql), engine, byte_limit=10**6, timeout_s=20)
    assert 0 < len(result.frame) < 1000
    assert result.truncated
    assert idle_soon(engine)


def test_a_lock_is_not_waited_for_long(engine: Engine, unchecked: Any) -> None:
    with engine.connect() as connection:
        connection.exec_driver_sql("LOCK TABLES shop WRITE")
        with pytest.raises(RunError, match=r"(?i)lock wait timeout|time limit"):
            run_sql(unchecked("mysql", "SELECT * FROM shop", "shop"), engine, timeout_s=2)
        connection.exec_driver_sql("UNLOCK TABLES")
