"""A catalogue described by a few SELECTs -> `Found`: what the warehouses' readers share.

Every engine's statements give rows of one layout, so that a reader is text alone:

    tables      namespace, name, kind, comment, estimated rows
    columns     namespace, table, name, type, nullable, comment, generated     in their order
    keys        namespace, table, key's name, whether it is the primary key, column    in order
    references  namespace, table, key's name, column, other namespace, other table, its column

A flag may be a boolean, a number or YES/NO. Not covered: what any one engine is asked
(`warehouses`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlcoder_magic.connection import Session
from sqlcoder_magic.schema import inspector
from sqlcoder_magic.schema.enums import enum_values
from sqlcoder_magic.schema.found import Found, Key
from sqlcoder_magic.types import Column

Rows = list[tuple[Any, ...]]


def as_they_come(rows: Rows) -> Rows:
    """Rows that have the layout above already."""
    return rows


@dataclass(frozen=True)
class Statement:
    """One SELECT, or a command whose rows `arrange` brings into the layout."""

    sql: str
    arrange: Callable[[Rows], Rows] = as_they_come


@dataclass(frozen=True)
class Catalogue:
    """What to ask an engine.

    `here` gives the namespace whose tables need none. `{place}` in a statement stands for what
    `place` finds in the connection (BigQuery's dataset); where it finds nothing, the inspector
    reads. `keys`, `references` and `sizes` (namespace, table, rows) may fail, for a note.
    """

    here: str
    tables: str
    columns: str
    keys: tuple[Statement, ...] = ()
    references: Statement | None = None
    sizes: str = ""
    fingerprint: str = ""
    place: Callable[[Session], str] | None = None


def read(session: Session, catalogue: Catalogue) -> Found:
    """What the catalogue tells; the inspector's findings where it does not answer at all."""
    place = catalogue.place(session) if catalogue.place else ""
    if catalogue.place and not place:
        return inspector.read(session)
    found = Found()
    try:
        ((here,),) = session.fetch(catalogue.here.replace("{place}", place))
        _read_tables(session.fetch(catalogue.tables.replace("{place}", place)), here, found)
        _read_columns(session.fetch(catalogue.columns.replace("{place}", place)), here, found)
    except Exception:  # noqa: BLE001 - an older server, or no right to the catalogue
        _calm(session)
        return inspector.read(session)
    found.without_columns()
    for statement in catalogue.keys:
        _read_keys(_optional(session, statement, place, "keys", found), here, found)
    if catalogue.references:
        rows = _optional(session, catalogue.references, place, "foreign keys", found)
        _read_references(rows, here, found)
    if catalogue.sizes:
        for space, table, rows_ in _optional(
            session, Statement(catalogue.sizes), place, "row estimates", found
        ):
            if rows_ is not None and _key(space, table, here) in found.tables:
                found.rows[_key(space, table, here)] = int(rows_)
    return found


def _read_tables(rows: Rows, here: str, found: Found) -> None:
    for space, name, kind, comment, estimate in rows:
        key = _key(space, name, here)
        found.tables[key] = comment or ""
        if kind != "table":
            found.kinds[key] = kind
        if estimate is not None and int(estimate) >= 0 and kind != "view":
            found.rows[key] = int(estimate)


def _read_columns(rows: Rows, here: str, found: Found) -> None:
    for space, table, name, kind, nullable, comment, generated in rows:
        key = _key(space, table, here)
        if key in found.tables:
            values = enum_values(kind)
            made = Column(name, kind, _flag(nullable), comment or "", values, _flag(generated))
            found.add_column(key, made)


def _read_keys(rows: Rows, here: str, found: Found) -> None:
    groups: dict[tuple[Any, ...], list[str]] = {}
    for space, table, name, primary, column in rows:
        groups.setdefault((space, table, name, _flag(primary)), []).append(column)
    for (space, table, _, primary), columns in groups.items():
        key = _key(space, table, here)
        if primary:
            found.primary_keys[key] = tuple(columns)
        else:
            found.add_unique(key, columns)


def _read_references(rows: Rows, here: str, found: Found) -> None:
    groups: dict[tuple[Any, ...], list[tuple[str, str]]] = {}
    for space, table, name, column, other_space, other, other_column in rows:
        group = (space, table, name, other_space, other)
        groups.setdefault(group, []).append((column, other_column))
    for (space, table, _, other_space, other), pairs in groups.items():
        columns, targets = zip(*pairs, strict=True)
        found.add_reference(
            _key(space, table, here), columns, _key(other_space, other, here), targets
        )


def _optional(session: Session, statement: Statement, place: str, what: str, found: Found) -> Rows:
    try:
        return statement.arrange(session.fetch(statement.sql.replace("{place}", place)))
    except Exception as error:  # noqa: BLE001 - each driver has its own kinds
        found.notes.append(f"The {what} could not be read ({type(error).__name__}).")
        _calm(session)
        return []


def _calm(session: Session) -> None:
    """End the transaction that a refused statement has spoiled, if it is ours to end."""
    if session.owned:
        with suppress(Exception):  # a driver without transactions
            session.raw.rollback()


def _key(space: str, name: str, here: str) -> Key:
    return ("" if space == here else space, name)


def _flag(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().upper() in ("YES", "Y", "TRUE", "1", "ALWAYS", "PRIMARY KEY")
    return bool(value)
