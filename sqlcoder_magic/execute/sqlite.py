"""SQLite: query_only, an authorizer, the engine's own limits, and a progress handler.

The session may be the user's only connection (`:memory:`, StaticPool, a Connection of theirs),
so every change registers its undoing where it is made. Python cannot read an authorizer or a
progress handler back; what the connection refers to before and after ours is set tells which
one was there, and it is set again (the progress handler with a step count of ours, because
theirs cannot be known). An open transaction is left open and untouched.

Not covered: one built-in function that computes for long inside a single step (a hostile
LIKE pattern on a huge text) cannot be interrupted; SQLITE_LIMIT_LENGTH bounds its size.
"""

from __future__ import annotations

import gc
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from sqlcoder_magic.connection import Session
from sqlcoder_magic.execute.base import Failure, Limits, lowered, not_guarded, spellings, unproven
from sqlcoder_magic.types import CheckedSQL

_STEPS = 10_000  # virtual machine steps between two looks for Ctrl-C: well under a millisecond
_LONGEST_VALUE = 64 * 2**20  # bytes; without it randomblob(1e9) fills memory in a single step
_BUSY_MS = 1000  # waiting for another process's lock cannot be interrupted, so it is short
_TABLE_FUNCTIONS = frozenset({"json_each", "json_tree", "generate_series"})
_DENIED_FUNCTIONS = frozenset(
    {"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer", "zipfile"}
)
# A full-text or R-tree table reads tables of its own: its name and one of these.
_SHADOWS = ("_content", "_data", "_idx", "_docsize", "_config", "_segments", "_segdir", "_stat",
            "_node", "_parent", "_rowid")  # fmt: skip
_HARMLESS_PRAGMAS = frozenset({"data_version", "page_size"})  # full-text search asks for these
_PROBE = "CREATE TEMP TABLE nl2sql_preflight (x)"


