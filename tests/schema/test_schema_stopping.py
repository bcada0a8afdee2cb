"""Ctrl-C while a schema is read, and what changed between reading and asking."""

from __future__ import annotations

import gc
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from schema_helpers import names
from sqlalchemy import Engine, text

from sqlcoder_magic import FakeModel, Settings, ask
from sqlcoder_magic.connection import Session, open_database
from sqlcoder_magic.errors import RunError, SchemaError, Stopped
from sqlcoder_magic.schema import (
    duckdb,
    mysql,
    postgres,
    read_schema,
    refresh_schema,
    schema_age_s,
    sqlite,
    stoppable,
)

Engines = Callable[..., Engine]


@pytest.fixture
def pressed() -> Iterator[Callable[[Event], None]]:
    """Ctrl-C as soon as the event is set.

    Without the garbage collector: hypothesis hangs a callback on it, in which a Ctrl-C is lost.
    """
    threads: list[Thread] = []
    gc.disable()

    def press(when: Event) -> None:
        def wait() -> None:
            assert when.wait(30)
            os.kill(os.getpid(), signal.SIGINT)

        threads.append(Thread(target=wait))
        threads[-1].start()

    yield press
    gc.enable()
    for thread in threads:
        thread.join()


def slow(monkeypatch: pytest.MonkeyPatch, module: Any, sql: str) -> Event:
    """From now on the reader sends this statement, and says when."""
    sent = Event()

    def read(session: Session) -> None:
        sent.set()
        session.fetch(sql)
        pytest.fail("it was not stopped")

    monkeypatch.setattr(module, "read", read)
    from sqlcoder_magic.schema import reading

    for name, reader in reading._READERS.items():
        if reader.read.__module__ == module.__name__ or name == module.__name__.split(".")[-1]:
            changed = reading.Reader(read, reader.fingerprint)
            monkeypatch.setitem(reading._READERS, name, changed)  # type: ignore[arg-type]
    return sent


SLOW = {
    "postgresql": (postgres, "SELECT pg_sleep(60)"),
    "mysql": (mysql, "SELECT SLEEP(60)"),
    "duckdb": (
        duckdb,
        "SELECT sum(a.range + b.range * 7) FROM range(10000000) a, range(1000000) b",
    ),
    "sqlite": (
        sqlite,
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 9000000) "
        "SELECT i FROM n",
    ),
}


@pytest.fixture(params=["postgresql", "mysql", "duckdb", "sqlite"])
def engine(request: pytest.FixtureRequest, engines: Engines, tmp_path: Path) -> Engine:
    if request.param == "postgresql":
        made = engines(request.getfixturevalue("postgres_url"))
    elif request.param == "mysql":
        made = engines(request.getfixturevalue("mariadb_fresh_url"))
    else:
        made = engines(f"{request.param}:///{tmp_path / 'db'}")
    with made.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (a INT)")
    return made


@pytest.mark.parametrize("lent", ["engine", "connection"])
def test_ctrl_c_stops_the_reading_and_leaves_the_connection_usable(
    engine: Engine, lent: str, monkeypatch: pytest.MonkeyPatch, pressed: Callable[[Event], None]
) -> None:
    module, statement = SLOW[engine.dialect.name]
    pressed(slow(monkeypatch, module, statement))
    with engine.connect() as connection:
        mine: Any = engine if lent == "engine" else connection
        with pytest.raises(Stopped, match="Stopped while the schema was being read"):
            read_schema(mine)
        monkeypatch.undo()
        assert names(read_schema(mine)) == ["t"]
        assert connection.execute(text("SELECT count(*) FROM t")).scalar() == 0


def test_ctrl_c_reaches_the_server(
    postgres_url: str,
    engines: Engines,
    monkeypatch: pytest.MonkeyPatch,
    pressed: Callable[[Event], None],
) -> None:
    engine = engines(postgres_url)
    pressed(slow(monkeypatch, postgres, "SELECT pg_sleep(60)"))
    with pytest.raises(Stopped):
        read_schema(engine)
    with engine.connect() as connection:
        running = (
            "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'sleep.60' AND state = 'active'"
        )
        assert connection.execute(text(running + " AND pid <> pg_backend_pid()")).scalar() == 0


