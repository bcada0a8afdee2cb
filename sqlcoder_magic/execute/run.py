"""`run_sql`: from a `CheckedSQL` to a DataFrame, on one screen.

Not here: how an engine is made read-only (its module), and showing the rows (`display/`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Event, Thread
from typing import TYPE_CHECKING

from sqlcoder_magic.connection import Database, Session, open_database
from sqlcoder_magic.errors import (
    LostConnectionError,
    NL2SQLError,
    OptionError,
    QueryTimeoutError,
    RunError,
    Stopped,
)
from sqlcoder_magic.execute.base import Guard, Limits, not_guarded
from sqlcoder_magic.execute.collect import Rows, collect
from sqlcoder_magic.execute.frame import to_frame
from sqlcoder_magic.execute.warehouse_guard import guard_for as warehouse_guard
from sqlcoder_magic.execute.warehouses import WAREHOUSES, unverified_note
from sqlcoder_magic.execute.watch import Outcome, watch
from sqlcoder_magic.types import CheckedSQL

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Result:
    """What a run gave: `truncated` if there was more than the limits let through.

    `seconds` is the whole run, opening and restoring included; `notes` are sentences for the
    user. `frame.attrs` holds `truncated` and `notes` as well.
    """

    frame: pd.DataFrame
    truncated: bool
    seconds: float
    notes: tuple[str, ...] = ()


def run_sql(
    checked: CheckedSQL,
    connection: object,
    *,
    row_limit: int = 10_000,
    timeout_s: float = 30.0,
    byte_limit: int = 256 * 2**20,
    allow_unverified_engine: bool = False,
    max_bytes_billed: int = 10 * 2**30,
) -> pd.DataFrame:
    """The rows of `checked`, read under guard; `frame.attrs["truncated"]` tells of more rows.

    `connection` is anything that `open_database` takes. `allow_unverified_engine` runs on engines
    whose guard has only been tried against a recording driver; `frame.attrs["notes"]` says so.
    `max_bytes_billed` is BigQuery's limit. Raises RunError (EngineNotGuardedError: nothing was
    sent; QueryTimeoutError), Stopped, DatabaseConnectionError, OptionError; and TypeError for
    anything but a `CheckedSQL`.
    """
    return run_sql_result(
        checked,
        connection,
        row_limit=row_limit,
        timeout_s=timeout_s,
        byte_limit=byte_limit,
        allow_unverified_engine=allow_unverified_engine,
        max_bytes_billed=max_bytes_billed,
    ).frame


def run_sql_result(
    checked: CheckedSQL,
    connection: object,
    *,
    row_limit: int = 10_000,
    timeout_s: float = 30.0,
    byte_limit: int = 256 * 2**20,
    allow_unverified_engine: bool = False,
    max_bytes_billed: int = 10 * 2**30,
) -> Result:
    """Like `run_sql`, with what was noticed beside the frame."""
    limits = limits_of(row_limit, byte_limit, timeout_s, max_bytes_billed)
    start = time.monotonic()
    try:
        database, rows = run_guarded(
            checked, connection, limits, unverified=allow_unverified_engine
        )
        frame = to_frame(rows.columns, rows.rows)
    except KeyboardInterrupt:
        raise stopped() from None
    notes = _notes(rows, limits) + unverified_note(database)
    frame.attrs.update(truncated=bool(rows.cut), notes=list(notes))
    return Result(frame, bool(rows.cut), time.monotonic() - start, notes)


def run_guarded(
    checked: CheckedSQL,
    connection: object,
    limits: Limits,
    *,
    unverified: bool = False,
    send: Callable[[str, Guard], None] | None = None,
) -> tuple[Database, Rows]:
    """The rows of what `send` sends (by default the checked text itself), read under guard.

    The one way to a database: `explain_sql` goes through it as well. Raises KeyboardInterrupt
    where Ctrl-C came before the query, and what `run_sql` raises.
    """
    if not isinstance(checked, CheckedSQL):
        raise TypeError("run_sql takes a CheckedSQL, which check_sql(sql, schema) makes.")
    _require_text(checked.sql)
    database = open_database(connection)
    _require_same_dialect(checked, database)
    make_guard = _guard_for(database, unverified)
    with ExitStack() as stack:
        session = stack.enter_context(database.session())
        guard = make_guard(session, checked, limits)
        stop = Event()

        def work() -> Rows:
            try:
                guard.begin()
                if send is None:
                    guard.execute(checked.sql)
                else:
                    send(database.engine_name, guard)
                return collect(guard, limits, stop)
            finally:
                guard.restore()

        # The user's own connection is handed back late rather than while it is still busy.
        patience_s = 1.0 if session.owned else 5.0
        outcome = watch(guard, work, limits.seconds, stop, patience_s)
        if outcome.worker is not None:
            _close_later(outcome.worker, stack.pop_all())
    return database, _rows(outcome, guard, database, limits)


def _close_later(worker: Thread, stack: ExitStack) -> None:
    """The driver has not answered the cancel yet: the session is closed when it does."""

    def close() -> None:
        worker.join()
        stack.close()

    Thread(target=close, name="sqlcoder-magic close", daemon=True).start()


def _guard_for(
    database: Database, unverified: bool
) -> Callable[[Session, CheckedSQL, Limits], Guard]:
    if database.engine_name == "sqlite":
        from sqlcoder_magic.execute.sqlite import SQLiteGuard

        return SQLiteGuard
    if database.engine_name == "postgresql":
        from sqlcoder_magic.execute.postgres import PostgresGuard

        return PostgresGuard
    if database.engine_name == "duckdb":
        from sqlcoder_magic.execute.duckdb import DuckDBGuard

        return DuckDBGuard
    if database.engine_name in ("mysql", "mariadb"):
        from sqlcoder_magic.execute.mysql import MySQLGuard

        return MySQLGuard
    if database.engine_name in WAREHOUSES:
        return warehouse_guard(database.engine_name, allowed=unverified)
    raise not_guarded(database.engine_name, "it has no read-only guard yet")


# ---------------------------------------------------------------- how it ended


def _rows(outcome: Outcome[Rows], guard: Guard, database: Database, limits: Limits) -> Rows:
    """The rows, or the error that says why there are none, without the driver's in its chain."""
    error = outcome.error
    if outcome.stopped:
        raise stopped(left=outcome.worker is not None)
    if outcome.value is not None:
        return outcome.value
    if outcome.late:
        raise _too_late(limits, left=outcome.worker is not None)
    if isinstance(error, guard.errors):
        raise _failed(error, guard, database, limits)
    assert error is not None
    raise error


