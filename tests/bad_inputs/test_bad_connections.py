"""A. Connections that are missing, wrong, lost or of an unknown kind. Numbers are table rows.

Rows covered: no connection (1), a restarted server (3), unknown drivers (5), wrong passwords (7),
secrets in the query string (9), files that are not there (11), in-memory databases (13), DuckDB's
lock (15), an aborted transaction (17), read-only servers (19), async engines and raw connections
(21). AUTOCOMMIT (23) is with the sessions in `test_bad_runs`. Not covered: Snowflake, BigQuery,
SQL Server and MySQL beyond the sentence for a missing driver.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_input_helpers import SECRET, SHOP, Shop, Told
from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.pool import StaticPool

from sqlcoder_magic import FakeModel, ask
from sqlcoder_magic.errors import (
    DatabaseConnectionError,
    LostConnectionError,
    NL2SQLError,
    NoConnectionError,
    OptionError,
    SchemaError,
)

COUNT = "SELECT COUNT(*) AS n FROM sales"


def refused(value: object, told: Told, kind: type[NL2SQLError] = DatabaseConnectionError) -> str:
    """What is said to a question over `value`; the model must not have been asked."""
    model = FakeModel([COUNT])
    with pytest.raises(kind) as caught:
        ask("How many sales?", value, model, run=True)
    assert model.prompts == []
    return told(caught.value)


def count(value: object) -> int:
    """How many sales `ask` finds."""
    answer = ask("How many sales?", value, FakeModel([COUNT]), run=True)
    assert answer.frame is not None, answer.error
    return int(answer.frame.iloc[0, 0])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The shop as a SQLite file."""
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        for statement in SHOP:
            connection.execute(statement)
    connection.close()
    return path


@pytest.mark.parametrize("value", [None, "", "  \t"])
def test_01_no_connection(value: object, told: Told) -> None:
    text = refused(value, told, NoConnectionError)
    assert text.startswith("No database connection.") and "%sqlcoder connect" in text


def test_01_a_name_that_nobody_knows(told: Told) -> None:
    assert "'prod'" in refused("prod", told, NoConnectionError)
    assert len(refused("x" * 5000, told, NoConnectionError)) < 500


# ---------------------------------------------------------------- 3: the server restarts


def end_sessions(engine: Engine) -> None:
    """What a restart does to every other connection."""
    with engine.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    time.sleep(0.1)


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[tuple[str, Engine]]:
    """The shop on PostgreSQL: its URL, and an engine of an administrator's."""
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        for statement in SHOP:
            connection.exec_driver_sql(statement)
    yield postgres_url, engine
    engine.dispose()


@pytest.mark.parametrize("kind", ["url", "engine", "several stale ones"])
def test_03_a_stale_pool_costs_a_retry_and_no_traceback(
    postgres: tuple[str, Engine], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    url, admin = postgres
    own = create_engine(url)
    value: object = url if kind == "url" else own
    assert count(value) == 3
    if kind == "several stale ones":
        for connection in [own.connect() for _ in range(4)]:
            connection.close()
    end_sessions(admin)
    caplog.clear()
    assert count(value) == 3
    assert "Traceback" not in caplog.text
    own.dispose()


class Restart(FakeModel):
    """The server restarts while the model writes."""

    admin: Engine

    def generate(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
        end_sessions(self.admin)
        return super().generate(*args, **kwargs)  # type: ignore[arg-type]


def test_03_a_restart_while_the_model_writes_loses_no_sql(
    postgres: tuple[str, Engine], told: Told
) -> None:
    url, admin = postgres
    engine = create_engine(url)
    with engine.connect() as own:  # the only connection: nobody may open another in its place
        model = Restart([COUNT])
        model.admin = admin
        answer = ask("How many sales?", own, model, run=True)
        assert isinstance(answer.error, LostConnectionError)
        assert "lost" in told(answer.error)
        assert answer.sql == COUNT and answer.frame is None
        own.invalidate()
    model = Restart([COUNT])
    model.admin = admin
    again = ask("How many sales?", engine, model, run=True)
    assert again.frame is not None and again.error is None
    engine.dispose()


def test_03_the_users_own_connection_is_gone(postgres: tuple[str, Engine], told: Told) -> None:
    url, admin = postgres
    engine = create_engine(url)
    with engine.connect() as own:
        own.exec_driver_sql("SELECT 1")
        own.rollback()
        end_sessions(admin)
        assert "was lost" in refused(own, told, LostConnectionError)
        own.invalidate()
    engine.dispose()


# ---------------------------------------------------------------- 5, 7, 9: URLs


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgrez://me@h/d", ("'postgrez'", "Did you mean postgresql://?", "sqlite", "duckdb")),
        ("mongodb://me@h/d", ("'mongodb'", "Installed: sqlite, postgresql", "duckdb")),
        ("http://localhost:8080/db", ("'http'", "Installed:")),
        ("snowflake://me@account/d", ("'snowflake'", "%pip install snowflake-sqlalchemy")),
        ("oracle://me@h/d", ("oracledb", "%pip install oracledb")),
        ("postgresql+psycopg2://me@h/d", ("psycopg2", "%pip install psycopg2-binary")),
        ("jdbc:postgresql://h/d", ("not a SQLAlchemy URL", "postgresql://user:password@host")),
        ("postgresql//me@h/d", ("not a SQLAlchemy URL", "postgresql://user:password@host")),
        ("postgresql://h:port/d", ("not a SQLAlchemy URL",)),
        ("postgresql://[::1/d", ("not a SQLAlchemy URL",)),
        ("sqlite://shop.db", ("Invalid SQLite URL", "sqlite:///relative")),
    ],
)
def test_05_an_unknown_scheme_names_what_there_is(
    url: str, says: tuple[str, ...], told: Told
) -> None:
    text = refused(url, told)
    assert [part for part in says if part not in text] == []


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@127.0.0.1:1/d",
        f"postgresql://127.0.0.1:1/d?user=me&password={SECRET}",
        f"postgresql://127.0.0.1:1/d?sslpassword={SECRET}",
        f"postgresql://me:{SECRET}%@127.0.0.1:1/d",
        f"postgresql://me:a@b/{SECRET}@127.0.0.1:1/d",
        f"postgresql://me:{SECRET}@127.0.0.1:1/d?no_such_option=1",
        f"postgrez://me:{SECRET}@h/d",
        f"mssql+pyodbc:///?odbc_connect=DRIVER%3DX%3BPWD%3D{SECRET}",
        f"snowflake://me:{SECRET}@account/d?token={SECRET}",
        f"me:{SECRET}@host",
        f"postgresql:/me:{SECRET}@host/d",
    ],
)
def test_09_no_secret_in_what_is_said(url: str, told: Told) -> None:
    refused(url, told, NL2SQLError)  # `told` looks for it


