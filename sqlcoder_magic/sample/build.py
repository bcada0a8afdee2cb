"""Where the sample databases live, and building them there once.

Covers: the cache directory of each platform, building a file completely before it gets its
name (so two processes at once are fine), rebuilding a damaged or older one, and a temporary
directory where the home is read-only. Does not know what is in the databases: `shop` and
`clinic` do.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sqlcoder_magic.errors import DatabaseConnectionError

# Part of the file's name and its user_version: raise it when a row or the DDL changes.
VERSION = 1
CACHE_VARIABLE = "SQLCODER_MAGIC_CACHE"

Rows = Sequence[tuple[Any, ...]]


@dataclass(frozen=True)
class SampleDatabase:
    """A database that can be built: `ddl` makes the tables, `rows()` gives what is in them.

    The tables of `rows()` come in an order in which every foreign key finds its row.
    """

    name: str
    ddl: str
    rows: Callable[[], dict[str, Rows]]

    @property
    def file_name(self) -> str:
        """Two versions of the package, installed side by side, each have their own file."""
        return f"{self.name}-{VERSION}.sqlite"

    @property
    def table_names(self) -> set[str]:
        """The tables that `ddl` makes."""
        return set(re.findall(r"^CREATE TABLE (\w+)", self.ddl, re.MULTILINE))


def database_path(database: SampleDatabase) -> Path:
    """The file of this database, built if it is not there yet.

    Raises DatabaseConnectionError if it can be built nowhere, or not in the directory that
    SQLCODER_MAGIC_CACHE names.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    try:
        return _built_in(cache_directory(), database)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home directory
        if chosen:
            raise _cannot_write(chosen, error) from None
    directory = _temporary_directory()
    try:
        return _built_in(directory, database)
    except OSError as error:
        raise _cannot_write(str(directory), error) from None


def cache_directory() -> Path:
    """SQLCODER_MAGIC_CACHE, or the platform's own place for a user's caches."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    if os.name == "nt":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = os.environ.get("XDG_CACHE_HOME") or "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "sqlcoder_magic"


@cache
def _temporary_directory() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="sqlcoder_magic-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def _cannot_write(directory: str, error: Exception) -> DatabaseConnectionError:
    reason = getattr(error, "strerror", None) or error
    return DatabaseConnectionError(
        f"The sample database cannot be built in {directory}: {reason}.",
        fix=f"Set the environment variable {CACHE_VARIABLE} to a directory you may write to.",
    )


def _built_in(directory: Path, database: SampleDatabase) -> Path:
    path = directory / database.file_name
    if _is_whole(path, database):
        return path
    directory.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{database.name}-", suffix=".tmp", dir=directory)
    os.close(handle)
    try:
        _fill(Path(name), database)
        _put_in_place(Path(name), path, database)
    except sqlite3.OperationalError as error:  # a full disk shows as this
        raise OSError(str(error)) from None
    finally:
        Path(name).unlink(missing_ok=True)
    return path


def _put_in_place(built: Path, path: Path, database: SampleDatabase) -> None:
    try:
        built.replace(path)
    except PermissionError:
        # Windows replaces no open file; if another process was first, its file is the same.
        if not _is_whole(path, database):
            raise


def _fill(path: Path, database: SampleDatabase) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.executescript(database.ddl)
        for table, rows in database.rows().items():
            slots = ", ".join("?" * len(rows[0]))
            connection.executemany(f"INSERT INTO {table} VALUES ({slots})", rows)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.commit()


def _is_whole(path: Path, database: SampleDatabase) -> bool:
    """True if the file is this database with all its tables; False also for a damaged file."""
    if not path.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            found = {name for (name,) in names}
    except sqlite3.DatabaseError:
        return False
    return version == VERSION and found >= database.table_names
