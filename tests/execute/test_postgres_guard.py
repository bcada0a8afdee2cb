"""PostgreSQL: harm without the guard, refusal with it, and the session and server afterwards."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool, StaticPool

from sqlcoder_magic.errors import (
    EngineNotGuardedError,
    LostConnectionError,
    QueryTimeoutError,
    RunError,
    Stopped,
)
from sqlcoder_magic.execute import postgres as guard_module
from sqlcoder_magic.execute import run_sql, run_sql_result

ENDLESS = "SELECT count(*) FROM (SELECT generate_series(1, 100000000000)) a"


@pytest.fixture(scope="module")
def url(postgres_server: str) -> Iterator[str]:
    """One database for this file, because making one takes longer than a test."""
    admin = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE guarded"))
    yield make_url(postgres_server).set(database="guarded").render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text("DROP DATABASE guarded WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
        connection.execute(text("CREATE TABLE shop (name text, price numeric(9, 2))"))
        connection.execute(text("INSERT INTO shop VALUES ('tea', 2.50), ('rye', 4), ('fig', 1)"))
        connection.execute(text("CREATE SEQUENCE tickets"))
    yield engine
    engine.dispose()


def content(engine: Engine) -> list[Any]:
    """All that a statement could have changed."""
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT name, price FROM shop ORDER BY name")).all()
        names = connection.execute(
            text("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        ).all()
        used = connection.execute(text("SELECT last_value, is_called FROM tickets")).all()
        return [list(rows), sorted(map(tuple, names)), list(used)]


def test_rows(engine: Engine, unchecked: Any) -> None:
    sql = "SELECT name, price, name FROM shop ORDER BY price; -- '%s' :name %(x)s ?"
    frame = run_sql(unchecked("postgres", sql, "shop"), engine)
    assert list(frame.columns) == ["name", "price", "name"]
    assert frame.iloc[0].tolist() == ["fig", Decimal("1.00"), "fig"]
    assert frame.attrs["truncated"] is False


def test_the_text_is_sent_as_it_is(engine: Engine, unchecked: Any) -> None:
    sql = "SELECT '100%' LIKE '%s', '%(x)s', ':name', '?', 5 % 3, 'ä😀'"
    frame = run_sql(unchecked("postgres", sql), engine)
    assert frame.iloc[0].tolist() == [False, "%(x)s", ":name", "?", 2, "ä😀"]


@pytest.mark.parametrize(
    "sql", ["EXPLAIN SELECT * FROM shop", "-- why\nexplain (format json) SELECT 1", "VALUES (1)"]
)
def test_plans_and_values_run(engine: Engine, unchecked: Any, sql: str) -> None:
    assert len(run_sql(unchecked("postgres", sql, "shop"), engine)) >= 1


WRITES = [
    "DELETE FROM shop",
    "INSERT INTO shop VALUES ('x', 1) RETURNING name",
    "WITH gone AS (DELETE FROM shop RETURNING *) SELECT * FROM gone",
    "SELECT * INTO copied FROM shop",
    "CREATE TABLE new AS SELECT 1",
    "TRUNCATE shop",
    "SELECT nextval('tickets')",
    "SELECT 1; DELETE FROM shop",
    "SELECT 1; COMMIT; DELETE FROM shop",
    "EXPLAIN ANALYZE DELETE FROM shop",
    "EXPLAIN SELECT 1; COMMIT; DELETE FROM shop",
    "DO $$ BEGIN DELETE FROM shop; END $$",
    "SET TRANSACTION READ WRITE; DELETE FROM shop",
]


@pytest.mark.parametrize("sql", WRITES)
def test_a_write_harms_without_the_guard_and_is_refused_by_it(
    engine: Engine, unchecked: Any, sql: str
) -> None:
    before = content(engine)
    with pytest.raises(RunError):
        run_sql(unchecked("postgres", sql, "shop"), engine)
    assert content(engine) == before

    import psycopg

    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert isinstance(raw, psycopg.Connection)
        raw.execute(sql.encode())
        raw.commit()
    assert content(engine) != before


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT set_config('transaction_read_only', 'off', true)",
        "SELECT set_config('transaction_read_only', 'off', false) FROM shop",
        "WITH a AS MATERIALIZED (SELECT set_config('transaction_read_only', 'off', true)) "
        "SELECT nextval('tickets') FROM a",
    ],
)
@pytest.mark.parametrize("where", ["engine", "connection"])
def test_read_only_cannot_be_taken_back(
    engine: Engine, unchecked: Any, sql: str, where: str
) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))  # SQLAlchemy begins
        target = engine if where == "engine" else connection
        with pytest.raises(RunError, match=r"read-only|read-write"):
            run_sql(unchecked("postgres", sql, "shop"), target)


def test_nothing_is_sent_where_a_refusal_cannot_be_shown(
    engine: Engine, unchecked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = guard_module.PostgresGuard
    whole = guard._do
    monkeypatch.setattr(
        guard,
        "_do",
        lambda self, sql: whole(self, sql.replace("read_only = on", "read_only = off")),
    )
    sent: list[str] = []
    monkeypatch.setattr(guard, "execute", lambda self, sql: sent.append(sql))
    with pytest.raises(EngineNotGuardedError, match="shown, not run"):
        run_sql(unchecked("postgres", "SELECT 1"), engine)
    assert sent == []


def test_a_driver_that_sends_several_statements_is_not_guarded(unchecked: Any) -> None:
    from sqlcoder_magic.connection import Session
    from sqlcoder_magic.execute.base import Limits

    other = type("connection", (), {"__module__": "psycopg2.extensions"})()
    with pytest.raises(EngineNotGuardedError, match="psycopg2") as caught:
        guard_module.PostgresGuard(
            Session(other, owned=True), unchecked("postgres", "SELECT 1"), Limits(1, 1, 1)
        )
    assert "psycopg[binary]" in caught.value.fix


# ------------------------------------------------------------ the user's session afterwards

SETTINGS = (
    "transaction_read_only",
    "default_transaction_read_only",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "search_path",
    "transaction_isolation",
    "role",
)
ENDINGS = {
    "success": ("SELECT name FROM shop", 30.0),
    "truncated": ("SELECT generate_series(1, 5)", 30.0),
    "refusal": ("DELETE FROM shop", 30.0),
    "driver error": ("SELECT 1 / (price - price) FROM shop", 30.0),
    "timeout": (ENDLESS, 0.3),
}


def state(connection: Connection) -> dict[str, Any]:
    raw: Any = connection.connection.driver_connection
    before = (raw.info.transaction_status.name, raw.autocommit, raw.read_only, raw.row_factory)
    rows = {name: raw.execute(f"SHOW {name}").fetchone()[0] for name in SETTINGS}
    left = raw.execute(
        "SELECT (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_cursors), "
        "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')"
    ).fetchone()
    if before[0] == "IDLE" and not raw.autocommit:
        raw.rollback()
    return {"status": before, "settings": rows, "left": left}


def run(unchecked: Any, where: Any, ending: str) -> None:
    sql, timeout_s = ENDINGS[ending]
    checked = unchecked("postgres", sql, "shop")
    if ending in ("success", "truncated"):
        assert len(run_sql(checked, where, timeout_s=timeout_s, row_limit=3)) == 3
        return
    with pytest.raises(QueryTimeoutError if ending == "timeout" else RunError):
        run_sql(checked, where, timeout_s=timeout_s)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("autocommit", [False, True])
def test_the_users_idle_connection_is_as_it_was(
    engine: Engine, unchecked: Any, autocommit: bool, ending: str
) -> None:
    if autocommit:
        engine = engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        for statement in ("SET statement_timeout = 7654", "SET search_path = public, pg_catalog"):
            raw.execute(statement)
        raw.commit()
        before = state(connection)
        run(unchecked, connection, ending)
        assert state(connection) == before


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("lent", ["connection", "static pool"])
def test_the_users_open_transaction_stays_open(
    url: str, engine: Engine, unchecked: Any, ending: str, lent: str
) -> None:
    untouched = content(engine)
    mine = create_engine(url, poolclass=StaticPool)
    with (mine if lent == "static pool" else engine).connect() as connection:
        where = mine if lent == "static pool" else connection
        connection.execute(text("INSERT INTO shop VALUES ('mine', 9)"))
        connection.execute(text("SET LOCAL statement_timeout = 7654"))
        before = state(connection)
        assert before["status"][0] == "INTRANS"
        if ending == "success":
            count = unchecked("postgres", "SELECT count(*) FROM shop", "shop")
            assert run_sql(count, where).iat[0, 0] == 4  # sees the user's own row
        else:
            run(unchecked, where, ending)
        assert state(connection) == before
        connection.execute(text("INSERT INTO shop VALUES ('mine too', 9)"))
        assert content(engine) == untouched  # nothing was committed
        connection.rollback()
    assert content(engine) == untouched
    mine.dispose()


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", ["pool", "autocommit", "null pool"])
def test_an_engines_connections_are_as_they_were(
    url: str, engine: Engine, unchecked: Any, kind: str, ending: str
) -> None:
    options: dict[str, Any] = {
        "pool": {"pool_size": 1, "max_overflow": 0},
        "autocommit": {"isolation_level": "AUTOCOMMIT", "pool_size": 1, "max_overflow": 0},
        "null pool": {"poolclass": NullPool},
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


def test_an_aborted_transaction_is_left_to_the_user(engine: Engine, unchecked: Any) -> None:
    with engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        with pytest.raises(Exception, match="zero"):
            raw.execute("SELECT 1/0")
        with pytest.raises(RunError) as caught:
            run_sql(unchecked("postgres", "SELECT 1"), connection)
        assert "Roll back first" in caught.value.fix
        assert raw.info.transaction_status.name == "INERROR"


def test_a_session_that_the_server_ended(engine: Engine, unchecked: Any) -> None:
    with engine.connect() as connection, engine.connect() as other:
        pid = connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
        other.execute(text(f"SELECT pg_terminate_backend({pid}, 5000)"))
        with pytest.raises(LostConnectionError):
            run_sql(unchecked("postgres", "SELECT 1"), connection)
        connection.invalidate()


def test_a_read_only_server_works(url: str, engine: Engine, unchecked: Any) -> None:
    replica = create_engine(url, connect_args={"options": "-c default_transaction_read_only=on"})
    try:
        assert len(run_sql(unchecked("postgres", "SELECT * FROM shop", "shop"), replica)) == 3
    finally:
        replica.dispose()


# ------------------------------------------------------------ stopping


def running(engine: Engine) -> int:
    with engine.connect() as connection:
        count = connection.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' "
                "AND query LIKE '%nl2sql rows%' AND pid <> pg_backend_pid()"
            )
        ).scalar()
    return int(count or 0)


def idle_soon(engine: Engine) -> bool:
    """The statistics may lag behind the cancelled query for a moment."""
    for _ in range(100):
        if running(engine) == 0:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("server_side", [True, False])
def test_a_timeout_is_cancelled_on_the_server(
    engine: Engine, unchecked: Any, monkeypatch: pytest.MonkeyPatch, server_side: bool
) -> None:
    if not server_side:  # the server's own limit off: the driver's cancel alone
        whole = guard_module.PostgresGuard._do
        monkeypatch.setattr(
            guard_module.PostgresGuard,
            "_do",
            lambda self, sql: whole(self, "SELECT 1" if "statement_timeout" in sql else sql),
        )
    with pytest.raises(QueryTimeoutError, match=r"0\.5 s"):
        run_sql(unchecked("postgres", ENDLESS), engine, timeout_s=0.5)
    assert idle_soon(engine)


def test_ctrl_c_is_cancelled_on_the_server(
    engine: Engine, unchecked: Any, ctrl_c: Callable[..., Any]
) -> None:
    with ctrl_c(lambda: running(engine) > 0) as pressed, pytest.raises(Stopped):
        run_sql(unchecked("postgres", ENDLESS), engine, timeout_s=60)
    assert time.monotonic() - pressed[0] < 10  # far from the time limit
    assert idle_soon(engine)
    assert len(run_sql(unchecked("postgres", "SELECT * FROM shop", "shop"), engine)) == 3


def test_ctrl_c_keeps_the_users_transaction(
    engine: Engine, unchecked: Any, ctrl_c: Callable[..., Any]
) -> None:
    with engine.connect() as connection:
        connection.execute(text("INSERT INTO shop VALUES ('mine', 9)"))
        before = state(connection)
        with ctrl_c(lambda: running(engine) > 0), pytest.raises(Stopped):
            run_sql(unchecked("postgres", ENDLESS), connection, timeout_s=60)
        assert state(connection) == before
        assert connection.execute(text("SELECT count(*) FROM shop")).scalar() == 4


def test_rows_are_streamed(engine: Engine, unchecked: Any) -> None:
    """Ten million rows are not fetched for the hundred that are wanted."""
    sql = "SELECT i, repeat('x', 1000) FROM generate_series(1, 10000000) AS i"
    result = run_sql_result(unchecked("postgres", sql), engine, row_limit=100, timeout_s=20)
    assert (len(result.frame), result.truncated) == (100, True)
    result = run_sql_result(unchecked("postgres", sql), engine, byte_limit=10**6, timeout_s=20)
    assert 0 < len(result.frame) < 1000
    assert result.truncated


# ------------------------------------------------------------ values and errors


@pytest.mark.parametrize(
    "value, expected",
    [
        ("'infinity'::date", "infinity"),
        ("'-infinity'::timestamp", "-infinity"),
        ("'infinity'::timestamptz", "infinity"),
        ("'0044-03-15 BC'::date", "0044-03-15 BC"),
        ("'24:00'::time", "24:00:00"),
        ("'99999999 years'::interval", "99999999 years"),
        ("ARRAY['infinity'::date, '2020-01-02']", ["infinity", dt.date(2020, 1, 2)]),
        ("'9999-12-31'::date", dt.date(9999, 12, 31)),
        ("'{\"a\": [1]}'::jsonb", {"a": [1]}),
        ("ARRAY[1, NULL]", [1, None]),
        ("12345678901234567890::numeric", Decimal("12345678901234567890")),
        ("'00000000-0000-0000-0000-000000000001'::uuid", uuid.UUID(int=1)),
        (r"'\x00ff'::bytea", b"\x00\xff"),
        ("NULL", None),
    ],
)
def test_values_arrive(engine: Engine, unchecked: Any, value: str, expected: Any) -> None:
    frame = run_sql(unchecked("postgres", f"SELECT {value} AS v"), engine)
    assert frame["v"].tolist() == [expected]


def test_a_time_zone_is_kept(engine: Engine, unchecked: Any) -> None:
    sql = "SELECT '2024-07-01 12:00+00'::timestamptz AS v UNION ALL SELECT '2024-01-01 12:00+00'"
    with engine.connect() as connection:
        connection.execute(text("SET LOCAL timezone = 'Europe/Berlin'"))
        frame = run_sql(unchecked("postgres", sql), connection)
    assert str(frame["v"].dtype) == "datetime64[us, Europe/Berlin]"
    assert [stamp.hour for stamp in frame["v"]] == [14, 13]


def test_no_columns_and_no_rows(engine: Engine, unchecked: Any) -> None:
    assert run_sql(unchecked("postgres", "SELECT FROM shop", "shop"), engine).shape == (3, 0)
    empty = run_sql(unchecked("postgres", "SELECT name, price FROM shop WHERE false"), engine)
    assert (list(empty.columns), len(empty)) == (["name", "price"], 0)


def test_an_error_shows_the_servers_words_and_no_password(
    url: str, engine: Engine, unchecked: Any
) -> None:
    """A password that the server repeats is hidden, also in the exception's chain."""
    mine = create_engine(make_url(url).set(password="hunter2hunter2"))
    try:
        with pytest.raises(RunError) as caught:
            run_sql(unchecked("postgres", "SELECT 'hunter2hunter2'::int"), mine)
    finally:
        mine.dispose()
    error: BaseException | None = caught.value
    assert "invalid input syntax for type integer" in str(error)
    assert "DECLARE" not in str(error)
    while error is not None:
        assert "hunter2" not in str(error)
        error = error.__cause__ or error.__context__
