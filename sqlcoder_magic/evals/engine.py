"""Running gold and predicted SQL on a SQLite file, read-only and under a time limit.

Predictions are a model's text, so the connection can only read: the file is opened read-only
and an authorizer refuses whatever is not a SELECT. This is for measuring; users' databases are
read through `execute`. Not covered: a single step of SQLite that never ends (its progress
handler is called between steps), which only a worker process survives (`pool`).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sqlcoder_magic.errors import QueryTimeoutError, RunError
from sqlcoder_magic.sample.compare import Result

ROW_LIMIT = 200_000
_STEPS = 10_000  # of SQLite's virtual machine between two looks at the clock
_READING = (
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
)


class Engine(Protocol):
    """Where a suite's SQL runs. It can be pickled, so that worker processes have it too."""

    @property
    def dialect(self) -> str:
        """sqlglot's name of the dialect that it understands."""

    def run(self, db: str, sql: str, *, timeout_s: float) -> Result:
        """The rows of one statement. Raises QueryTimeoutError, and RunError for all else."""


@dataclass(frozen=True)
class SqliteEngine:
    """SQLite files by the name of their database."""

    databases: Mapping[str, Path]
    dialect: str = "sqlite"

    def run(self, db: str, sql: str, *, timeout_s: float) -> Result:
        """See `Engine.run`."""
        return run_sqlite(self.databases[db], sql, timeout_s=timeout_s)


def run_sqlite(path: Path, sql: str, *, timeout_s: float) -> Result:
    """The rows of one statement. Raises QueryTimeoutError, and RunError for all else."""
    deadline = time.monotonic() + timeout_s
    try:
        with closing(_reader(path, deadline)) as connection:
            cursor = connection.execute(sql)
            rows = cursor.fetchmany(ROW_LIMIT + 1)
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
        if time.monotonic() > deadline:
            raise QueryTimeoutError(f"Stopped after {timeout_s:g} s.") from None
        raise RunError(f"{error}.") from None
    if len(rows) > ROW_LIMIT:
        raise RunError(f"More than {ROW_LIMIT:,} rows.")
    return Result(tuple(name for name, *_ in cursor.description or ()), tuple(rows))


def _reader(path: Path, deadline: float) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    connection.set_authorizer(_read_only)
    connection.set_progress_handler(lambda: int(time.monotonic() > deadline), _STEPS)
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection


def _read_only(action: int, *_: object) -> int:
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY
