"""What a user has becomes a Database, or a sentence; and no password gets out of any of it."""

from __future__ import annotations

import sqlite3
import traceback
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import StaticPool

from sqlcoder_magic.connection import Database, open_database
from sqlcoder_magic.errors import (
    DatabaseConnectionError,
    LostConnectionError,
    NL2SQLError,
    NoConnectionError,
    OptionError,
)
from sqlcoder_magic.redaction import public_url, redact

SECRET = "s3cr3t-Pa55"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    return path


def test_every_kind_of_connection(file: Path) -> None:
    import duckdb

    engine = create_engine(f"sqlite:///{file}")
    native = duckdb.connect()
    with engine.connect() as connection:
        for value in (f"sqlite:///{file}", make_url(f"sqlite:///{file}"), engine, connection):
            database = open_database(value)
            assert (database.dialect, database.engine_name) == ("sqlite", "sqlite")
            with database.session() as session:
                assert session.fetch("SELECT 1") == [(1,)]
                assert session.owned == (value is not connection)
    database = open_database(native)
    assert database.dialect == "duckdb"
    with database.session() as session:
        assert session.fetch("SELECT 1") == [(1,)]
    assert open_database(database) is database
    native.close()
    engine.dispose()


def test_the_sample_is_built_at_first_use() -> None:
    with open_database("sample").session() as session:
        tables = {name for (name,) in session.fetch("SELECT name FROM sqlite_master")}
    assert {"products", "customers", "salespeople", "sales", "product_suppliers"} <= tables


def test_a_variable_of_the_notebook(file: Path) -> None:
    engine = create_engine(f"sqlite:///{file}")
    assert open_database("db", {"db": engine}).engine is engine
    with pytest.raises(OptionError, match="is not a database connection"):
        open_database("db", {"db": 42})
    engine.dispose()


def test_an_in_memory_database_is_the_only_one() -> None:
    assert open_database(create_engine("sqlite://")).single
    assert open_database(create_engine("sqlite://", poolclass=StaticPool)).single


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, NoConnectionError, "No database connection"),
        ("", NoConnectionError, "No database connection"),
        ("nowhere", NoConnectionError, "no connection or variable called 'nowhere'"),
        ("postgrez://h/d", DatabaseConnectionError, "no SQLAlchemy dialect called 'postgrez'"),
        ("oracle://h/d", DatabaseConnectionError, "driver for oracle is not installed"),
        ("sqlite:////no/such/file.db", DatabaseConnectionError, "no file /no/such/file.db"),
        ("duckdb:////no/such/file.db", DatabaseConnectionError, "no file /no/such/file.db"),
        ("sqlite:///file:/no/such.db?mode=ro&uri=true", DatabaseConnectionError, "no file"),
        ("sqlite:////", DatabaseConnectionError, "is a directory"),
        ("://", DatabaseConnectionError, "not a SQLAlchemy URL"),
        ("postgresql://h:port/d", DatabaseConnectionError, "not a SQLAlchemy URL"),
        (object(), OptionError, "is not a database connection"),
    ],
)
def test_what_cannot_be_opened_is_a_sentence(
    value: object, kind: type[NL2SQLError], text: str
) -> None:
    with pytest.raises(kind, match=text) as caught:
        open_database(value)
    assert caught.value.fix


def test_no_empty_database_is_created(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    for scheme in ("sqlite", "duckdb"):
        with pytest.raises(DatabaseConnectionError, match="no empty database was created"):
            open_database(f"{scheme}:///{path}")
    assert not path.exists()


def test_a_bare_path_is_told_how_to_become_a_url(file: Path) -> None:
    with pytest.raises(DatabaseConnectionError) as caught:
        open_database(str(file))
    assert f"sqlite:///{file}" in caught.value.fix


def test_a_closed_connection(file: Path) -> None:
    connection = create_engine(f"sqlite:///{file}").connect()
    connection.close()
    with pytest.raises(LostConnectionError, match="closed"):
        open_database(connection)


def test_asynchronous_engines_are_refused() -> None:
    with pytest.raises(OptionError, match="asynchronous"):
        open_database("sqlite+aiosqlite:///:memory:")


# ---------------------------------------------------------------- secrets

URLS = [
    f"postgresql://user:{SECRET}@localhost:1/db",
    f"postgresql://localhost:1/db?user=me&password={SECRET}",
    f"postgresql://localhost:1/db?sslpassword={SECRET}",
    f"postgresql://user:p@{SECRET}@localhost:1/db",
    f"mssql+pyodbc:///?odbc_connect=DRIVER%3DX%3BUID%3Dme%3BPWD%3D{SECRET}",
    f"mssql+pyodbc:///?odbc_connect=DRIVER%3DX%3BPWD%3D%7B{SECRET}%7D%3BUID%3Dme",
    f"snowflake://user:{SECRET}@account/db?token={SECRET}",
    f"bigquery://project?credentials_api_key={SECRET}",
    f"databricks://token:{SECRET}@host/?access_token={SECRET}",
]


@pytest.mark.parametrize("text", URLS)
def test_public_urls_hide_every_secret(text: str) -> None:
    assert SECRET not in public_url(make_url(text))
    assert SECRET not in redact(text)
    assert SECRET not in redact(f"could not connect to {text!r}: refused", make_url(text))


@pytest.mark.parametrize("text", URLS)
def test_no_secret_in_what_is_raised(text: str) -> None:
    with pytest.raises(NL2SQLError) as caught, open_database(text).session():
        pass
    shown = "".join(traceback.format_exception(caught.value)[-1:]) + repr(caught.value)
    assert SECRET not in shown
    error: BaseException | None = caught.value
    while error is not None:  # nothing secret is chained to it either
        assert SECRET not in str(error)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("text", URLS[:2])
def test_no_secret_in_a_database_value(text: str) -> None:
    database = open_database(text)
    assert isinstance(database, Database)
    assert SECRET not in repr(database) and SECRET not in database.label


def test_a_secret_as_it_stands_in_a_drivers_message() -> None:
    url = URL.create("postgresql", "me", "a&b c/d", "host", 5432, "db")
    for spelled in ("a&b c/d", "a%26b%20c%2Fd", "a%26b+c%2Fd"):
        assert spelled not in redact(f"bad password {spelled} for me", url)


def test_texts_without_secrets_stay_as_they_are() -> None:
    for text in ("SELECT token FROM t", "no table called password_resets", "http://host/path"):
        assert redact(text) == text
