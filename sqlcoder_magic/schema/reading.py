"""`read_schema`: a connection -> `Schema`, from the cache if the database has not changed.

Covers: choosing the reader, the cache's fingerprint, the tables that a user names, errors as
sentences. Not covered: what any one engine is asked (a module each) and choosing tables by
question (`selection`).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlcoder_magic.connection import Database, Session, open_database
from sqlcoder_magic.errors import (
    LostConnectionError,
    NL2SQLError,
    OptionError,
    SchemaError,
    Stopped,
)
from sqlcoder_magic.schema import (
    cache,
    catalogues,
    disk,
    duckdb,
    inspector,
    mysql,
    postgres,
    samples,
    sqlite,
)
from sqlcoder_magic.schema.found import Found, named
from sqlcoder_magic.schema.quiet import undisturbed
from sqlcoder_magic.schema.stoppable import stoppable
from sqlcoder_magic.schema.warehouses import CATALOGUES
from sqlcoder_magic.types import Schema, Table

# Under these a user may know a table whose plain name is enough.
_USUAL_NAMESPACES = frozenset({"main", "temp", "public", "dbo"})


@dataclass(frozen=True)
class Reader:
    """How one engine's catalogue is read; without `fingerprint` its changes go unnoticed.

    `glance` is cheaper than the fingerprint: if it sees what it saw before, nothing can have
    changed; if not, or if it is None, the fingerprint decides.
    """

    read: Callable[[Session], Found]
    fingerprint: Callable[[Session], str] | None = None
    glance: Callable[[Session], Any] | None = None


_READERS = {
    "sqlite": Reader(sqlite.read, sqlite.fingerprint, sqlite.glance),
    "duckdb": Reader(duckdb.read, duckdb.fingerprint, duckdb.glance),
    "postgresql": Reader(postgres.read, postgres.fingerprint),
    "mysql": Reader(mysql.read, mysql.fingerprint, mysql.glance),
    "mariadb": Reader(mysql.read, mysql.fingerprint, mysql.glance),
}
_ANY_OTHER = Reader(inspector.read)


def _reader_for(engine_name: str) -> Reader:
    catalogue = CATALOGUES.get(engine_name)
    if catalogue is None or engine_name in _READERS:
        return _READERS.get(engine_name, _ANY_OTHER)

    def fingerprint(session: Session) -> str:
        return repr(session.fetch(catalogue.fingerprint))

    return Reader(
        lambda session: catalogues.read(session, catalogue),
        fingerprint if catalogue.fingerprint else None,
    )


def read_schema(
    connection: object,
    *,
    tables: Sequence[str] | None = None,
    samples_per_column: int = 0,
    refresh: bool = False,
    on_disk: bool = False,
) -> Schema:
    """The tables of a database, as they are now.

    `tables` keeps those named (any case, if that is unambiguous; `namespace.name` too).
    `samples_per_column` (0 to 3) adds values of text columns. `refresh` reads anew even if
    nothing seems to have changed. `on_disk` keeps what was read for later sessions (`disk`).
    Raises SchemaError if there is nothing to read or it cannot be read, OptionError for an
    unknown table, Stopped on Ctrl-C, and what `open_database` raises.
    """
    if not 0 <= samples_per_column <= 3:
        raise OptionError("samples_per_column must be 0, 1, 2 or 3.", fix="Give one of these.")
    database = open_database(connection)
    if refresh:
        _forget(database)
    session: Session | None = None
    problem: NL2SQLError
    try:
        with ExitStack() as stack:
            session = lent = stack.enter_context(_session(database))
            stack.enter_context(undisturbed(lent))

            def work() -> Schema:
                entry = _current(database, lent, on_disk=on_disk)
                return _chosen(database, lent, entry, tables, samples_per_column)

            return stoppable(database, lent, stack, work)
    except NL2SQLError:
        raise
    except KeyboardInterrupt:
        problem = Stopped("Stopped while the schema was being read; nothing was changed.")
    except Exception as error:  # noqa: BLE001 - whatever the driver raises becomes a sentence
        problem = _sentence(error, database, session)
    raise problem  # outside the handler: the driver's error, chained, could hold a secret


def refresh_schema(connection: object = None) -> None:
    """Forget what was read through this connection, or through all (`None`)."""
    _forget(None if connection is None else open_database(connection))


def doubt_schema(connection: object) -> None:
    """Forget what was read through this connection if its engine cannot tell of changes."""
    entry = cache.get(database := open_database(connection))
    if entry is not None and entry.fingerprint is None:
        cache.drop(database)


def schema_age_s(connection: object) -> float | None:
    """Seconds since this connection's schema was read; None if it was not."""
    entry = cache.get(open_database(connection))
    return None if entry is None else entry.age_s


def choose_tables(schema: Schema, names: Sequence[str]) -> tuple[Table, ...]:
    """The tables that a user named, each once, in the schema's order."""
    chosen = {_table_called(name.strip(), schema).full_name for name in names if name.strip()}
    return tuple(table for table in schema.tables if table.full_name in chosen)


