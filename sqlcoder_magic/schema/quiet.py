"""Reading without leaving a trace in the session that the user lent.

`undisturbed` wraps a reading; `attempt` runs one statement that may fail. On PostgreSQL a
failed statement spoils the whole transaction, so both work with savepoints there. Not covered:
locks and limits of a run (`execute/`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlcoder_magic.connection import Session
from sqlcoder_magic.errors import SchemaError

# libpq's states of a connection, as psycopg and psycopg2 give them.
_IDLE, _IN_TRANSACTION, _FAILED = 0, 2, 3


@contextmanager
def undisturbed(session: Session) -> Iterator[None]:
    """Leave the session as it was. A transaction of ours is ended by its pool."""
    with _plain_text(session.raw):
        if session.owned:
            yield
        else:
            with _same_transaction(session):
                yield


@contextmanager
def _same_transaction(session: Session) -> Iterator[None]:
    state = _state(session.raw)
    if state == _FAILED:
        raise SchemaError(
            "The connection is in a failed transaction, in which nothing can be read.",
            fix="Roll back first: `connection.rollback()` (nothing was rolled back for you).",
        )
    if state == _IN_TRANSACTION and _has_savepoints(session):
        with _savepoint(session, "sqlcoder_magic_schema"):
            yield
        return
    alchemy = session.alchemy
    untouched = alchemy is not None and not alchemy.in_transaction()
    try:
        yield
    finally:
        if alchemy is not None and untouched and alchemy.in_transaction():
            alchemy.rollback()  # SQLAlchemy's inspector began a transaction
        elif state == _IDLE or (state is None and untouched and _begins_by_itself(session)):
            session.raw.rollback()


def attempt(session: Session, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a statement that may fail without spoiling the transaction around it."""
    raw = session.raw
    if _state(raw) is None or (_state(raw) == _IDLE and getattr(raw, "autocommit", False)):
        return session.fetch(sql)
    with _savepoint(session, "sqlcoder_magic_attempt"):
        return session.fetch(sql)


@contextmanager
def _plain_text(raw: Any) -> Iterator[None]:
    """SQLite's text as str meanwhile, whatever the user set, and broken UTF-8 with it."""
    if not hasattr(raw, "text_factory"):
        yield
        return
    before = raw.text_factory
    raw.text_factory = lambda data: data.decode("utf-8", "replace")
    try:
        yield
    finally:
        raw.text_factory = before


@contextmanager
def _savepoint(session: Session, name: str) -> Iterator[None]:
    _execute(session.raw, f"SAVEPOINT {name}")
    try:
        yield
    except BaseException:
        _execute(session.raw, f"ROLLBACK TO SAVEPOINT {name}")
        raise
    finally:
        _execute(session.raw, f"RELEASE SAVEPOINT {name}")


def _execute(raw: Any, sql: str) -> None:
    cursor = raw.cursor()
    try:
        cursor.execute(sql)
    finally:
        cursor.close()


def _state(raw: Any) -> int | None:
    """PostgreSQL's state of the transaction; None for other drivers."""
    state = getattr(getattr(raw, "info", None), "transaction_status", None)
    return None if state is None else int(state)


def _has_savepoints(session: Session) -> bool:
    """Redshift speaks PostgreSQL's protocol without them."""
    return session.alchemy is None or session.alchemy.dialect.name != "redshift"


def _begins_by_itself(session: Session) -> bool:
    """True if the driver opens a transaction for a SELECT, as the DB-API says it should."""
    alchemy = session.alchemy
    return alchemy is not None and alchemy.dialect.name not in ("sqlite", "duckdb")
