"""How tables hang together: declared foreign keys, read from both ends, and paths along them.

Knows no SQL. A schema that declares no key at all is taken to mean one where a column bears
the name of another table's one-column primary key; a name as bare as `id` says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from sqlcoder_magic.check.names import key as name_key
from sqlcoder_magic.types import Table

_BARE = frozenset({"id", "code", "name", "key", "no", "number", "type", "date", "year"})


@dataclass(frozen=True)
class Key:
    """`columns` of `table` match `other_columns` of `other`, read from `table`'s end.

    `refers` is True where `table` holds the key, so that each of its rows has one of `other`;
    `guessed` where nobody declared it.
    """

    table: Table
    columns: tuple[str, ...]
    other: Table
    other_columns: tuple[str, ...]
    refers: bool = True
    guessed: bool = False

    @property
    def reverse(self) -> Key:
        """The same key from its other end."""
        return Key(
            self.other,
            self.other_columns,
            self.table,
            self.columns,
            refers=not self.refers,
            guessed=self.guessed,
        )


@dataclass(frozen=True)
class Keys:
    """The keys between these tables."""

    tables: tuple[Table, ...]

    @cached_property
    def _by_table(self) -> dict[str, tuple[Key, ...]]:
        found: dict[str, dict[Key, None]] = {}
        for key in self._declared() or self._implied():
            found.setdefault(key.table.full_name, {})[key] = None
            found.setdefault(key.other.full_name, {})[key.reverse] = None
        return {name: tuple(keys) for name, keys in found.items()}

    def _declared(self) -> list[Key]:
        by_name = {table.full_name.lower(): table for table in self.tables}
        return [
            Key(
                table,
                key.columns,
                by_name[key.other_table.lower()],
                key.other_columns,
                guessed=key.guessed,
            )
            for table in self.tables
            for key in table.foreign_keys
            if key.other_table.lower() in by_name and key.other_columns
        ]

    def _implied(self) -> list[Key]:
        owners: dict[str, list[Table]] = {}
        for table in self.tables:
            if len(table.primary_key) == 1 and table.primary_key[0].lower() not in _BARE:
                owners.setdefault(name_key(table.primary_key[0]), []).append(table)
        return [
            Key(table, (column.name,), owner[0], owner[0].primary_key, guessed=True)
            for table in self.tables
            for column in table.columns
            for owner in [owners.get(name_key(column.name), [])]
            if len(owner) == 1 and owner[0] is not table
        ]

    def of(self, table: Table) -> tuple[Key, ...]:
        """The keys of a table, its own and those that refer to it."""
        return self._by_table.get(table.full_name, ())

    def between(self, one: Table, other: Table) -> tuple[Key, ...]:
        """The keys that join these two directly."""
        return tuple(key for key in self.of(one) if key.other.full_name == other.full_name)

    def paths(self, start: Table, goals: Iterable[Table]) -> dict[str, list[tuple[Key, ...]]]:
        """Paths of one key, and where there is none of two, to each goal by its full name.

        Two tables that refer to the same third one are no path: it would pair their rows at
        random.
        """
        wanted = {goal.full_name for goal in goals} - {start.full_name}
        found: dict[str, list[tuple[Key, ...]]] = {}
        for key in self.of(start):
            if key.other.full_name in wanted:
                found.setdefault(key.other.full_name, []).append((key,))
        near = set(found)
        for key in self.of(start):
            if key.other.full_name == start.full_name:
                continue
            for second in self.of(key.other):
                if key.refers and not second.refers:
                    continue
                name = second.other.full_name
                if name in wanted and name not in near:
                    found.setdefault(name, []).append((key, second))
        return found
