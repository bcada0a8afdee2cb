"""MySQL and MariaDB: harm without the guard, and refusal with it.

On a real MariaDB, as its administrator, whom no missing right protects.
"""

from __future__ import annotations

import random
import struct
import time
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pymysql
import pytest
from mysql_helpers import content, guarded_engine, guarded_url  # noqa: F401 (fixtures)
from pymysql.constants import CLIENT
from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.pool import StaticPool

from sqlcoder_magic.check import check_sql
from sqlcoder_magic.connection import Session
from sqlcoder_magic.errors import EngineNotGuardedError, RunError, SQLRejected
from sqlcoder_magic.execute import mysql as guard_module
from sqlcoder_magic.execute import run_sql
from sqlcoder_magic.execute.base import Limits
from sqlcoder_magic.types import Column, Schema, Table

SHOP = Schema(
    "mysql",
    (
        Table("shop", "", (Column("name", "text", True), Column("price", "text", True)), (), ()),
        Table("tickets", "", (Column("next_value", "int", True),), (), ()),
    ),
)


def test_rows(engine: Engine, unchecked: Any) -> None:
    sql = "SELECT name, price, name FROM shop ORDER BY price; -- '%s' :name %(x)s ?"
    frame = run_sql(unchecked("mysql", sql, "shop"), engine)
    assert list(frame.columns) == ["name", "price", "name"]
    assert frame.iloc[0].tolist() == ["fig", Decimal("1.00"), "fig"]
    assert frame.attrs["truncated"] is False


def test_the_text_is_sent_as_it_is(engine: Engine, unchecked: Any) -> None:
    sql = "SELECT '100%' LIKE '%s', '%(x)s', ':name', '?', 5 % 3, 'ä😀', 'a\\\\b', 'it''s'"
    frame = run_sql(unchecked("mysql", sql), engine)
    assert frame.iloc[0].tolist() == [0, "%(x)s", ":name", "?", 2, "ä😀", "a\\b", "it's"]


@pytest.mark.parametrize(
    "sql",
    [
        "EXPLAIN SELECT * FROM shop",
        "-- why\nexplain SELECT 1",
        "EXPLAIN FORMAT=JSON SELECT * FROM shop",
        "VALUES (1)",
        "(SELECT name FROM shop) UNION (SELECT 'x') ORDER BY 1",
        "WITH x AS (SELECT 1 AS a) SELECT a FROM x UNION ALL SELECT 2",
        "SELECT name FROM shop # a comment",
        "SELECT ';' ; # a comment\n /* another */ -- ;",
        "SELECT COUNT(*), name FROM shop GROUP BY name WITH ROLLUP",
    ],
)
def test_plans_and_values_run(engine: Engine, unchecked: Any, sql: str) -> None:
    assert len(run_sql(unchecked("mysql", sql, "shop"), engine)) >= 1


WRITES = [
    "DELETE FROM shop",
    "UPDATE shop SET price = 0",
    "INSERT INTO shop VALUES ('x', 1) RETURNING name",
    "REPLACE INTO shop VALUES ('x', 1)",
    "INSERT INTO old_shop VALUES ('x')",
    "TRUNCATE shop",
    "DROP TABLE shop",
    "CREATE TABLE new AS SELECT 1 AS a",
    "CREATE VIEW seen AS SELECT 1 AS a",
    "ALTER TABLE shop ADD COLUMN x INT",
    "RENAME TABLE shop TO shop2",
    "SELECT NEXTVAL(tickets)",
    "SELECT SETVAL(tickets, 5000)",
    "SELECT sell()",
    "CALL clear_shop()",
    "EXECUTE IMMEDIATE 'DELETE FROM shop'",
    "BEGIN NOT ATOMIC DELETE FROM shop; END",
    "SET STATEMENT max_statement_time = 0 FOR DELETE FROM shop",
    "ANALYZE DELETE FROM shop",
    "/*!50000 DELETE FROM shop */",
    "/*M!100000 DELETE FROM shop */",
    "SET PASSWORD FOR victim@localhost = PASSWORD('new')",
    "ALTER USER victim@localhost IDENTIFIED BY 'new'",
    "GRANT DROP ON *.* TO victim@localhost",
    "CREATE USER intruder@localhost",
    "DROP USER victim@localhost",
    "SET GLOBAL long_query_time = 7",
    "CREATE FUNCTION more() RETURNS INT RETURN 1",
    "DROP FUNCTION sell",
    "CREATE OR REPLACE SEQUENCE tickets START WITH 7",
]


@pytest.mark.parametrize("sql", WRITES)
def test_a_write_harms_without_the_guard_and_is_refused_by_it(
    engine: Engine, unchecked: Any, sql: str
) -> None:
    before = content(engine)
    with pytest.raises(SQLRejected):
        check_sql(sql, SHOP)
    with pytest.raises(RunError):
        run_sql(unchecked("mysql", sql, "shop"), engine)
    assert content(engine) == before

    with engine.connect() as connection:
        connection.exec_driver_sql(sql.replace("%", "%%"))
        connection.commit()
    assert content(engine) != before


