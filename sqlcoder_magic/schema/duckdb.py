"""DuckDB's catalogue in five statements, through its own table functions.

Works on a native connection and through duckdb-engine alike; that engine's reflection is
broken on current versions, so it is not used. A view whose tables are
gone still lists its columns, because DuckDB binds it when it is used. Not covered: files that
a query names directly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlcoder_magic.connection import Session
from sqlcoder_magic.schema.enums import enum_values
from sqlcoder_magic.schema.found import Found, Key, named
from sqlcoder_magic.types import Column

_RELATIONS = """
SELECT database_name, schema_name, table_name, comment, 'table', estimated_size
FROM duckdb_tables() WHERE NOT internal
UNION ALL
SELECT database_name, schema_name, view_name, comment, 'view', NULL
FROM duckdb_views() WHERE NOT internal
ORDER BY ALL"""

_COLUMNS = """
SELECT database_name, schema_name, table_name, column_name, data_type, is_nullable, comment,
       {generated}
FROM duckdb_columns() WHERE NOT internal
ORDER BY database_name, schema_name, table_name, column_index"""
_TELLS_GENERATED = (  # since DuckDB 2.0
    "SELECT 1 FROM (DESCRIBE FROM duckdb_columns()) WHERE column_name = 'is_generated'"
)

_KEYS = """
SELECT database_name, schema_name, table_name, constraint_type, constraint_column_names,
       referenced_table, referenced_column_names
FROM duckdb_constraints() WHERE constraint_type IN ('PRIMARY KEY', 'FOREIGN KEY', 'UNIQUE')
ORDER BY database_name, schema_name, table_name, constraint_index"""

_FINGERPRINT = """
SELECT current_database(), current_schema(),
       (SELECT (count(*), bit_xor(hash(database_name, schema_name, table_name, table_oid,
                column_name, column_index, data_type, comment)))
        FROM duckdb_columns() WHERE NOT internal),
       (SELECT bit_xor(hash(table_oid, has_primary_key, comment)) FROM duckdb_tables()),
       (SELECT bit_xor(hash(view_oid, comment, sql)) FROM duckdb_views() WHERE NOT internal)"""


# A database's file and its logs; the last two while a checkpoint is made.
_FILES = ("", ".wal", ".checkpoint.wal", ".recovery.wal")


def read(session: Session) -> Found:
    """Every table and view of the attached databases that is not DuckDB's own."""
    found = Found()
    ((database, schema),) = session.fetch("SELECT current_database(), current_schema()")
    here = (str(database), str(schema))
    own = []
    for base, space, name, comment, kind, rows in session.fetch(_RELATIONS):
        key = _key(base, space, name, here)
        if base == "temp":
            own.append(name)
        found.tables[key] = comment or ""
        if kind == "view":
            found.kinds[key] = kind
        elif rows is not None:
            found.rows[key] = rows
    generated = "is_generated" if session.fetch(_TELLS_GENERATED) else "false"
    for row in session.fetch(_COLUMNS.format(generated=generated)):
        base, space, table, name, kind, nullable, comment, computed = row
        values = enum_values(kind)
        column = Column(name, kind, bool(nullable), comment or "", values, bool(computed))
        found.add_column(_key(base, space, table, here), column)
    _read_keys(session, found, here)
    if own:
        found.notes.append(
            f"Temporary, and seen by your connection alone: {named(own)}. A run cannot read "
            "them; run the SQL in its own cell."
        )
    return found


def fingerprint(session: Session) -> str:
    """A hash over every column, so that any change of a table, type or comment shows."""
    return repr(session.fetch(_FINGERPRINT))


def glance(session: Session) -> tuple[Any, ...] | None:
    """Equal to an earlier one if nothing can have changed: the state of the databases' files.

    A commit is in the file or its log before anyone sees it. None for databases in memory, and
    on the user's own connection, which may hold temporary tables and changes not yet committed.
    """
    if not session.owned:
        return None
    parts: list[Any] = session.fetch("SELECT current_database(), current_schema()")
    for name, path, kind in session.fetch(
        "SELECT database_name, path, type FROM duckdb_databases() WHERE NOT internal"
    ):
        if kind != "duckdb" or not path or not Path(path).is_file():
            return None
        parts.append((name, path, *(_state(Path(path + ending)) for ending in _FILES)))
    return tuple(parts)


def within(native: Any) -> Any | None:
    """The user's own DuckDB connection, to be asked where it stands: it alone sees its temporary
    tables and registered frames. None where that could disturb it: in a transaction, with an
    unfinished result, or before DuckDB 2.0, which ends such a result without a word.
    """
    import duckdb

    if not hasattr(native, "complete"):
        return None
    asked = _Within(native)
    try:
        first, second = (asked.ask("SELECT txid_current()") for _ in range(2))
    except duckdb.Error:
        return None
    return None if first == second else asked


class _Within:
    """A native connection as a DB-API one with a single cursor, asked through relations, which
    leave alone what `execute` left behind."""

    def __init__(self, native: Any) -> None:
        self._native = native
        self._rows: list[tuple[Any, ...]] = []

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._native.sql(sql).fetchall()
        return rows

    def cursor(self) -> _Within:
        return self

    def execute(self, sql: str) -> None:
        self._rows = self.ask(sql)

    def fetchmany(self, count: int) -> list[tuple[Any, ...]]:
        some, self._rows = self._rows[:count], self._rows[count:]
        return some

    def interrupt(self) -> None:
        self._native.interrupt()

    def close(self) -> None:
        self._rows = []


def _state(path: Path) -> tuple[int, ...]:
    try:
        stat = path.stat()
    except OSError:
        return ()
    return (stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size)


def _read_keys(session: Session, found: Found, here: tuple[str, str]) -> None:
    for base, space, table, kind, columns, other, other_columns in session.fetch(_KEYS):
        key = _key(base, space, table, here)
        if kind == "PRIMARY KEY":
            found.primary_keys[key] = tuple(columns)
        elif kind == "UNIQUE":
            found.add_unique(key, columns)
        else:
            found.add_reference(key, columns, _key(base, space, other, here), other_columns)


def _key(database: str, schema: str, name: str, here: tuple[str, str]) -> Key:
    """Another database's `main` is reached by the database's name alone."""
    if (database, schema) == here or database == "temp":
        return ("", name)
    if database == here[0]:
        return (schema, name)
    return (database if schema == "main" else f"{database}.{schema}", name)