class SQLiteGuard:
    """One run on a `sqlite3.Connection`, in the calling thread."""

    threaded = False
    errors: tuple[type[Exception], ...] = (
        sqlite3.Error,
        sqlite3.Warning,
        OverflowError,
        ValueError,
    )

    def __init__(self, session: Session, checked: CheckedSQL, limits: Limits) -> None:
        if not isinstance(session.raw, sqlite3.Connection):
            driver = type(session.raw).__module__.split(".")[0]
            raise not_guarded(f"SQLite by {driver}", "only Python's own sqlite3 can lock it")
        self.columns: tuple[str, ...] = ()
        self._raw: sqlite3.Connection = session.raw
        self._tables = spellings(checked.tables)
        self._views: set[str] = set()
        self._real: set[str] = {"sqlite_master", "sqlite_schema"}
        self._limits = limits
        self._undo = ExitStack()
        self._cursor: sqlite3.Cursor | None = None
        self._cancelled = False

    def begin(self) -> None:
        """See `Guard.begin`."""
        with _ctrl_c_waits():
            self._begin()

    def _begin(self) -> None:
        raw = self._raw
        self._undo.callback(self._end_own_transaction, raw.in_transaction)
        self._factory()
        self._pragma("busy_timeout", min(_BUSY_MS, self._limits.milliseconds))
        self._learn_names()
        self._lower(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
        self._lower(sqlite3.SQLITE_LIMIT_ATTACHED, 0)  # stops ATTACH and VACUUM INTO
        self._pragma("query_only", 1)
        self._prove("readonly")
        self._callback(raw.set_authorizer, self._authorize)
        self._prove("not authorized")
        self._callback(partial(raw.set_progress_handler, n=_STEPS), self._progress)

    def execute(self, sql: str) -> None:
        """See `Guard.execute`."""
        self._cursor = self._new_cursor()
        self._undo.callback(self._cursor.close)
        self._cursor.execute(sql)
        self.columns = tuple(column[0] for column in self._cursor.description or ())

    def fetch(self, count: int) -> list[tuple[Any, ...]]:
        """See `Guard.fetch`."""
        assert self._cursor is not None
        return self._cursor.fetchmany(count)

    def cancel(self) -> None:
        """See `Guard.cancel`."""
        self._cancelled = True
        self._raw.interrupt()

    def restore(self) -> None:
        """See `Guard.restore`."""
        with _ctrl_c_waits():
            self._undo.close()

    def failure(self, error: Exception) -> Failure:
        """See `Guard.failure`. An interrupt that no timer sent was a Ctrl-C."""
        if str(error) == "interrupted" and not self._cancelled:
            raise KeyboardInterrupt
        return Failure(str(error))

    # ------------------------------------------------------------ changes and their undoing

    def _new_cursor(self) -> sqlite3.Cursor:
        cursor = self._raw.cursor()
        cursor.row_factory = None  # the connection's own stays as it is
        return cursor

    def _one(self, sql: str) -> Any:
        rows = self._rows(sql)
        return rows[0][0] if rows else None

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        cursor = self._new_cursor()
        try:
            return cursor.execute(sql).fetchall()
        finally:
            cursor.close()

    def _learn_names(self) -> None:
        """Which names are views, and which are anything real, in every attached database."""
        for _, database, _ in self._rows("PRAGMA database_list"):
            quoted = '"' + database.replace('"', '""') + '"'
            for kind, name in self._rows(f"SELECT type, lower(name) FROM {quoted}.sqlite_master"):
                self._real.add(str(name))
                if kind == "view":
                    self._views.add(str(name))

    def _factory(self) -> None:
        """Text that is not UTF-8 shows replacement characters; it must not end the query."""
        self._undo.callback(setattr, self._raw, "text_factory", self._raw.text_factory)
        self._raw.text_factory = partial(str, encoding="utf-8", errors="replace")

    def _lower(self, category: int, most: int) -> None:
        before = self._raw.getlimit(category)
        self._undo.callback(self._raw.setlimit, category, before)
        self._raw.setlimit(category, min(before, most))

    def _pragma(self, name: str, value: int) -> None:
        before = self._one(f"PRAGMA {name}")
        self._undo.callback(self._one, f"PRAGMA {name} = {int(before)}")
        new = min(int(before), value) if name == "busy_timeout" else value
        self._one(f"PRAGMA {name} = {new}")

    def _callback(self, setter: Any, ours: Any) -> None:
        """Set a callback that cannot be read back, and find out which one it replaced."""
        before = gc.get_referents(self._raw)
        setter(ours)
        after = gc.get_referents(self._raw)
        lost = [x for x in before if not any(x is y for y in after)]
        self._undo.callback(setter, lost[0] if lost else None)

    def _end_own_transaction(self, was_open: bool) -> None:
        """sqlite3 opens a transaction before a write, also before one that is then refused."""
        if self._raw.in_transaction and not was_open:
            self._raw.rollback()

    # ------------------------------------------------------------ what the engine asks

    def _prove(self, refusal: str) -> None:
        try:
            self._one(_PROBE)
        except sqlite3.DatabaseError as error:
            if refusal in str(error):
                return
        else:
            self._one(_PROBE.replace("CREATE TEMP", "DROP").removesuffix(" (x)"))
        raise unproven("SQLite", "creating a temporary table")

    def _authorize(
        self, action: int, first: str | None, second: str | None, _db: str | None, via: str | None
    ) -> int:
        """Reading the checked tables and calling functions; nothing else at all."""
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            allowed = True
        elif action == sqlite3.SQLITE_READ:
            # `via` is a view, which the engine expands (a checked one, or it would have been
            # refused itself), or merely the name of a CTE, which opens nothing.
            table = lowered(first or "")
            allowed = lowered(via or "") in self._views or self._readable(table, second)
        elif action == sqlite3.SQLITE_UPDATE:
            # How a virtual table declares its columns; a real write needs far more than this.
            allowed = first == "sqlite_master"
        elif action == sqlite3.SQLITE_FUNCTION:
            allowed = (second or "").lower() not in _DENIED_FUNCTIONS
        elif action == sqlite3.SQLITE_PRAGMA:
            allowed = (first or "").lower() in _HARMLESS_PRAGMAS and second is None
        else:
            allowed = False
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    def _readable(self, table: str, column: str | None) -> bool:
        if table in self._tables or table in _TABLE_FUNCTIONS:
            return True
        if table == "sqlite_master" and column == "ROWID":
            return True  # asked beside the declaration above; holds a number
        if not column and table not in self._real:
            return True  # a CTE of which no column is read, as in count(*)
        return any(table.removesuffix(end) in self._tables for end in _SHADOWS if end in table)

    def _progress(self) -> int:
        """Called every few steps, which is when Python sees a Ctrl-C; not 0 stops the query."""
        return int(self._cancelled)


@contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Ctrl-C acts at the end of the block: a change that was half made could not be undone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.SIG_DFL)
    if pressed:
        raise KeyboardInterrupt
