"""The shop in real engines, for the tests of the check."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from check_shop import ddl

Run = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture(scope="session")
def sqlite_run() -> Iterator[Run]:
    connection = sqlite3.connect(":memory:")
    for statement in ddl("sqlite"):
        connection.execute(statement)
    yield lambda sql: connection.execute(sql).fetchall()
    connection.close()


@pytest.fixture(scope="session")
def duckdb_run() -> Iterator[Run]:
    import duckdb

    connection = duckdb.connect()
    for statement in ddl("duckdb"):
        connection.execute(statement)
    yield lambda sql: connection.execute(sql).fetchall()
    connection.close()


@pytest.fixture(scope="session")
def postgres_run(postgres_server: str) -> Iterator[Run]:
    """PostgreSQL, as its superuser."""
    import psycopg

    uri = postgres_server.replace("+psycopg", "", 1)
    with psycopg.connect(uri, autocommit=True) as admin:
        admin.execute("CREATE DATABASE check_shop")
    connection = psycopg.connect(uri, dbname="check_shop", autocommit=True)
    for statement in ddl("postgres"):
        connection.execute(statement.encode())

    def run(sql: str) -> list[tuple[Any, ...]]:
        return connection.execute(sql.encode()).fetchall()

    yield run
    connection.close()


@pytest.fixture(scope="session")
def mysql_run(mariadb_root_url: str) -> Iterator[Run]:
    """MariaDB, as its administrator."""
    import pymysql
    from sqlalchemy import make_url

    at = str(make_url(mariadb_root_url).query["unix_socket"])
    connection = pymysql.connect(unix_socket=at, user="root", autocommit=True)
    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE check_shop CHARACTER SET utf8mb4")
        cursor.execute("USE check_shop")
        for statement in ddl("mysql"):
            cursor.execute(statement)

    def run(sql: str) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    yield run
    connection.close()


@pytest.fixture(scope="session")
def run_on(request: pytest.FixtureRequest) -> Callable[[str], Run]:
    """`run_on(dialect)(sql)` gives the rows; an engine starts at its first use."""
    return lambda dialect: request.getfixturevalue(f"{dialect}_run")