def test_07_a_login_that_the_server_refuses(postgres_url: str, told: Told) -> None:
    url = make_url(postgres_url).set(username="nobody", password=SECRET)
    text = refused(url, told)
    assert 'role "nobody" does not exist' in text and "***" in text
    assert "user" in text and "password" in text  # what to look at
    engine = create_engine(url)
    assert "nobody" in refused(engine, told)
    engine.dispose()


def test_07_a_database_that_is_not_there(postgres_url: str, told: Told) -> None:
    text = refused(make_url(postgres_url).set(database="no_such_db"), told)
    assert 'database "no_such_db" does not exist' in text


# ---------------------------------------------------------------- 11, 13, 15: files and memory


@pytest.mark.parametrize("scheme", ["sqlite", "duckdb"])
def test_11_no_file_is_created(scheme: str, tmp_path: Path, told: Told) -> None:
    path = tmp_path / "new.db"
    url = f"{scheme}:///{path}"
    engine = create_engine(url)
    for value in (url, make_url(url), engine):  # an engine of the user's would create it too
        assert "no empty database was created" in refused(value, told)
    assert list(tmp_path.iterdir()) == []


def test_11_a_bare_path(file: Path, told: Told) -> None:
    assert f"sqlite:///{file}" in refused(file, told)
    for gone in (file.with_name("nowhere.db"), "nowhere.duckdb", r"C:\data\shop.accdb"):
        assert f"There is no file {gone}." in refused(gone, told, NoConnectionError)


def test_11_a_directory(tmp_path: Path, told: Told) -> None:
    assert "is a directory" in refused(f"sqlite:///{tmp_path}", told)


def test_11_a_file_of_the_other_engine(file: Path, tmp_path: Path, told: Told) -> None:
    """Left to itself DuckDB would try to download an extension that reads SQLite."""
    import duckdb

    other = tmp_path / "shop.duckdb"
    duckdb.connect(str(other)).close()
    assert f"Write sqlite:///{file}" in refused(f"duckdb:///{file}", told)
    assert f"Write duckdb:///{other}" in refused(f"sqlite:///{other}", told)


@pytest.mark.parametrize("scheme", ["sqlite", "duckdb"])
def test_11_a_file_that_is_no_database(scheme: str, tmp_path: Path, told: Told) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear customer, " * 100)
    text = refused(f"{scheme}:///{path}", told, NL2SQLError)
    assert "not a" in text and "server" not in text and "may read" not in text


def test_11_an_empty_file_has_no_tables(tmp_path: Path, told: Told) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    assert "no tables" in refused(f"sqlite:///{path}", told, SchemaError)


def test_11_a_file_that_was_replaced_is_the_new_one(file: Path) -> None:
    assert count(f"sqlite:///{file}") == 3
    file.unlink()
    with sqlite3.connect(file) as connection:
        for statement in SHOP[:2]:
            connection.execute(statement)
    connection.close()
    assert count(f"sqlite:///{file}") == 0


