"""PostgreSQL, by psycopg 3: a read-only transaction, time limits, a server-side cursor.

The text is sent as `DECLARE … CURSOR FOR <text>` by the extended protocol. That protocol takes
one statement only, and a cursor takes only a query (no INSERT … RETURNING in a CTE, no SELECT
INTO, no COMMIT): two refusals by the server itself, before the read-only transaction is asked.
EXPLAIN, which no cursor takes, is sent alone, by the same protocol.

On a session of ours everything happens in one transaction that is rolled back; in the user's
own open transaction, below a savepoint that is rolled back to, which also undoes SET LOCAL.

Not covered: what a read-only transaction lets through (advisory locks, NOTIFY, for a superuser
reading files and ending sessions): those are functions, and the check refuses them.
"""

from __future__ import annotations

import re
from threading import Lock
from typing import Any

from sqlcoder_magic.connection import Session
from sqlcoder_magic.errors import LostConnectionError, RunError
from sqlcoder_magic.execute.base import COMMENTS, Failure, Limits, not_guarded, unproven
from sqlcoder_magic.types import CheckedSQL

_DECLARE = 'DECLARE "nl2sql rows" NO SCROLL CURSOR FOR '
_PROBE = "CREATE TABLE pg_temp.nl2sql_preflight ()"
_LOCK_WAIT_MS = 5000
_READ_ONLY_ERROR, _CANCELED, _LOST = "25006", "57014", ("08", "57P")  # SQLSTATEs
# What PostgreSQL can hold and Python cannot (infinity, 44 BC, 24:00) is kept as its text.
_BEYOND_PYTHON = ("date", "time", "timetz", "timestamp", "timestamptz", "interval")
_EXPLAIN = re.compile(COMMENTS + r"explain\b", re.I | re.S)