@pytest.mark.parametrize(
    "form",
    [
        "SELECT name FROM shop INTO OUTFILE '{}'",
        "SELECT name INTO OUTFILE '{}' FROM shop",
        "SELECT 'x' INTO DUMPFILE '{}'",
        "SELECT 1 /*! INTO OUTFILE '{}' */",
        "SELECT 1 # ; /*\n INTO OUTFILE '{}' # */",
        "SELECT 1 -- ; /*\n INTO OUTFILE '{}' -- */",
        "SELECT 'b; -- ' INTO OUTFILE '{}' -- '",
        "(SELECT 1) UNION (SELECT 2) INTO OUTFILE '{}'",
        "WITH x AS (SELECT 1 AS a) SELECT a FROM x INTO OUTFILE '{}'",
        "SELECT 'a\\' ; -- ' INTO OUTFILE '{}' -- '",
    ],
)
def test_a_select_writes_a_file_without_the_guard(
    engine: Engine, unchecked: Any, form: str, mariadb_root_url: str
) -> None:
    """A read-only transaction lets these pass."""
    path = Path(str(make_url(mariadb_root_url).query["unix_socket"])).with_name("written")
    path.unlink(missing_ok=True)
    sql = form.format(path)
    with pytest.raises(SQLRejected):
        check_sql(sql, SHOP)
    with pytest.raises(RunError, match="nothing was run"):
        run_sql(unchecked("mysql", sql, "shop"), engine)
    assert not path.exists()
    with engine.connect() as connection:
        connection.exec_driver_sql("START TRANSACTION READ ONLY")
        connection.exec_driver_sql(sql)
    assert path.exists() or "\\'" in sql  # in that one a backslash hides the quote, and the INTO
    path.unlink(missing_ok=True)


PIECES = (
    *(
        "'",
        '"',
        "`",
        "\\",
        ";",
        "\n",
        " ",
        "(",
        ")",
        "1",
        "'a'",
        ", 2",
        " -- ",
        "--",
        "#",
        "/*",
        "*/",
    ),
    *("/*!", "/*!50000 ", "/*M! ", " UNION SELECT 2", " INTO OUTFILE '{}'", " INTO OUTFILE '{}'"),
    *(" -- */", "# */", "; /*", "; -- ", " FROM shop", " LIMIT 1", "SELECT 1"),
)


def test_no_mixture_of_quotes_and_comments_hides_a_file_from_the_servers_parser(
    engine: Engine, unchecked: Any, mariadb_root_url: str
) -> None:
    """5,000 texts at random: each that the guard would send is run raw, and writes nothing."""
    path = Path(str(make_url(mariadb_root_url).query["unix_socket"])).with_name("mixed")
    chance = random.Random(7)
    sent = written = 0
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        limits = Limits(10, 10**6, 5)
        guard = guard_module.MySQLGuard(Session(raw, False), unchecked("mysql", "SELECT 1"), limits)
        for _ in range(5000):
            pieces = chance.choices(PIECES, k=chance.randint(1, 9))
            sql = "SELECT 1" + "".join(pieces).replace("{}", str(path))
            try:
                guard._vouch(sql)
                vouched = True
            except (RunError, pymysql.err.Error):
                vouched = False
            with suppress(pymysql.err.Error):
                guard._do(sql)
            wrote = path.exists()
            path.unlink(missing_ok=True)
            assert not (wrote and vouched), sql
            sent, written = sent + vouched, written + wrote
    assert sent > 200
    assert written > 20  # without the guard


def test_a_statement_behind_the_first_runs_where_the_driver_was_asked_for_it(
    url: str, engine: Engine, unchecked: Any
) -> None:
    """MULTI_STATEMENTS: off, the server refuses; on, nothing is sent."""
    sql = "SELECT 1; DELETE FROM shop"
    several = create_engine(url, connect_args={"client_flag": CLIENT.MULTI_STATEMENTS})
    before = content(engine)
    try:
        with pytest.raises(RunError, match="not take this for one query"):
            run_sql(unchecked("mysql", sql, "shop"), engine)
        with pytest.raises(EngineNotGuardedError, match="several statements") as caught:
            run_sql(unchecked("mysql", "SELECT 1"), several)
        assert "MULTI_STATEMENTS" in caught.value.fix
        assert content(engine) == before
        with several.connect() as connection:
            connection.exec_driver_sql(sql)
            connection.commit()
        assert content(engine) != before
    finally:
        several.dispose()


class CanBeToldNotTo(pymysql.Connection):
    """What mysqlclient does: several statements unless told not to."""

    __module__ = "pymysql.connections"

    def set_server_option(self, option: int) -> None:
        self._execute_command(0x1B, struct.pack("<H", option))
        self._read_packet()


