"""A suite's SQLite databases in a throwaway schema each of a PostgreSQL server.

    with loaded(url, suite) as (engine, suite): run_suite(suite, predict, engine=engine)

Names are lower-cased, as PostgreSQL folds what nobody quotes; a column takes its type from the
declared one where every value fits it, and is text otherwise. Predictions run in a read-only
transaction, one statement, as a role that may read these schemas and nothing else where the user
of the URL may make roles. Schemas and role are dropped at the end. Not covered: foreign keys,
indexes and views, which no question needs; a server that holds anything dear (with the check
switched off, a prediction of a superuser's can take its role off: `set_config`).
"""

from __future__ import annotations

import re
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlcoder_magic.check import translate
from sqlcoder_magic.errors import DatabaseConnectionError, QueryTimeoutError, RunError
from sqlcoder_magic.evals.engine import ROW_LIMIT
from sqlcoder_magic.evals.suites import Item, Suite
from sqlcoder_magic.redaction import redact
from sqlcoder_magic.sample.compare import Result
from sqlcoder_magic.types import Schema, Table

if TYPE_CHECKING:
    from psycopg import Connection

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_MOMENT = re.compile(_DATE.pattern + r"[ T]\d\d:\d\d(:\d\d(\.\d+)?)?")


@dataclass(frozen=True)
class PostgresEngine:
    """Throwaway schemas (`spaces`, by database) on the server at `url`, read as `role`."""

    url: str = field(repr=False)
    spaces: Mapping[str, str]
    role: str = ""
    dialect: str = "postgres"

    def run(self, db: str, sql: str, *, timeout_s: float) -> Result:
        """See `Engine.run`. A connection of its own: nothing is left of the one before."""
        import psycopg

        try:
            with _connect(self.url) as connection:
                self._confine(connection, db, timeout_s)
                cursor = connection.cursor()
                # Binary results make psycopg use the protocol that takes one statement only.
                cursor.execute(f"DECLARE rows_ CURSOR FOR {sql}".encode(), binary=True)
                cursor.execute(f"FETCH {ROW_LIMIT + 1} FROM rows_")
                rows = cursor.fetchall()
        except psycopg.errors.QueryCanceled:
            raise QueryTimeoutError(f"Stopped after {timeout_s:g} s.") from None
        except (psycopg.Error, UnicodeError, ValueError, OverflowError) as error:
            raise RunError(f"{_sentence(error)}.") from None
        if len(rows) > ROW_LIMIT:
            raise RunError(f"More than {ROW_LIMIT:,} rows.")
        return Result(tuple(column.name for column in cursor.description or ()), tuple(rows))

    def _confine(self, connection: Connection[Any], db: str, timeout_s: float) -> None:
        connection.execute(f"SET LOCAL search_path = {self.spaces[db]}")
        connection.execute(f"SET LOCAL statement_timeout = {max(int(timeout_s * 1000), 1)}")
        connection.execute("SET TRANSACTION READ ONLY")
        if self.role:
            connection.execute(f"SET LOCAL ROLE {self.role}")


@contextmanager
def loaded(url: str, suite: Suite) -> Iterator[tuple[PostgresEngine, Suite]]:
    """The engine, and the suite as that engine sees it; everything is dropped at the end.

    Raises DatabaseConnectionError if the server cannot be reached or allows no new schema.
    """
    import psycopg

    stem = f"sqlcoder_evals_{secrets.token_hex(4)}"
    spaces = {db: f"{stem}_{number}" for number, db in enumerate(suite.databases)}
    url = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)
    try:
        with _connect(url) as connection:
            for db, path in suite.databases.items():
                connection.execute(f"CREATE SCHEMA {spaces[db]}")
                _load(connection, path, spaces[db])
            role = _reader_role(connection, stem, spaces)
    except psycopg.Error as error:
        raise DatabaseConnectionError(
            f"The databases cannot be loaded into PostgreSQL: {_sentence(error)}.",
            fix="Name a server and a database where you may create schemas: "
            "--engine postgresql://user@host/scratch",
        ) from None
    try:
        yield PostgresEngine(url, spaces, role), in_postgres(suite)
    finally:
        with _connect(url) as connection:
            for space in spaces.values():
                connection.execute(f"DROP SCHEMA {space} CASCADE")
            if role:
                connection.execute(f"DROP OWNED BY {role}")
                connection.execute(f"DROP ROLE {role}")


def _connect(url: str) -> Connection[Any]:
    import psycopg

    return psycopg.connect(url, connect_timeout=10)


