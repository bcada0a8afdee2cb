"""Ctrl-C while a schema is read: heard at once, and nothing left running.

Drivers differ: most wait for the server inside a call that a Ctrl-C does not reach, or that it
breaks. So the reading goes on in a thread of its own while this one waits; Ctrl-C cancels the
statement through the driver. SQLite's objects belong to the thread that made them: it reads
here, and `Session.fetch` comes up for air every few thousand rows. Not covered: cancelling on
drivers that offer no way to; their session is closed when they come back by themselves.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Generic, TypeVar

from sqlcoder_magic.connection import Database, Session

T = TypeVar("T")

PATIENCE_S = 1.0  # for the driver to answer the cancel
_POLL_S = 0.2  # how often the waiting thread looks up: Windows hears Ctrl-C only then


@dataclass
class _Outcome(Generic[T]):
    values: list[T] = field(default_factory=list)
    error: BaseException | None = None
    done: Event = field(default_factory=Event)

    def run(self, work: Callable[[], T]) -> None:
        try:
            self.values.append(work())
        except BaseException as error:  # noqa: BLE001 - kept, and raised again by the caller
            self.error = error
        finally:
            self.done.set()


def stoppable(database: Database, session: Session, stack: ExitStack, work: Callable[[], T]) -> T:
    """What `work` gives. `stack` closes the session; a reading that does not end closes it later.

    Raises KeyboardInterrupt, and whatever `work` raises.
    """
    if database.engine_name == "sqlite":
        return work()
    outcome: _Outcome[T] = _Outcome()
    worker = Thread(target=outcome.run, args=(work,), name="sqlcoder-magic schema", daemon=True)
    try:
        worker.start()
        while not outcome.done.wait(_POLL_S):
            pass
    except KeyboardInterrupt:
        _stop(database, session, outcome.done)
        if worker.is_alive() and not outcome.done.is_set():
            _close_later(worker, stack.pop_all())
        raise
    if outcome.error is not None:
        raise outcome.error
    return outcome.values[0]


def _stop(database: Database, session: Session, done: Event) -> None:
    """Cancel, again and again: it can come between two statements and be lost."""
    session.stopped = True
    until = time.monotonic() + PATIENCE_S
    with suppress(KeyboardInterrupt):  # pressed twice: do not wait any longer
        while not done.is_set() and time.monotonic() < until:
            with suppress(Exception):  # each driver has its own kinds; the flag stops it as well
                _cancel(database, session)
            done.wait(_POLL_S)


def _cancel(database: Database, session: Session) -> None:
    for name in ("cancel", "interrupt"):  # psycopg, psycopg2, oracledb; DuckDB
        method = getattr(session.raw, name, None)
        if callable(method):
            method()
            return
    engine = database.any_engine
    if database.dialect == "mysql" and engine is not None:
        with engine.connect() as other:
            other.exec_driver_sql(f"KILL QUERY {int(session.raw.thread_id())}")


def _close_later(worker: Thread, stack: ExitStack) -> None:
    def close() -> None:
        worker.join()
        stack.close()

    Thread(target=close, name="sqlcoder-magic close", daemon=True).start()
