"""PostgreSQL and MariaDB as playgrounds, as their administrator, on one connection each."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from playground_base import HIDDEN, ROWS, Playground
from servers import mariadb_connection, running_mariadb

from check_shop import ddl  # isort: skip (its path is set by playground_base)


class PostgresPlay(Playground):
    """A database of a throwaway server, as superuser; the engine has one connection."""

    dialect = "postgres"
    label = "postgresql"
    _CONTENT = (
        "SELECT name, setting FROM pg_settings WHERE name NOT IN ('in_hot_standby') ORDER BY 1",
        "SELECT name, setting FROM pg_file_settings ORDER BY 1, 2",
        "SELECT rolname, rolsuper, rolpassword FROM pg_authid ORDER BY 1",
        "SELECT extname FROM pg_extension ORDER BY 1",
        "SELECT n.nspname, c.relname, c.relkind, c.relacl::text FROM pg_class c JOIN pg_namespace "
        "n ON n.oid = relnamespace WHERE nspname NOT IN ('pg_toast', 'pg_catalog', "
        "'information_schema') ORDER BY 1, 2",
        "SELECT proname FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace "
        "WHERE nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1",
        "SELECT objoid, description FROM pg_description WHERE objoid > 16000 ORDER BY 1",
        "SELECT oid FROM pg_largeobject_metadata ORDER BY 1",
        "SELECT loid, pageno, data FROM pg_largeobject ORDER BY 1, 2",
        "SELECT sequencename, last_value FROM pg_sequences ORDER BY 1",
        "SELECT name FROM pg_prepared_statements ORDER BY 1",
        "SELECT name FROM pg_cursors WHERE name <> '' ORDER BY 1",
        "SELECT pg_listening_channels()",
        "SELECT classid, objid FROM pg_locks WHERE locktype = 'advisory' ORDER BY 1, 2",
        "SELECT current_user::text, session_user::text",
    )

    def __init__(self, url: str) -> None:
        super().__init__()
        from sqlalchemy import create_engine, make_url

        self._admin = create_engine(url, isolation_level="AUTOCOMMIT")
        self._name = f"play_{self.directory.name[5:].lower().replace('-', '_')}"
        self._url = make_url(url).set(database=self._name)
        self._do(f"CREATE DATABASE {self._name}_template")
        template = create_engine(
            self._url.set(database=f"{self._name}_template"), isolation_level="AUTOCOMMIT"
        )
        with template.connect() as connection:
            for statement in (*ddl("postgres"), "CREATE SEQUENCE s", *HIDDEN):
                connection.exec_driver_sql(statement)
        template.dispose()
        self.target = None
        self._raw: Any = None
        self.renew()

    def _do(self, *statements: str) -> None:
        with self._admin.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def renew(self) -> None:
        """See `Playground.renew`."""
        from sqlalchemy import create_engine

        self._lay_files()
        if self.target is not None:
            self.target.dispose()
        with suppress(Exception):
            self._do("ALTER ROLE postgres PASSWORD NULL")
        self._do(
            "ALTER SYSTEM RESET ALL",
            "SELECT pg_reload_conf()",
            "DROP ROLE IF EXISTS r",
            f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)",
            f"CREATE DATABASE {self._name} TEMPLATE {self._name}_template",
        )
        self.target = create_engine(
            self._url, pool_size=1, max_overflow=0, pool_reset_on_return=None
        )

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        """The engine's only connection, in autocommit, as the driver's own object."""
        assert self.target is not None
        with self.target.connect() as connection:
            raw = connection.connection.driver_connection
            idle = raw.info.transaction_status == 0
            if idle:
                raw.autocommit = True
            self._raw = raw
            try:
                yield raw
            finally:
                if idle and raw.info.transaction_status == 0 and not raw.closed:
                    raw.autocommit = False
                elif raw.closed:
                    connection.invalidate()

    def _run(self, sql: str, seconds: float) -> list[Any]:
        with self._connection() as raw, self._watched(seconds), raw.cursor() as cursor:
            cursor.execute(sql.encode(), prepare=False)
            return list(cursor.fetchmany(ROWS)) if cursor.description else []

    def _stop(self) -> None:
        with suppress(Exception):
            self._raw.cancel_safe(timeout=2.0)

    def _absorb(self) -> None:
        for _ in range(3):
            with suppress(Exception):  # the stop, or a transaction that has failed
                self._raw.execute(b"SELECT 1", prepare=False)
                return

    def content(self) -> list[Any]:
        """See `Playground.content`. Ends nothing: an open transaction is itself a change."""
        with self._connection() as raw:
            if raw.info.transaction_status != 0:
                return [raw.info.transaction_status, time.monotonic()]
            cursor = raw.cursor()
            found = [cursor.execute(query, prepare=False).fetchall() for query in self._CONTENT]
            names = cursor.execute(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname "
                "NOT IN ('pg_catalog', 'information_schema') ORDER BY 1",
                prepare=False,
            ).fetchall()
            for (name,) in names:
                rows = f"SELECT t::text FROM {name} t ORDER BY 1".encode()
                found.append(cursor.execute(rows, prepare=False).fetchall())
            return found

    def close(self) -> None:
        """See `Playground.close`."""
        assert self.target is not None
        self.target.dispose()
        self._do(
            f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)",
            f"DROP DATABASE IF EXISTS {self._name}_template WITH (FORCE)",
        )
        self._admin.dispose()
        super().close()


class MariaDBPlay(Playground):
    """A server of its own, as its administrator, whose statements may end it: `renew` starts
    another one in that case, and gives the server its database, users and settings back."""

    dialect = "mysql"
    label = "mariadb"
    # Counters, clocks and what is only of the moment.
    _VOLATILE = re.compile(
        r"timestamp|gtid|last_insert_id|identity|insert_id|rand_seed|pseudo|_count$|log_bin|"
        r"innodb_buffer_pool_dump|aria_log|warning|in_predicate|lc_time"
    )
    _CONTENT = (
        "SELECT table_schema, table_name, engine, create_options, table_comment FROM "
        "information_schema.tables WHERE table_schema NOT IN ('information_schema', "
        "'performance_schema', 'mysql', 'sys') ORDER BY 1, 2",
        "SELECT table_schema, table_name, column_name, column_type FROM information_schema.columns "
        "WHERE table_schema = 'shop' ORDER BY 1, 2, 3",
        "SELECT host, user, priv FROM mysql.global_priv ORDER BY 1, 2",
        "SELECT host, db, user FROM mysql.db ORDER BY 1, 2, 3",
        "SELECT table_name, index_name FROM information_schema.statistics "
        "WHERE table_schema = 'shop' ORDER BY 1, 2",
        "SELECT schema_name FROM information_schema.schemata ORDER BY 1",
        "SELECT routine_name FROM information_schema.routines WHERE routine_schema <> 'sys' "
        "ORDER BY 1",
        "SELECT name, dl FROM mysql.plugin ORDER BY 1",
        "SELECT name FROM mysql.func ORDER BY 1",
        "SELECT database(), current_user(), IS_USED_LOCK('x'), @x, @@in_transaction",
    )

    def __init__(self) -> None:
        super().__init__()
        self._server: ExitStack | None = None
        self._url = ""
        self._settings: dict[str, str] = {}
        self.target = None
        self._raw: Any = None
        self.renew()

    def _start(self) -> None:
        from sqlalchemy import make_url

        if self._server is not None:
            self._server.close()
        self._server = ExitStack()
        url = make_url(self._server.enter_context(running_mariadb()))
        self._url = url.set(database="mysql").render_as_string(hide_password=False)
        self._socket = str(url.query["unix_socket"])
        with self._other() as cursor:
            cursor.execute("SHOW GLOBAL VARIABLES")
            self._settings = dict(cursor.fetchall())

    @contextmanager
    def _other(self) -> Iterator[Any]:
        """A second session, for what must not be seen in the first."""
        raw = mariadb_connection(self._socket, autocommit=True)
        try:
            yield raw.cursor()
        finally:
            raw.close()

    def renew(self) -> None:
        """See `Playground.renew`."""
        from sqlalchemy import create_engine, make_url

        self._lay_files()
        if self.target is not None:
            self.target.dispose()
        try:
            self._reset()
        except Exception:  # the statement ended the server, or locked its own way in
            self._start()
            self._reset()
        at = self._socket
        self.target = create_engine(
            make_url(self._url).set(database="shop"),
            creator=lambda: mariadb_connection(at, database="shop"),
            pool_size=1,
            max_overflow=0,
            pool_reset_on_return=None,
        )

    def _reset(self) -> None:
        if self._server is None:
            raise RuntimeError("not started yet")
        with self._other() as cursor:
            cursor.execute("SHOW GLOBAL VARIABLES")
            if any(self._settings.get(k) != v for k, v in self._lasting(cursor.fetchall())):
                raise RuntimeError("a setting of the server has changed")
            for statement in ("DROP DATABASE IF EXISTS shop", "DROP DATABASE IF EXISTS x"):
                cursor.execute(statement)
            cursor.execute("DROP USER IF EXISTS x")
            cursor.execute("CREATE DATABASE shop CHARACTER SET utf8mb4")
            cursor.execute("USE shop")
            for statement in (*ddl("mysql"), "CREATE SEQUENCE s", *HIDDEN):
                cursor.execute(_for_mysql(statement))

    def _lasting(self, rows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        return [(name, value) for name, value in rows if not self._VOLATILE.search(name)]

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        """The engine's only connection, as the driver's own object."""
        assert self.target is not None
        with self.target.connect() as connection:
            self._raw = raw = connection.connection.driver_connection
            try:
                yield raw
            except Exception:
                if not raw.open:
                    connection.invalidate()
                raise

    def _run(self, sql: str, seconds: float) -> list[Any]:
        with self._connection() as raw:
            raw.autocommit(True)
            try:
                with self._watched(seconds), raw.cursor() as cursor:
                    cursor.execute(sql)
                    return list(cursor.fetchmany(ROWS))
            finally:
                if raw.open:
                    raw.autocommit(False)

    def _stop(self) -> None:
        with suppress(Exception), self._other() as cursor:
            cursor.execute(f"KILL QUERY {self._raw.thread_id()}")

    def _absorb(self) -> None:
        for _ in range(3):
            with suppress(Exception), self._raw.cursor() as cursor:  # it may hit this one
                cursor.execute("DO 0")
                return

    def content(self) -> list[Any]:
        """See `Playground.content`."""
        with self._connection() as raw, raw.cursor() as cursor:
            found: list[Any] = []
            cursor.execute(self._CONTENT[-1])  # before the queries that follow open one
            found.append(cursor.fetchall())
            for query in (*self._CONTENT[:-1], "SHOW GLOBAL VARIABLES", "SHOW SESSION VARIABLES"):
                cursor.execute(query)
                rows = cursor.fetchall()
                found.append(self._lasting(rows) if query.startswith("SHOW") else rows)
            cursor.execute("SHOW FULL TABLES FROM shop WHERE table_type <> 'VIEW'")
            for name, _ in cursor.fetchall():
                cursor.execute(f"SELECT * FROM shop.`{name}`")
                found.append(sorted(map(str, cursor.fetchall())))
            raw.rollback()
            return found

    def close(self) -> None:
        """See `Playground.close`."""
        if self.target is not None:
            self.target.dispose()
        if self._server is not None:
            self._server.close()
        super().close()


def _for_mysql(statement: str) -> str:
    """The shop's DDL as MySQL and MariaDB read it."""
    statement = statement.replace('"', "`").replace("TEXT[]", "TEXT")
    return re.sub(r"\bTIMESTAMP\b", "DATETIME", statement)
