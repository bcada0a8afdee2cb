"""The guard that does what `warehouses.py` says: one for DB-API drivers, one for BigQuery.

It works on a connection of its own, which is taken out of the user's pool and closed at the end:
nothing that was set on it can be left behind. A connection that the user passed, or a pool of a
single one, is refused. Not covered: any real server; see `warehouses.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, TypeVar

from sqlcoder_magic.connection import Session
from sqlcoder_magic.errors import NL2SQLError, TooCostlyError
from sqlcoder_magic.execute.base import Failure, Guard, Limits, not_guarded, unproven
from sqlcoder_magic.execute.warehouses import TAG, WAREHOUSES, Warehouse, locked
from sqlcoder_magic.types import CheckedSQL

T = TypeVar("T")
MakeGuard = Callable[[Session, CheckedSQL, Limits], Guard]

_TIME_IS_UP = re.compile(r"time[- ]?out|timed out|time limit|TIME_LIMIT|HYT00|DPY-4024", re.I)


class DriverError(Exception):
    """Whatever a driver raised: these have no base class in common."""


def guard_for(engine_name: str, *, allowed: bool) -> MakeGuard:
    """The guard of an engine in `WAREHOUSES`. Raises EngineNotGuardedError unless `allowed`."""
    known = WAREHOUSES[engine_name]
    if not allowed:
        raise locked(known)
    kind: type[WarehouseGuard] = BigQueryGuard if known.cancel == "job" else WarehouseGuard
    return lambda session, checked, limits: kind(known, session, limits)


class WarehouseGuard:
    """One run on a DB-API connection that is ours alone."""

    threaded = True
    errors: tuple[type[Exception], ...] = (DriverError,)

    def __init__(self, known: Warehouse, session: Session, limits: Limits) -> None:
        driver = type(session.raw).__module__.split(".")[0]
        if driver not in known.drivers:
            raise not_guarded(
                f"{known.name} by {driver}", f"only {' or '.join(known.drivers)} was looked at"
            )
        if not session.owned or session.alchemy is None:
            raise not_guarded(
                known.name,
                "this connection is the only one, and what the guard sets on it would stay",
                fix="Pass its engine or URL, so that a connection can be opened for the run.",
            )
        self.columns: tuple[str, ...] = ()
        self._known = known
        self._raw = session.raw
        self._engine = session.alchemy.engine
        self._slots = {
            "seconds": max(1, round(limits.seconds)),
            "milliseconds": limits.milliseconds,
        }
        self._limits = limits
        self._cursor: Any = None
        self._session = ""
        self._running = True
        session.alchemy.detach()  # closed at the end instead of going back into the pool

    def begin(self) -> None:
        """See `Guard.begin`. Without a probe nothing is proved, which the user's note says."""
        known = self._known
        for name, value in known.attributes:
            self._call(setattr, self._raw, name, self._number(value))
        self._cursor = self._call(self._raw.cursor)
        if hasattr(self._cursor, "paramstyle"):  # redshift_connector: a `%` has to stay a `%`
            self._cursor.paramstyle = "qmark"
        if known.whoami:
            self._do(known.whoami)
            self._session = str(int(self._call(self._cursor.fetchone)[0]))
        for statement in known.before:
            self._do(statement)
        if known.probe:
            self._prove()

    def execute(self, sql: str) -> None:
        """See `Guard.execute`."""
        self._call(self._cursor.execute, sql)

    def explain(self, sql: str) -> None:
        """Like `execute`, for the plan alone."""
        for statement in self._known.explain_first:
            self._do(statement)
        self.execute(self._known.explain + sql)

    def fetch(self, count: int) -> list[tuple[Any, ...]]:
        """See `Guard.fetch`."""
        rows = self._call(self._cursor.fetchmany, count)
        self.columns = tuple(str(column[0]) for column in self._cursor.description or ())
        return [tuple(row) for row in rows]

    def cancel(self) -> None:
        """See `Guard.cancel`. Where it fails the user is told that nothing was confirmed."""
        if not self._running or self._cursor is None:
            return
        with suppress(DriverError):
            if self._known.cancel == "cursor":
                self._call(self._cursor.cancel)
            elif self._known.cancel == "connection":
                self._call(self._raw.cancel)
            elif self._session:
                self._call(self._cancel_from_outside)

    def restore(self) -> None:
        """See `Guard.restore`. The session is closed next; this only ends what is open."""
        self._running = False
        for statement in self._known.after if self._cursor is not None else ():
            try:
                self._do(statement)
            except DriverError:
                return  # the server is gone, or the statement was cancelled: closing rolls back

    def failure(self, error: Exception) -> Failure:
        """See `Guard.failure`."""
        return Failure(str(error), timeout=bool(_TIME_IS_UP.search(str(error))))

    # ------------------------------------------------------------ statements

    def _do(self, statement: str) -> None:
        self._call(self._cursor.execute, self._filled(statement))

    def _filled(self, text: str) -> str:
        return text.format(session=self._session, **self._slots) if "{" in text else text

    def _number(self, value: object) -> object:
        return int(self._filled(value)) if isinstance(value, str) and "{" in value else value

    def _call(self, call: Callable[..., T], *values: Any) -> T:
        try:
            return call(*values)
        except NL2SQLError:
            raise
        except Exception as error:
            raise DriverError(str(error) or type(error).__name__) from error

    def _prove(self) -> None:
        try:
            self._do(self._known.probe)
        except DriverError as error:
            if self._known.refusal not in str(error):
                raise unproven(self._known.name, "a write as read-only") from None
        else:
            raise unproven(self._known.name, "a write")
        for statement in self._known.again:
            self._do(statement)

    def _cancel_from_outside(self) -> None:
        other = self._engine.raw_connection()
        try:
            other.cursor().execute(self._filled(self._known.cancel))
        finally:
            other.close()


