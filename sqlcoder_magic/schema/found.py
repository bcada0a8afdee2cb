"""What a reader found in a catalogue, and how it becomes a `Schema`.

Readers fill a `Found` in any order; `to_schema` joins the pieces, resolves foreign keys that
leave their target columns out, and drops those whose other table cannot be read. Not covered:
how any engine is asked (one module an engine).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlcoder_magic.types import Column, ForeignKey, Schema, Table

NAMES_IN_A_NOTE = 5

Key = tuple[str, str]  # a table's namespace and name
Reference = tuple[tuple[str, ...], Key, tuple[str, ...]]  # columns, other table, its columns


@dataclass
class Found:
    """The pieces of a catalogue by table; `tables` holds the comments, in the schema's order.

    `kinds` names those that are no plain tables, `rows` the estimates that the catalogue has.
    """

    tables: dict[Key, str] = field(default_factory=dict)
    kinds: dict[Key, str] = field(default_factory=dict)
    rows: dict[Key, int] = field(default_factory=dict)
    columns: dict[Key, list[Column]] = field(default_factory=dict)
    primary_keys: dict[Key, tuple[str, ...]] = field(default_factory=dict)
    unique_keys: dict[Key, list[tuple[str, ...]]] = field(default_factory=dict)
    references: dict[Key, list[Reference]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add_column(self, table: Key, column: Column) -> None:
        """Append a column to a table."""
        self.columns.setdefault(table, []).append(column)

    def add_unique(self, table: Key, columns: Iterable[str]) -> None:
        """Add a unique key."""
        self.unique_keys.setdefault(table, []).append(tuple(columns))

    def add_reference(
        self, table: Key, columns: Iterable[str], other: Key, other_columns: Iterable[str]
    ) -> None:
        """Add a foreign key; no `other_columns` means the other table's primary key."""
        found = (tuple(columns), other, tuple(other_columns))
        self.references.setdefault(table, []).append(found)

    def without_columns(self) -> list[Key]:
        """Take out the tables of which no column is known; they are given back, for a note."""
        empty = [key for key in self.tables if key not in self.columns]
        for key in empty:
            del self.tables[key]
        return empty

    def to_schema(self, dialect: str) -> Schema:
        """The tables with everything that belongs to them."""
        tables = tuple(self._table(key) for key in self.tables)
        return Schema(dialect, tables, tuple(self.notes))

    def _table(self, key: Key) -> Table:
        namespace, name = key
        return Table(
            name=name,
            namespace=namespace,
            columns=tuple(self.columns.get(key, ())),
            primary_key=self.primary_keys.get(key, ()),
            foreign_keys=self._foreign_keys(key),
            comment=self.tables[key],
            kind=self.kinds.get(key, "table"),
            unique_keys=self._unique_keys(key),
            rows=self.rows.get(key),
        )

    def _unique_keys(self, key: Key) -> tuple[tuple[str, ...], ...]:
        known = self.unique_keys.get(key)
        if known is None:
            return ()
        primary = self.primary_keys.get(key)
        return tuple(columns for columns in dict.fromkeys(known) if columns and columns != primary)

    def _foreign_keys(self, key: Key) -> tuple[ForeignKey, ...]:
        kept = []
        for columns, other, other_columns in self.references.get(key, ()):
            targets = other_columns or self.primary_keys.get(other, ())
            if other in self.tables and len(targets) == len(columns):
                name = f"{other[0]}.{other[1]}" if other[0] else other[1]
                kept.append(ForeignKey(columns, name, targets))
        return tuple(dict.fromkeys(kept))


def named(names: Sequence[str]) -> str:
    """The first few names, for a note."""
    shown = ", ".join(names[:NAMES_IN_A_NOTE])
    more = len(names) - NAMES_IN_A_NOTE
    return f"{shown} and {more:,} more" if more > 0 else shown


def plural(number: int, thing: str) -> str:
    """`1 table`, `2 tables`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