def _forget(database: Database | None) -> None:
    cache.drop(database)
    if database is not None:
        disk.drop(database)


@contextmanager
def _session(database: Database) -> Iterator[Session]:
    """A session; on a native DuckDB connection it is that one itself, if that is free."""
    raw = duckdb.within(database.native) if database.native is not None else None
    if raw is not None:
        yield Session(raw, owned=False)
        return
    with database.session() as session:
        yield session


def _chosen(
    database: Database,
    session: Session,
    entry: cache.Entry,
    tables: Sequence[str] | None,
    per_column: int,
) -> Schema:
    schema = entry.schema
    if not schema.tables:
        raise _no_tables(database, schema)
    if tables is not None:
        schema = replace(schema, tables=choose_tables(schema, tables))
    if per_column:
        schema = samples.with_samples(database, session, schema, per_column, entry.samples)
    return schema


def _current(database: Database, session: Session, *, on_disk: bool) -> cache.Entry:
    """What was read last if nothing has changed since. What is looked at first is kept, so that
    a change during the reading is noticed the next time."""
    reader = _reader_for(database.engine_name)
    entry = cache.get(database)
    glance = reader.glance(session) if reader.glance else None
    if entry is not None and glance is not None and glance == entry.glance:
        return entry
    fingerprint = reader.fingerprint(session) if reader.fingerprint else None
    if entry is not None and entry.is_current(fingerprint):
        entry.glance = glance
        return entry
    schema, note = disk.load(database, fingerprint) if on_disk else (None, "")
    found = schema or reader.read(session).to_schema(database.dialect)
    entry = cache.Entry(found, fingerprint, glance)
    if on_disk and schema is None:
        disk.save(database, entry)
    if note:
        entry.schema = replace(found, notes=(*found.notes, note))
    cache.put(database, entry)
    return entry


def _table_called(name: str, schema: Schema) -> Table:
    for spelling in (name, _without_quotes(name)):
        exact = [t for t in schema.tables if spelling == t.full_name]
        if exact:
            return exact[0]
        folded = spelling.casefold()
        alike = [t for t in schema.tables if folded == t.full_name.casefold()]
        alike = alike or [t for t in schema.tables if folded == t.name.casefold()]
        space, _, plain = folded.partition(".")
        if not alike and space in _USUAL_NAMESPACES:
            alike = [t for t in schema.tables if not t.namespace and plain == t.name.casefold()]
        if len(alike) == 1:
            return alike[0]
        if alike:
            found = named([t.full_name for t in alike])
            raise OptionError(f"{name!r} could be {found}.", fix="Write one of these in full.")
    known = {t.full_name.casefold(): t.full_name for t in reversed(schema.tables)}
    known.update({t.name.casefold(): t.full_name for t in reversed(schema.tables)})
    near = difflib.get_close_matches(name.casefold(), list(known), n=3, cutoff=0.5)
    nearest = list(dict.fromkeys(known[n] for n in near)) or [t.full_name for t in schema.tables]
    raise OptionError(
        f"There is no table or view called {name!r}.",
        fix=f"{'Nearest' if near else 'There are'}: {named(nearest)}.",
    )


def _without_quotes(name: str) -> str:
    marks = {'"': '"', "`": "`", "[": "]"}
    if len(name) > 1 and marks.get(name[0]) == name[-1]:
        return name[1:-1].replace(name[-1] * 2, name[-1])
    return name


def _no_tables(database: Database, schema: Schema) -> SchemaError:
    seen = " ".join(schema.notes)
    first = "Ask for the right to read them" if seen else "Create or load some first"
    return SchemaError(
        f"{database.label} has no tables that can be read.{' ' + seen if seen else ''}",
        fix=f"{first}, or connect to another database "
        "(`%sqlcoder connect sample` is a sample shop).",
    )


def _sentence(error: Exception, database: Database, session: Session | None) -> NL2SQLError:
    original = getattr(error, "orig", None) or error
    lines = database.redact(str(original)).strip().splitlines()
    what = " ".join(lines[:3]) or type(original).__name__
    alchemy = session.alchemy if session is not None else None
    raw = session.raw if session is not None else None
    if alchemy is not None and alchemy.dialect.is_disconnect(original, raw, None):  # type: ignore[arg-type]
        return LostConnectionError(
            f"The connection to {database.label} was lost: {what}",
            fix="Check that the server runs, then ask again or connect again.",
        )
    return SchemaError(
        f"The schema of {database.label} cannot be read: {what}",
        fix=_how_to_read(what),
    )


def _how_to_read(what: str) -> str:
    if "not a database" in what:  # SQLite
        return "Check the path: it names another kind of file."
    if "locked" in what:
        return "Wait until the program that writes to it is done, then ask again."
    return "Check that this user may read the catalogue, then ask again."
