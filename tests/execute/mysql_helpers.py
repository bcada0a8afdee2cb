"""What the tests of MySQL's guard share: a database to harm, and what to look at afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, make_url

ENDLESS = "SELECT COUNT(*) FROM seq_1_to_1000000 a, seq_1_to_1000000 b WHERE a.seq + b.seq < 0"
# Both are tested where mysqlclient is installed; it has to be compiled, so it is no test extra.
DRIVERS = ["pymysql", *(["mysqldb"] if find_spec("MySQLdb") else [])]
SCRIPT = """
DROP DATABASE IF EXISTS guarded;
CREATE DATABASE guarded;
USE guarded;
CREATE TABLE shop (name VARCHAR(20), price DECIMAL(9, 2));
CREATE TABLE old_shop (name VARCHAR(20)) ENGINE = MyISAM;
INSERT INTO shop VALUES ('tea', 2.50), ('rye', 4), ('fig', 1);
CREATE SEQUENCE tickets;
CREATE PROCEDURE clear_shop() DELETE FROM shop;
CREATE FUNCTION sell() RETURNS INT BEGIN INSERT INTO old_shop VALUES ('x'); RETURN 1; END;;
CREATE OR REPLACE USER victim@localhost IDENTIFIED BY 'old';
SET GLOBAL long_query_time = 10;
"""


@pytest.fixture(name="url")
def guarded_url(mariadb_root_url: str) -> str:
    return make_url(mariadb_root_url).set(database="guarded").render_as_string(False)


@pytest.fixture(name="engine")
def guarded_engine(mariadb_root_url: str, url: str) -> Iterator[Engine]:
    admin = create_engine(mariadb_root_url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        for statement in SCRIPT.split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement.strip().removesuffix(";"))
    admin.dispose()
    engine = create_engine(url)
    yield engine
    engine.dispose()


def content(engine: Engine) -> list[Any]:
    """All that a statement could have changed."""
    with engine.connect() as connection:
        return [
            connection.exec_driver_sql(sql).all()
            for sql in (
                "SELECT table_name, table_type FROM information_schema.tables "
                "WHERE table_schema = 'guarded' ORDER BY 1",
                "SELECT column_name FROM information_schema.columns "
                "WHERE table_schema = 'guarded' AND table_name IN ('shop', 'shop2') ORDER BY 1",
                "SELECT user, host, authentication_string, Drop_priv FROM mysql.user ORDER BY 1, 2",
                "SELECT @@global.long_query_time",
                "SELECT routine_name FROM information_schema.routines "
                "WHERE routine_schema = 'guarded' ORDER BY 1",
                "SELECT next_not_cached_value FROM guarded.tickets",
                "SELECT COUNT(*) FROM guarded.old_shop",
            )
        ] + rows_of(connection, "shop")


def rows_of(connection: Connection, table: str) -> list[Any]:
    with suppress(Exception):  # it may be gone, which is a change as well
        return list(connection.exec_driver_sql(f"SELECT * FROM guarded.{table} ORDER BY 1, 2"))
    return []


MOVING = {"timestamp", "rand_seed1", "rand_seed2", "warning_count", "error_count",
          "last_insert_id", "insert_id", "identity", "pseudo_thread_id", "last_gtid"}  # fmt: skip


def state(connection: Connection) -> dict[str, Any]:
    raw: Any = connection.connection.driver_connection
    cursor = raw.cursor()
    cursor.execute("SHOW SESSION VARIABLES")
    settings = {name: value for name, value in cursor.fetchall() if name not in MOVING}
    cursor.execute("SELECT @@in_transaction, IS_USED_LOCK('users'), @mine")
    left = cursor.fetchall()
    cursor.execute("SHOW SESSION STATUS LIKE 'Prepared_stmt_count'")
    prepared = cursor.fetchall()
    cursor.close()
    return {"settings": settings, "left": left, "prepared": prepared}


def running(engine: Engine) -> int:
    with engine.connect() as connection:
        count = connection.exec_driver_sql(
            "SELECT COUNT(*) FROM information_schema.processlist WHERE id <> CONNECTION_ID() "
            "AND command = 'Query' AND info LIKE 'SELECT%%seq_1_to_1%%'"
        ).scalar()
    return int(count or 0)


def idle_soon(engine: Engine) -> bool:
    for _ in range(100):
        if running(engine) == 0:
            return True
        time.sleep(0.05)
    return False
