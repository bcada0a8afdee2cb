"""`run_sql` itself: what it refuses before anything is sent, limits, stopping, and clean-up."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event

from sqlcoder_magic.errors import EngineNotGuardedError, OptionError, RunError, Stopped
from sqlcoder_magic.execute import run_sql
from sqlcoder_magic.execute.base import Limits
from sqlcoder_magic.execute.collect import collect, size_of
from sqlcoder_magic.execute.watch import watch
from sqlcoder_magic.types import CheckedSQL


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = create_engine("sqlite://")
    yield engine
    engine.dispose()


@pytest.mark.parametrize("sql", ["SELECT 1", None, ("SELECT 1", "sqlite")])
def test_only_checked_sql_is_taken(engine: Engine, sql: Any) -> None:
    with pytest.raises(TypeError, match="check_sql"):
        run_sql(sql, engine)


def test_checked_sql_cannot_be_made_by_hand() -> None:
    with pytest.raises(TypeError, match="check_sql"):
        CheckedSQL("SELECT 1", "sqlite", ())


def test_another_dialect_is_refused_before_anything_is_sent(engine: Engine, unchecked: Any) -> None:
    opened: list[Any] = []
    event.listen(engine, "connect", lambda raw, _: opened.append(raw))
    with pytest.raises(RunError, match="checked as postgres"):
        run_sql(unchecked("postgres", "SELECT 1"), engine)
    assert opened == []


@pytest.mark.parametrize(
    "options",
    [
        {"row_limit": 0},
        {"row_limit": -1},
        {"row_limit": 1.5},
        {"row_limit": True},
        {"row_limit": None},
        {"byte_limit": 0},
        {"timeout_s": 0},
        {"timeout_s": -1},
        {"timeout_s": float("nan")},
        {"timeout_s": float("inf")},
        {"timeout_s": "30"},
        {"timeout_s": True},
    ],
)
def test_there_is_no_such_thing_as_no_limit(
    engine: Engine, unchecked: Any, options: dict[str, Any]
) -> None:
    with pytest.raises(OptionError) as caught:
        run_sql(unchecked("sqlite", "SELECT 1"), engine, **options)
    assert next(iter(options)) in caught.value.message


@pytest.mark.parametrize("url, dialect", [("clickhouse+native://h/d", "clickhouse")])
def test_an_engine_without_a_guard_is_not_even_reached(
    unchecked: Any, url: str, dialect: str
) -> None:
    class Engineless:
        """Stands for a driver that is not installed: never asked for anything."""

    from sqlcoder_magic.connection import Database

    database = Database(dialect, url.split("+")[0], url, native=Engineless())
    with pytest.raises(EngineNotGuardedError, match="shown, not run") as caught:
        run_sql(unchecked(dialect, "SELECT 1"), database)
    assert dialect in caught.value.message
    assert "%%sql" in caught.value.fix


def test_the_drivers_error_is_not_in_the_chain(engine: Engine, unchecked: Any) -> None:
    with pytest.raises(RunError, match="no such column: absent") as caught:
        run_sql(unchecked("sqlite", "SELECT absent"), engine)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("sql", ["SELECT '\udce4'", "SELECT '\0'", "", "-- nothing", "\ufeff?"])
@pytest.mark.parametrize("dialect", ["sqlite", "duckdb", "postgres"])
def test_text_that_is_no_query_is_a_sentence(
    engine: Engine, postgres_server: str, unchecked: Any, dialect: str, sql: str
) -> None:
    import duckdb

    with duckdb.connect() as native:
        where: Any = {"sqlite": engine, "duckdb": native, "postgres": postgres_server}[dialect]
        try:
            frame = run_sql(unchecked(dialect, sql), where)
        except RunError as error:
            assert error.fix
        else:
            assert frame.shape == (0, 0)  # SQLite takes an empty text


# ------------------------------------------------------------ collecting


class Rows:
    """A guard that has rows, and counts the largest batch it was asked for."""

    threaded = True
    errors: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(self, rows: Iterator[tuple[Any, ...]]) -> None:
        self.rows = rows
        self.columns = ("v",)
        self.asked: list[int] = []

    def fetch(self, count: int) -> list[tuple[Any, ...]]:
        self.asked.append(count)
        return [row for row, _ in zip(self.rows, range(count), strict=False)]

    def begin(self) -> None: ...
    def execute(self, sql: str) -> None: ...
    def cancel(self) -> None: ...
    def restore(self) -> None: ...
    def failure(self, error: Exception) -> Any: ...


def test_large_rows_come_in_small_batches() -> None:
    guard = Rows(iter([("x" * 100_000,)] * 10_000))
    rows = collect(guard, Limits(10_000, 10**7, 1), threading.Event())
    assert rows.cut == "bytes"
    assert len(rows.rows) in range(90, 101)
    assert max(guard.asked) <= 16


def test_no_more_rows_are_fetched_than_show_that_there_are_more() -> None:
    guard = Rows((i,) for i in range(10**9))
    rows = collect(guard, Limits(1000, 10**9, 1), threading.Event())
    assert (len(rows.rows), rows.cut) == (1000, "rows")
    assert sum(guard.asked) == 1001


def test_a_first_row_over_the_byte_limit_is_no_complete_result() -> None:
    rows = collect(Rows(iter([("x" * 2000,)])), Limits(10, 1000, 1), threading.Event())
    assert (rows.rows, rows.cut, rows.columns) == ([], "bytes", ("v",))


def test_collecting_ends_when_someone_cancels() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        collect(Rows(iter([(1,)])), Limits(10, 1000, 1), stop)


@pytest.mark.parametrize(
    "value, least",
    [
        ("x" * 1000, 1000),
        (b"x" * 1000, 1000),
        (memoryview(b"x" * 1000), 1000),
        (["x" * 1000] * 3, 3000),
        ({"k" * 1000: ["v" * 1000]}, 2000),
        (2**8000, 1000),
    ],
)
def test_sizes_count_what_is_inside(value: Any, least: int) -> None:
    assert size_of(value) >= least


# ------------------------------------------------------------ stopping


class Deaf(Rows):
    """A driver that does not hear a cancel until `end` is set."""

    def __init__(self) -> None:
        super().__init__(iter(()))
        self.cancelled = 0
        self.end = threading.Event()

    def cancel(self) -> None:
        self.cancelled += 1


def test_a_query_that_cannot_be_cancelled_is_left_to_itself() -> None:
    guard, stop = Deaf(), threading.Event()
    outcome = watch(guard, lambda: guard.end.wait(60), 0.1, stop, 0.5)
    assert outcome.late
    assert outcome.worker is not None
    assert stop.is_set()
    assert guard.cancelled > 1  # a cancel that came too early is repeated
    guard.end.set()
    outcome.worker.join(30)
    assert not outcome.worker.is_alive()


def test_the_session_of_a_deaf_query_is_closed_when_it_ends(
    unchecked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb

    from sqlcoder_magic.errors import QueryTimeoutError
    from sqlcoder_magic.execute.duckdb import DuckDBGuard

    end, restored = threading.Event(), threading.Event()
    monkeypatch.setattr(DuckDBGuard, "execute", lambda self, sql: end.wait(60))
    restore = DuckDBGuard.restore

    def noted(self: Any) -> None:
        restore(self)
        restored.set()

    monkeypatch.setattr(DuckDBGuard, "restore", noted)
    with duckdb.connect() as connection:
        with pytest.raises(QueryTimeoutError) as caught:
            run_sql(unchecked("duckdb", "SELECT 1"), connection, timeout_s=0.1)
        assert "not confirmed" in caught.value.fix
        assert not restored.is_set()
        end.set()
        assert restored.wait(30)
        for thread in threading.enumerate():
            if thread.name.startswith("sqlcoder-magic"):
                thread.join(30)


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_returns_from_a_deaf_query(ctrl_c: Any, times: int) -> None:
    guard, started = Deaf(), threading.Event()
    patience_s = 0.5 if times == 1 else 60.0  # a second Ctrl-C ends the patience

    def work() -> bool:
        started.set()
        return guard.end.wait(60)

    with ExitStack() as presses:
        presses.enter_context(ctrl_c(started.is_set))
        if times == 2:
            presses.enter_context(ctrl_c(lambda: guard.cancelled > 0))
        outcome = watch(guard, work, 60, threading.Event(), patience_s)
    assert outcome.stopped
    assert outcome.worker is not None
    guard.end.set()
    outcome.worker.join(30)