def test_a_driver_that_can_be_told_to_take_one_statement_is_told(
    url: str, engine: Engine, unchecked: Any
) -> None:
    query = make_url(url).query
    raw = CanBeToldNotTo(
        unix_socket=str(query["unix_socket"]),
        user="root",
        database="guarded",
        client_flag=CLIENT.MULTI_STATEMENTS,
    )
    mine = create_engine("mysql+pymysql://", creator=lambda: raw, poolclass=StaticPool)
    told: list[int] = []
    whole = raw.set_server_option
    raw.set_server_option = lambda n: (told.append(n), whole(n))  # type: ignore[assignment, func-returns-value]
    with pytest.raises(RunError, match="nothing was run"):
        run_sql(unchecked("mysql", "SELECT 1; DELETE FROM shop", "shop"), mine)
    assert len(run_sql(unchecked("mysql", "SELECT * FROM shop", "shop"), mine)) == 3
    assert told == [1, 0, 1, 0]  # off, and on again
    mine.dispose()


# Functions that harm while they compute are the check's part; this is what they do without it.
COMPUTING = {
    "SELECT SLEEP(0.2)": lambda rows, seconds, connection: seconds >= 0.2,
    "SELECT BENCHMARK(3000000, SHA2('x', 512))": lambda rows, seconds, connection: seconds > 0.2,
    "SELECT GET_LOCK('x', 1)": lambda rows, seconds, connection: (
        connection.exec_driver_sql("SELECT IS_USED_LOCK('x')").scalar() is not None
    ),
    "SELECT LOAD_FILE('/etc/hostname')": lambda rows, seconds, connection: rows[0][0] is not None,
    "SELECT @x := 5": lambda rows, seconds, connection: (
        connection.exec_driver_sql("SELECT @x").scalar() == 5
    ),
    "SELECT * FROM mysql.global_priv": lambda rows, seconds, connection: len(rows) > 1,
    "SELECT @@datadir": lambda rows, seconds, connection: "maria" in rows[0][0],
    "SELECT * FROM shop LOCK IN SHARE MODE": lambda rows, seconds, connection: len(rows) == 3,
}


@pytest.mark.parametrize("sql", COMPUTING)
def test_what_a_read_only_transaction_lets_pass_is_refused_by_the_check(
    engine: Engine, sql: str
) -> None:
    with engine.connect() as connection:
        connection.exec_driver_sql("START TRANSACTION READ ONLY")
        start = time.monotonic()
        rows = connection.exec_driver_sql(sql).all()
        assert COMPUTING[sql](rows, time.monotonic() - start, connection)
        connection.exec_driver_sql("DO RELEASE_ALL_LOCKS()")
    with pytest.raises(SQLRejected):
        check_sql(sql, SHOP)


def test_a_lock_taken_on_our_own_connection_does_not_stay(url: str, unchecked: Any) -> None:
    mine = create_engine(url, pool_size=1, max_overflow=0)
    try:
        run_sql(unchecked("mysql", "SELECT GET_LOCK('mine', 1)"), mine)
        with mine.connect() as connection:
            assert connection.exec_driver_sql("SELECT IS_FREE_LOCK('mine')").scalar() == 1
    finally:
        mine.dispose()


@pytest.mark.parametrize("left_out", ["START TRANSACTION", "both"])
def test_nothing_is_sent_where_a_refusal_cannot_be_shown(
    engine: Engine, unchecked: Any, monkeypatch: pytest.MonkeyPatch, left_out: str
) -> None:
    """The transaction and the session's default each suffice; without both, nothing runs."""
    guard = guard_module.MySQLGuard
    whole = guard._do
    read_only = ("START TRANSACTION READ ONLY", "SET SESSION TRANSACTION READ ONLY")
    skipped = read_only[:1] if left_out == "START TRANSACTION" else read_only

    def skip(self: Any, sql: str) -> None:
        if sql == "SET TRANSACTION READ ONLY" and left_out == "both":
            return
        whole(self, "DO 0" if sql in skipped else sql)

    monkeypatch.setattr(guard, "_do", skip)
    sent: list[str] = []
    monkeypatch.setattr(guard, "execute", lambda self, sql: sent.append(sql))
    checked = unchecked("mysql", "SELECT 1")
    if left_out == "both":
        with pytest.raises(EngineNotGuardedError, match="shown, not run"):
            run_sql(checked, engine)
        assert sent == []
    else:
        with suppress(AttributeError):  # nothing was executed, so nothing can be fetched
            run_sql(checked, engine)
        assert sent == ["SELECT 1"]


def test_another_driver_is_not_guarded(unchecked: Any) -> None:
    other = type("connection", (), {"__module__": "mysql.connector.connection"})()
    with pytest.raises(EngineNotGuardedError, match=r"mysql\.connector") as caught:
        guard_module.MySQLGuard(
            Session(other, owned=True), unchecked("mysql", "SELECT 1"), Limits(1, 1, 1)
        )
    assert "pymysql" in caught.value.fix


def test_an_account_that_may_only_read_works(engine: Engine, url: str, unchecked: Any) -> None:
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE OR REPLACE USER reader@localhost IDENTIFIED BY 'pw'")
        connection.exec_driver_sql("GRANT SELECT ON guarded.shop TO reader@localhost")
    for database in ("guarded", None):
        reader = make_url(url).set(username="reader", password="pw", database=database)
        mine = create_engine(reader)
        try:
            checked = unchecked("mysql", "SELECT * FROM guarded.shop", "shop")
            assert len(run_sql(checked, mine)) == 3
        finally:
            mine.dispose()
