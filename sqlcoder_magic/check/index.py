"""A `Schema`, made quick to look up: tables by name as the dialect folds it, columns likewise.

Covers folding, default namespaces, system columns and one index kept per `Schema` object.
Does not read a database, and does not decide what a query may do with a table.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from string import ascii_lowercase, ascii_uppercase

from sqlcoder_magic.check.names import nearest
from sqlcoder_magic.check.repair_keys import Keys
from sqlcoder_magic.types import Schema, Table

# Where a table whose namespace is empty may also be found by its qualified name.
DEFAULT_NAMESPACE = {
    "sqlite": "main",
    "duckdb": "main",
    "postgres": "public",
    "redshift": "public",
    "tsql": "dbo",
    "spark": "default",
    "databricks": "default",
}
# Columns that every table has and no schema lists; `*` leaves them out.
SYSTEM_COLUMNS = {
    "sqlite": frozenset({"rowid", "oid", "_rowid_"}),
    "duckdb": frozenset({"rowid"}),
    "postgres": frozenset({"ctid"}),
    "oracle": frozenset({"rowid", "rownum"}),
}

_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


def fold(name: str, quoted: bool, dialect: str) -> str:
    """The spelling under which `dialect` looks a written name up.

    PostgreSQL keeps quoted names and lowers the others; the other engines are taken not to see
    case. A to Z alone: beyond them no two engines agree, and "Ärger" would hide the table "ärger".
    """
    if dialect == "postgres" and quoted:
        return name
    return name.lower() if name.isascii() else name.translate(_LOWER)


@dataclass
class SchemaIndex:
    """The tables and columns of one schema by folded name; see `index_of`."""

    dialect: str
    tables: tuple[Table, ...]
    _by_name: dict[tuple[str, str], Table] = field(default_factory=dict)
    _columns: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        default = DEFAULT_NAMESPACE.get(self.dialect)
        for table in self.tables:
            name = self._key(table.name)
            self._by_name.setdefault((self._key(table.namespace), name), table)
        if default is not None:
            for (namespace, name), table in list(self._by_name.items()):
                if not namespace:
                    self._by_name.setdefault((default, name), table)

    def _key(self, real_name: str) -> str:
        return fold(real_name, quoted=True, dialect=self.dialect)

    def table(self, namespace: str, name: str) -> Table | None:
        """The table of these folded names; `namespace` is empty where none was written."""
        return self._by_name.get((namespace, name))

    def columns(self, table: Table) -> Mapping[str, str] | None:
        """Folded name -> name of its columns, in order; None if they could not be read."""
        if not table.columns:
            return None
        found = self._columns.get(table.full_name)
        if found is None:
            found = {self._key(column.name): column.name for column in table.columns}
            self._columns[table.full_name] = found
        return found

    @cached_property
    def types(self) -> frozenset[str]:
        """The types of its columns: names in lower case, without lengths, arrays and schemas."""
        spelled = {column.type.lower() for table in self.tables for column in table.columns}
        names = (re.split(r"[(\[]", text)[0].strip() for text in spelled)
        return frozenset(name.rpartition(".")[2].strip('"') for name in names)

    @cached_property
    def keys(self) -> Keys:
        """How its tables hang together."""
        return Keys(self.tables)

    def nearest_tables(self, name: str) -> tuple[str, ...]:
        """Full names of the tables whose names are most like `name`."""
        full_names: dict[str, list[str]] = {}
        for table in self.tables:
            full_names.setdefault(table.name, []).append(table.full_name)
        near = nearest(name, full_names)
        return tuple(full for short in near for full in full_names[short])[:3]

    def owners(self, column: str) -> Iterator[Table]:
        """The tables that have a column of this name, whatever its case."""
        wanted = column.lower()
        for table in self.tables:
            if any(own.name.lower() == wanted for own in table.columns):
                yield table


_INDEXES: dict[int, SchemaIndex] = {}


def index_of(schema: Schema) -> SchemaIndex:
    """The index of this very object, built at first use and dropped with it.

    By identity, because comparing or hashing ten thousand tables costs more than a check.
    """
    index = _INDEXES.get(id(schema))
    if index is None:
        index = SchemaIndex(schema.dialect, schema.tables)
        _INDEXES[id(schema)] = index
        weakref.finalize(schema, _INDEXES.pop, id(schema), None)
    return index