class BigQueryGuard(WarehouseGuard):
    """One job. The dry run says what the statement is and how much it would read."""

    def begin(self) -> None:
        """See `Guard.begin`. What the statement is can only be asked when it is there."""
        self._client = self._raw._client
        self._job: Any = None
        self._rows: Iterator[tuple[Any, ...]] = iter(())

    def execute(self, sql: str) -> None:
        """See `Guard.execute`. Raises TooCostlyError, EngineNotGuardedError."""
        expected = self._dry_run(sql)
        if expected > self._limits.billed:
            raise TooCostlyError(
                f"BigQuery would read {expected:,} bytes; the limit is {self._limits.billed:,}.",
                fix="Ask for less, or raise it: %config NL2SQL.max_bytes_billed = BYTES.",
            )
        self._job = self._query(
            sql,
            maximum_bytes_billed=self._limits.billed,
            job_timeout_ms=self._limits.milliseconds,
            labels={"application": TAG},
        )
        rows = self._call(self._job.result)
        self.columns = tuple(str(field.name) for field in rows.schema)
        self._rows = (tuple(row.values()) for row in rows)

    def explain(self, sql: str) -> None:
        """The bytes that the query would read, as its only row."""
        self.columns = ("bytes",)
        self._rows = iter([(self._dry_run(sql),)])

    def fetch(self, count: int) -> list[tuple[Any, ...]]:
        """See `Guard.fetch`."""
        return self._call(list, islice(self._rows, count))

    def cancel(self) -> None:
        """See `Guard.cancel`."""
        if self._running and getattr(self, "_job", None) is not None:
            with suppress(DriverError):
                self._call(self._job.cancel)

    def restore(self) -> None:
        """See `Guard.restore`. A job leaves no session behind."""
        self._running = False

    def _dry_run(self, sql: str) -> int:
        job = self._query(sql, dry_run=True, use_query_cache=False)
        if job.statement_type != "SELECT":
            raise not_guarded(
                "BigQuery", f"its dry run calls this {job.statement_type}, not SELECT"
            )
        return int(job.total_bytes_processed)

    def _query(self, sql: str, **options: Any) -> Any:
        from google.cloud.bigquery import QueryJobConfig  # type: ignore[import-not-found]

        config = QueryJobConfig(use_legacy_sql=False, **options)
        return self._call(lambda: self._client.query(sql, job_config=config))