def _failed(error: Exception, guard: Guard, database: Database, limits: Limits) -> NL2SQLError:
    failure = guard.failure(error)
    if failure.timeout:
        return _too_late(limits)
    lines = [line.strip() for line in database.redact(failure.text).splitlines() if line.strip()]
    said = " ".join(lines[:3])[:500] or type(error).__name__
    if failure.lost:
        return LostConnectionError(
            f"The connection was lost while the query ran: {said}", fix="Connect again."
        )
    return RunError(
        f"{database.engine_name} could not run the query: {said}",
        fix=failure.fix or "The SQL is still shown: mend it in its cell, or ask in other words.",
    )


def stopped(left: bool = False) -> Stopped:
    """What Ctrl-C becomes; `left`: the server has not confirmed it."""
    return Stopped("Stopped: the query was cancelled.", fix=_LEFT if left else "")


def _too_late(limits: Limits, left: bool = False) -> QueryTimeoutError:
    raise_it = "Raise the limit (--timeout SECONDS), or ask for less."
    return QueryTimeoutError(
        f"The query was stopped at the time limit of {limits.seconds:g} s.",
        fix=f"{raise_it} {_LEFT}" if left else raise_it,
    )


_LEFT = "The database has not confirmed it yet; until it does, that connection is busy."


def _notes(rows: Rows, limits: Limits) -> tuple[str, ...]:
    count = len(rows.rows)
    if rows.cut == "rows":
        return (f"First {count:,} of more rows (--limit {limits.rows}).",)
    if rows.cut == "bytes":
        size = f"{limits.bytes / 2**20:,.4g} MiB"
        return (f"First {count:,} of more rows: their values reached the limit of {size}.",)
    return ()


def limits_of(
    row_limit: int, byte_limit: int, timeout_s: float, max_bytes_billed: int = 10 * 2**30
) -> Limits:
    """The limits, each of which there has to be. Raises OptionError."""
    whole = {
        "row_limit": row_limit,
        "byte_limit": byte_limit,
        "max_bytes_billed": max_bytes_billed,
    }
    for name, value in whole.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise OptionError(
                f"{name} cannot be {value!r}.",
                fix=f"{name} is a whole number of at least 1; there is no 'no limit'.",
            )
    good = isinstance(timeout_s, int | float) and not isinstance(timeout_s, bool)
    if not good or not math.isfinite(timeout_s) or not 0 < timeout_s <= 86_400:
        raise OptionError(
            f"timeout_s cannot be {timeout_s!r}.",
            fix="timeout_s is more than 0 and at most 86,400 seconds; there is no 'no limit'.",
        )
    return Limits(row_limit, byte_limit, float(timeout_s), max_bytes_billed)


def _require_text(sql: str) -> None:
    """Half a surrogate pair, or a NUL: what no driver can send, each fails in its own way."""
    if "\0" in sql or any("\ud800" <= letter <= "\udfff" for letter in sql):
        raise RunError(
            "The SQL holds a character that no database takes; nothing was sent.",
            fix="Ask again, or mend the SQL in its cell.",
        )


def _require_same_dialect(checked: CheckedSQL, database: Database) -> None:
    if checked.dialect != database.dialect:
        raise RunError(
            f"This SQL was checked as {checked.dialect}; {database.label} is {database.dialect}.",
            fix="Check it against the schema of the database that it should run on.",
        )