def _sentence(error: Exception) -> str:
    """The error's first line, without a password."""
    return (redact(str(error)).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _reader_role(connection: Connection[Any], name: str, spaces: Mapping[str, str]) -> str:
    """A role that may read these schemas and nothing else; empty if none can be made."""
    row = connection.execute(
        "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
    ).fetchone()
    if row is None or not row[0]:
        return ""
    connection.execute(f"CREATE ROLE {name} NOLOGIN")
    connection.execute(f"GRANT {name} TO CURRENT_USER")
    for space in spaces.values():
        connection.execute(f"GRANT USAGE ON SCHEMA {space} TO {name}")
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {space} TO {name}")
    return name


# ---------------------------------------------------------------- the suite over there


def in_postgres(suite: Suite) -> Suite:
    """The suite with PostgreSQL's schemas and golds.

    A gold of another dialect is translated; one that PostgreSQL then refuses does not count.
    """
    schemas = {db: _lowered(schema) for db, schema in suite.schemas.items()}
    return replace(suite, items=tuple(_item(item) for item in suite.items), schemas=schemas)


def _item(item: Item) -> Item:
    if item.golds_postgres:
        return replace(item, golds=item.golds_postgres)
    return replace(item, golds=tuple(_gold(sql) for sql in item.golds))


def _gold(sql: str) -> str:
    from sqlglot import exp, parse_one
    from sqlglot.errors import SqlglotError

    try:
        tree = parse_one(sql, read="sqlite")
    except SqlglotError:
        return sql
    for name in tree.find_all(exp.Identifier):
        name.set("this", name.this.lower())
    return translate(tree.sql("sqlite"), read="sqlite", write="postgres")[0]


def _lowered(schema: Schema) -> Schema:
    return replace(schema, dialect="postgres", tables=tuple(map(_lowered_table, schema.tables)))


def _lowered_table(table: Table) -> Table:
    return replace(
        table,
        name=table.name.lower(),
        columns=tuple(replace(column, name=column.name.lower()) for column in table.columns),
        primary_key=tuple(name.lower() for name in table.primary_key),
        foreign_keys=tuple(
            replace(
                key,
                columns=tuple(name.lower() for name in key.columns),
                other_table=key.other_table.lower(),
                other_columns=tuple(name.lower() for name in key.other_columns),
            )
            for key in table.foreign_keys
        ),
    )


# ---------------------------------------------------------------- loading


def _load(connection: Connection[Any], path: Path, space: str) -> None:
    """Copy every table of a SQLite file into the schema `space`."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as source:
        source.text_factory = lambda raw: raw.decode("utf-8", "replace").replace("\0", "")
        names = source.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' "
            "ESCAPE '\\'"
        ).fetchall()
        for (name,) in names:
            _load_table(connection, source, str(name), space)


def _load_table(
    connection: Connection[Any], source: sqlite3.Connection, name: str, space: str
) -> None:
    info = source.execute(f"PRAGMA table_info({_quoted(name)})").fetchall()
    rows = source.execute(f"SELECT * FROM {_quoted(name)}").fetchall()
    types = [
        column_type(str(declared), [row[i] for row in rows])
        for i, (_, _, declared, *_) in enumerate(info)
    ]
    table = f"{space}.{_quoted(name.lower())}"
    columns = ", ".join(
        f"{_quoted(str(column).lower())} {kind}"
        for (_, column, *_), kind in zip(info, types, strict=True)
    )
    connection.execute(f"CREATE TABLE {table} ({columns})".encode())
    with connection.cursor().copy(f"COPY {table} FROM STDIN".encode()) as copy:
        for row in rows:
            copy.write_row([_cell(value, kind) for value, kind in zip(row, types, strict=True)])
    keys = [(place, _quoted(str(column).lower())) for *_, column, _, _, _, place in info if place]
    if keys:
        _add_key(connection, table, [column for _, column in sorted(keys)])


def _add_key(connection: Connection[Any], table: str, columns: list[str]) -> None:
    """The primary key: PostgreSQL lets a query grouped by it name the other columns."""
    import psycopg

    try:
        with connection.transaction():
            connection.execute(
                f"ALTER TABLE {table} ADD PRIMARY KEY ({', '.join(columns)})".encode()
            )
    except (psycopg.errors.UniqueViolation, psycopg.errors.NotNullViolation):
        return  # SQLite lets a key be NULL, and several be


def column_type(declared: str, values: list[Any]) -> str:
    """The PostgreSQL type for a column of SQLite's, from its values first.

    SQLite keeps whatever it is given: a number in a TEXT column, `''` in an INTEGER one. A type
    that holds all of them is needed, or the rows could not be loaded.
    """
    kinds = {type(value) for value in values if value is not None}
    name = declared.upper()
    if not kinds:
        kinds = {int} if "INT" in name else {float} if _is_real(name) else {str}
    if kinds == {int}:
        return "numeric" if _is_exact(name) or _has_huge(values) else "bigint"
    if kinds <= {int, float}:
        return "numeric" if _is_exact(name) else "double precision"
    if kinds == {bytes}:
        return "bytea"
    if kinds == {str}:
        texts = [value for value in values if value is not None]
        if "DATE" in name and _all_moments(texts, _DATE):
            return "date"
        if ("DATE" in name or "TIME" in name) and _all_moments(texts, _MOMENT):
            return "timestamp"
    return "text"


def _all_moments(texts: list[str], layout: re.Pattern[str]) -> bool:
    """Whether these are dates (or moments) that there are: not the 30th of February."""
    try:
        return bool(texts) and all(
            layout.fullmatch(text) and datetime.fromisoformat(text) for text in texts
        )
    except ValueError:
        return False


def _is_real(name: str) -> bool:
    return any(word in name for word in ("REAL", "FLOA", "DOUB", "NUMERIC", "DECIMAL"))


def _is_exact(name: str) -> bool:
    return "NUMERIC" in name or "DECIMAL" in name


def _has_huge(values: list[Any]) -> bool:
    return any(value is not None and not -(2**63) <= value < 2**63 for value in values)


def _cell(value: Any, kind: str) -> Any:
    if value is None or kind != "text":
        return value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
