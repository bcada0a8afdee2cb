"""SQLite and DuckDB as playgrounds, in this process."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, suppress
from typing import Any

from playground_base import HIDDEN, ROWS, Playground

from check_shop import ddl  # isort: skip (its path is set by playground_base)


class SQLitePlay(Playground):
    """A file, and a connection in autocommit."""

    dialect = label = "sqlite"

    def __init__(self) -> None:
        super().__init__()
        self._raw: sqlite3.Connection | None = None
        self.renew()

    def renew(self) -> None:
        """See `Playground.renew`."""
        from sqlalchemy import create_engine
        from sqlalchemy.pool import StaticPool

        if self._raw is not None:
            self._raw.close()
        self._lay_files()
        path = self.directory / "shop.db"
        path.unlink(missing_ok=True)
        self._raw = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for statement in (*ddl("sqlite"), *HIDDEN):
            self._raw.execute(statement)
        # The very connection: what a statement leaves on it is seen.
        raw = self._raw
        self.target = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)

    def _run(self, sql: str, seconds: float) -> list[Any]:
        assert self._raw is not None
        with self._watched(seconds), closing(self._raw.execute(sql)) as cursor:
            return cursor.fetchmany(ROWS)

    def _stop(self) -> None:
        assert self._raw is not None
        self._raw.interrupt()

    def content(self) -> list[Any]:
        """See `Playground.content`."""
        assert self._raw is not None
        names = "user_version application_id query_only writable_schema busy_timeout foreign_keys "
        names += "journal_mode recursive_triggers trusted_schema secure_delete synchronous"
        pragmas = [self._raw.execute(f"PRAGMA {name}").fetchone() for name in names.split()]
        # An empty temporary database has no file; the guard's preflight makes SQLite list it.
        databases = {row[1] for row in self._raw.execute("PRAGMA database_list")} - {"temp"}
        dumped = list(self._raw.iterdump())
        return [self._raw.in_transaction, databases, pragmas, dumped]

    def close(self) -> None:
        """See `Playground.close`."""
        assert self._raw is not None
        self._raw.close()
        super().close()


class DuckDBPlay(Playground):
    """In memory, native, with every door open but that to the registry of extensions."""

    dialect = label = "duckdb"
    _CONTENT = (
        "SELECT name, value FROM duckdb_settings() ORDER BY ALL",
        "SELECT database_name, path, readonly FROM duckdb_databases() ORDER BY ALL",
        "SELECT schema_name, table_name, sql FROM duckdb_tables() ORDER BY ALL",
        "SELECT view_name, sql FROM duckdb_views() WHERE NOT internal ORDER BY ALL",
        "SELECT sequence_name, last_value FROM duckdb_sequences() ORDER BY ALL",
        "SELECT count(*) FROM duckdb_functions()",  # all, because a filter is slower
        "SELECT name FROM duckdb_secrets() ORDER BY ALL",
        "SELECT name, value FROM duckdb_variables() ORDER BY ALL",
        "SELECT index_name FROM duckdb_indexes() ORDER BY ALL",
        "SELECT name FROM pg_prepared_statements ORDER BY ALL",
    )

    def __init__(self) -> None:
        super().__init__()
        self.target = None
        self.renew()

    def renew(self) -> None:
        """See `Playground.renew`."""
        import duckdb

        if self.target is not None:
            self._shut()
        self._lay_files()
        self.target = duckdb.connect(
            config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}
        )
        for statement in (*ddl("duckdb"), "CREATE SEQUENCE s", *HIDDEN):
            self.target.execute(statement)
        self.target.execute(f"COPY secrets TO '{self.files}/x.parquet'")

    def _run(self, sql: str, seconds: float) -> list[Any]:
        with self._watched(seconds):
            rows = self.target.execute(sql).fetchmany(ROWS)
        assert isinstance(rows, list)
        return rows

    def _stop(self) -> None:
        self.target.interrupt()

    def content(self) -> list[Any]:
        """See `Playground.content`."""
        found = [self.target.execute(query).fetchall() for query in self._CONTENT]
        names = self.target.execute(
            "SELECT schema_name || '\".\"' || table_name FROM duckdb_tables() ORDER BY ALL"
        ).fetchall()
        for (name,) in names:
            found.append(self.target.execute(f'FROM "{name}" ORDER BY ALL').fetchall())
        first, second = (self.target.execute("SELECT txid_current()").fetchone() for _ in "ab")
        return [*found, first == second]  # one number twice: a transaction is open

    def _shut(self) -> None:
        """Close; a statement that is deaf to the interrupt is waited for, 30 s at most."""
        import duckdb

        for patience in range(300, -1, -1):
            try:
                self.target.close()
                return
            except duckdb.Error:
                if not patience:
                    raise
                with suppress(duckdb.Error):  # closed after all
                    self.target.interrupt()
                time.sleep(0.1)

    def close(self) -> None:
        """See `Playground.close`."""
        self._shut()
        super().close()