class PostgresGuard:
    """One run on a `psycopg.Connection`."""

    threaded = True

    def __init__(self, session: Session, checked: CheckedSQL, limits: Limits) -> None:
        if type(session.raw).__module__.split(".")[0] != "psycopg":
            driver = type(session.raw).__module__.split(".")[0]
            raise not_guarded(
                f"PostgreSQL by {driver}",
                "only psycopg 3 can send a text as one single statement",
                fix='%pip install "psycopg[binary]" and connect with postgresql+psycopg://…',
            )
        import psycopg

        self.errors: tuple[type[Exception], ...] = (psycopg.Error, UnicodeError, ValueError)
        self.columns: tuple[str, ...] = ()
        self._session = session
        self._raw: psycopg.Connection[Any] = session.raw
        self._limits = limits
        self._cursor = _tolerant_cursor(self._raw)
        self._undo: tuple[str, ...] = ()
        self._fetch_by = ""
        self._lock = Lock()
        self._running = True

    def begin(self) -> None:
        """See `Guard.begin`. Raises RunError in a failed transaction, which only rolls back."""
        from psycopg.pq import TransactionStatus as Status

        status = self._raw.info.transaction_status
        if status == Status.INTRANS:
            self._do("SAVEPOINT nl2sql_guard")
            self._undo = ("ROLLBACK TO SAVEPOINT nl2sql_guard", "RELEASE SAVEPOINT nl2sql_guard")
        elif status == Status.IDLE:
            self._undo = ("ROLLBACK",)
            if self._raw.autocommit:  # otherwise psycopg begins by itself
                self._do("BEGIN")
        else:
            raise _not_ready(status == Status.INERROR)
        # Idle time is ours alone: a kernel that dies holding this must not hold it for long.
        time_ms = self._limits.milliseconds
        self._do("SET LOCAL transaction_read_only = on")
        self._do(f"SET LOCAL statement_timeout = {time_ms}")
        self._do(f"SET LOCAL lock_timeout = {min(time_ms, _LOCK_WAIT_MS)}")
        self._do(f"SET LOCAL idle_in_transaction_session_timeout = {time_ms + 60_000}")
        self._do("SELECT 1")  # from the first query on, nothing makes it writable again
        self._prove()

    def execute(self, sql: str) -> None:
        """See `Guard.execute`."""
        if _EXPLAIN.match(sql):
            self._send(sql)
        else:
            self._send(_DECLARE + sql)
            self._fetch_by = 'FETCH FORWARD {} FROM "nl2sql rows"'

    def fetch(self, count: int) -> list[tuple[Any, ...]]:
        """See `Guard.fetch`."""
        if self._fetch_by:
            self._do(self._fetch_by.format(count))
        self.columns = tuple(column.name for column in self._cursor.description or ())
        rows: list[tuple[Any, ...]] = self._cursor.fetchmany(count)
        return rows

    def cancel(self) -> None:
        """See `Guard.cancel`. Sent by a connection of its own, which libpq opens."""
        with self._lock:
            if self._running:
                self._raw.cancel_safe(timeout=1.0)

    def restore(self) -> None:
        """See `Guard.restore`."""
        with self._lock:
            self._running = False
        import psycopg

        # A cancel may arrive late and hit the first attempt; the savepoint survives that.
        for attempt in (1, 2):
            try:
                for statement in self._undo if not self._raw.closed else ():
                    self._do(statement)
                break
            except psycopg.errors.QueryCanceled:
                if attempt == 2:
                    raise
        if self._raw.closed and self._session.owned and self._session.alchemy is not None:
            self._session.alchemy.invalidate()

    def failure(self, error: Exception) -> Failure:
        """See `Guard.failure`."""
        import psycopg

        if not isinstance(error, psycopg.Error):
            return Failure(str(error))
        diagnosis = error.diag
        parts = (diagnosis.message_primary or str(error), diagnosis.message_hint)
        text = "\n".join(part for part in parts if part)
        state = error.sqlstate or ""
        lost = state.startswith(_LOST) or (
            not state and isinstance(error, psycopg.OperationalError)
        )
        return Failure(text, timeout=state == _CANCELED, lost=lost)

    # ------------------------------------------------------------ statements

    def _do(self, sql: str) -> None:
        """A statement of this package. Never prepared: it would stay in the user's session."""
        self._cursor.execute(sql.encode(), prepare=False)

    def _send(self, sql: str) -> None:
        """A model's text. Asking for binary results is how psycopg 3 is made to use the extended
        protocol, which refuses a second statement; without parameters a `%` stays a `%`."""
        self._cursor.execute(sql.encode(self._raw.info.encoding), prepare=False, binary=True)

    def _prove(self) -> None:
        import psycopg

        self._do("SAVEPOINT nl2sql_preflight")
        try:
            self._do(_PROBE)
        except psycopg.Error as error:
            refused = error.sqlstate == _READ_ONLY_ERROR
        else:
            refused = False
        self._do("ROLLBACK TO SAVEPOINT nl2sql_preflight")
        self._do("SHOW transaction_read_only")
        if not refused or self._cursor.fetchone() != ("on",):
            raise unproven("PostgreSQL", "creating a temporary table")


def _not_ready(failed: bool) -> RunError | LostConnectionError:
    if failed:
        return RunError(
            "The connection's open transaction has failed, so it runs nothing more.",
            fix="Roll back first (connection.rollback()), then ask again.",
        )
    return LostConnectionError(
        "The connection is closed, or still busy with another query.", fix="Connect again."
    )


def _tolerant_cursor(raw: Any) -> Any:
    """A cursor of tuples, whatever the connection's own factories, that no value can break."""
    import psycopg
    from psycopg.rows import tuple_row

    cursor = psycopg.Cursor(raw, row_factory=tuple_row)
    for name in _BEYOND_PYTHON:
        kind = psycopg.adapters.types[name].oid
        loader = cursor.adapters.get_loader(kind, psycopg.pq.Format.TEXT)
        if loader is not None:
            cursor.adapters.register_loader(kind, _or_text(loader))
    return cursor


def _or_text(loader: Any) -> Any:
    """A loader that gives the value's text where `loader` cannot."""
    import psycopg
    from psycopg.adapt import Loader

    class OrText(Loader):
        def __init__(self, oid: int, context: Any = None) -> None:
            super().__init__(oid, context)
            self._inner = loader(oid, context)

        def load(self, data: Any) -> Any:
            try:
                return self._inner.load(data)
            except (psycopg.Error, ValueError, OverflowError):
                return bytes(data).decode()

    return OrText