def test_11_a_relative_path_follows_the_directory(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    monkeypatch.chdir(tmp_path)
    assert count("sqlite:///shop.db") == 3
    monkeypatch.chdir(other)
    refused("sqlite:///shop.db", told)
    with sqlite3.connect("shop.db") as connection:
        connection.execute(SHOP[1])
    connection.close()
    assert count("sqlite:///shop.db") == 0


def test_13_in_memory_databases() -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    logins: list[int] = []
    from sqlalchemy import event

    event.listen(engine, "connect", lambda *_: logins.append(1))
    with engine.begin() as connection:
        for statement in SHOP:
            connection.exec_driver_sql(statement)
    assert count(engine) == 3
    assert logins == [1]
    with engine.connect() as connection:  # no longer read-only
        connection.exec_driver_sql("DELETE FROM sales")
        assert count(connection) == 0
        connection.rollback()
    assert count(engine) == 3
    engine.dispose()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "duckdb:///:memory:"])
def test_13_an_empty_memory_is_named_as_typed(url: str, told: Told) -> None:
    text = refused(url, told, SchemaError)
    assert "has no tables" in text and "%3A" not in text


def test_15_duckdbs_file_is_open_in_the_kernel(tmp_path: Path, told: Told) -> None:
    import duckdb

    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as native:
        for statement in SHOP:
            native.execute(statement)
        assert "-c NAME" in refused(f"duckdb:///{path}", told)
        assert count(native) == 3
    assert count(f"duckdb:///{path}") == 3
    with duckdb.connect(str(path)) as again:  # and asking has not kept it locked
        assert again.execute(COUNT).fetchone() == (3,)


def test_15_duckdbs_file_is_open_in_another_process(tmp_path: Path, told: Told) -> None:
    path = tmp_path / "shop.duckdb"
    holds = f"import duckdb; c = duckdb.connect({str(path)!r}); print('up', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holds], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None and other.stdout.readline()
        text = refused(f"duckdb:///{path}", told)
        other.communicate(b"\n")
    assert "lock" in text and "Close it in the other program" in text


def test_15_a_closed_duckdb_connection(told: Told) -> None:
    import duckdb

    native = duckdb.connect()
    native.close()
    text = refused(native, told)
    assert "already closed" in text and "password" not in text


# ---------------------------------------------------------------- 17 to 21


def test_17_an_aborted_transaction_stays_the_users(
    postgres: tuple[str, Engine], told: Told
) -> None:
    with postgres[1].connect() as own:
        own.exec_driver_sql("DELETE FROM sales")
        with pytest.raises(Exception, match="division"):
            own.exec_driver_sql("SELECT 1 / 0")
        text = refused(own, told, SchemaError)
        assert "Roll back first" in text
        status = own.connection.driver_connection.info.transaction_status  # type: ignore[union-attr]
        assert status.name == "INERROR" and own.in_transaction()
        own.rollback()
        assert count(own) == 3


def test_19_a_read_only_server(postgres: tuple[str, Engine]) -> None:
    options = {"options": "-c default_transaction_read_only=on"}
    engine = create_engine(postgres[0], connect_args=options)
    assert count(engine) == 3
    engine.dispose()


def test_21_what_is_no_connection(told: Told, tmp_path: Path) -> None:
    import duckdb
    from sqlalchemy.orm import Session

    raw, native = sqlite3.connect(tmp_path / "raw.db"), duckdb.connect()
    values = (raw, Session(), native.sql("SELECT 1 AS a"), 42, [1], {"password": SECRET}, Engine)
    for value in values:
        text = refused(value, told, OptionError)
        assert type(value).__name__ in text
        assert "SQLAlchemy URL, Engine or Connection" in text and "builtins" not in text
    raw.close()
    native.close()


def test_21_asynchronous_drivers(told: Told) -> None:
    for url in (f"postgresql+asyncpg://me:{SECRET}@h/d", "sqlite+aiosqlite:///:memory:"):
        assert "asynchronous" in refused(url, told, NL2SQLError)


def test_no_right_to_read_anything(postgres: tuple[str, Engine], told: Told) -> None:
    url, admin = postgres
    role = f"reader_{os.getpid()}"
    with admin.begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN")
    engine = create_engine(make_url(url).set(username=role))
    text = refused(engine, told, SchemaError)
    assert "customers, sales" in text.replace("public.", "") and "right to read" in text
    engine.dispose()
    with admin.begin() as connection:
        connection.exec_driver_sql(f"DROP ROLE {role}")


def test_a_locked_file(file: Path, told: Told) -> None:
    engine = create_engine(f"sqlite:///{file}", connect_args={"timeout": 0})
    with sqlite3.connect(file, isolation_level=None) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        assert "Wait until" in refused(engine, told, SchemaError)
        writer.execute("ROLLBACK")
    writer.close()
    assert count(engine) == 3
    engine.dispose()


def test_a_shop_on_each_engine_answers(shop: Shop) -> None:
    """The tests above fail for their reason, not because nothing works."""
    assert count(shop.connection) == 3