def test_a_driver_that_does_not_answer_is_left_to_itself(
    postgres_url: str,
    engines: Engines,
    monkeypatch: pytest.MonkeyPatch,
    pressed: Callable[[Event], None],
) -> None:
    engine = engines(postgres_url)
    deaf, closed = Event(), Event()
    sent = slow(monkeypatch, postgres, "SELECT 1")
    monkeypatch.setattr(stoppable, "PATIENCE_S", 0.1)
    monkeypatch.setattr(stoppable, "_cancel", lambda *_: None)
    fetch = Session.fetch

    def blocked(self: Session, sql: str, *rest: Any) -> Any:
        if sql != "SELECT 1":
            return fetch(self, sql, *rest)
        deaf.wait(30)
        closed.set()
        raise OSError("late")

    monkeypatch.setattr(Session, "fetch", blocked)
    pressed(sent)
    with pytest.raises(Stopped):
        read_schema(engine)
    assert not closed.is_set()
    assert engine.pool.checkedout() == 1  # type: ignore[attr-defined]
    deaf.set()
    for _ in range(300):
        if engine.pool.checkedout() == 0:  # type: ignore[attr-defined]
            break
        Event().wait(0.1)
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]


# ---------------------------------------------------------------- changed in between


def test_a_database_dropped_between_reading_and_asking(tmp_path: Path) -> None:
    path = tmp_path / "shop.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a INT)")
    url = f"sqlite:///{path}"
    read_schema(url)
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE t")
    with pytest.raises(SchemaError, match="no tables"):
        read_schema(url)


def test_a_schema_dropped_between_reading_and_asking(postgres_url: str, engines: Engines) -> None:
    engine = engines(postgres_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA far; CREATE TABLE far.t (a int)")
        connection.exec_driver_sql("CREATE TABLE here (a int)")
    assert names(read_schema(engine)) == ["far.t", "here"]
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA far CASCADE")
    assert names(read_schema(engine)) == ["here"]


def test_nothing_stale_is_used_after_an_unknown_column(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that no look at the catalogue shows: the failed run alone tells."""
    from sqlcoder_magic.schema import reading

    name = engine.dialect.name
    reader = reading._READERS[name]
    monkeypatch.setitem(reading._READERS, name, reading.Reader(reader.read))
    read_schema(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE t")
        connection.exec_driver_sql("CREATE TABLE t (b INT)")
    assert [c.name for c in read_schema(engine).tables[0].columns] == ["a"]
    model = FakeModel(["SELECT a FROM t", "SELECT b FROM t"])
    alone = Settings(timeout_s=60, second_try=False)  # or the question is asked again at once
    first = ask("all of t?", engine, model, run=True, settings=alone)
    assert type(first.error) is RunError, first.error
    assert schema_age_s(engine) is None
    second = ask("all of t?", engine, model, run=True, settings=Settings(timeout_s=60))
    assert second.error is None
    assert second.frame is not None
    assert list(second.frame.columns) == ["b"]
    refresh_schema()


def test_a_name_that_the_check_refuses_puts_an_unseen_schema_in_doubt(
    tmp_path: Path, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlcoder_magic.schema import reading

    engine = engines(f"sqlite:///{tmp_path / 'db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (a INT)")
    replies = ["SELECT zebra FROM t", "SELECT zebra FROM t"]
    once = Settings(second_try=False)
    read_schema(engine)
    assert ask("zebras?", engine, FakeModel(replies[:1]), settings=once).checked is None
    assert schema_age_s(engine) is not None  # its fingerprint was just looked at
    monkeypatch.setitem(reading._READERS, "sqlite", reading.Reader(sqlite.read))
    refresh_schema()
    read_schema(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE t ADD zebra INT")
    model = FakeModel(replies)
    assert ask("zebras?", engine, model, settings=once).checked is None
    assert ask("zebras?", engine, model, settings=once).checked is not None


def test_a_session_that_was_stopped_sends_nothing(engine: Engine) -> None:
    with open_database(engine).session() as session:
        session.stopped = True
        with pytest.raises(KeyboardInterrupt):
            session.fetch("SELECT 1")
