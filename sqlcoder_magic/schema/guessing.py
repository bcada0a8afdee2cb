"""Joins that nobody declared, guessed from names and types: `orders.customer_id` → `customers.id`.

Precision comes first: a wrong hint makes a model join what does not belong together. A guess
needs a column whose name says which table it means and which kind of key (`customer_id`,
`dept_code`), a key of that table (primary, unique, or in a table without any key the column that
is called like one), types of one family, and no second table that would do as well. What is
declared is kept, and such a column is not guessed about. Not covered: compound keys, a table's
reference to itself, and names that share no word with what they mean.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from sqlcoder_magic.schema.found import named
from sqlcoder_magic.schema.words import stem, words
from sqlcoder_magic.types import Column, ForeignKey, Schema, Table

Words = tuple[str, ...]

# The last word of a name that refers to a row.
_REFERS = frozenset(map(stem, "id code key number nr uuid guid identifier fk pk sk".split()))
_ENDS_OF_REFERRING = ("id", "key", "code", "nr", "no")  # of a name in one piece: `stuid`
_LEAST_OF_REFERRING = 4  # characters of such a name
_TABLE_PREFIXES = frozenset({"tbl", "tb", "t", "dim", "fact", "stg", "ref", "lookup", "lkp", "the"})
_TYPES = (
    ("number", re.compile(r"u?(?:tiny|small|medium|big|huge)?int|serial|num|dec|bigserial", re.I)),
    ("text", re.compile(r"n?(?:var)?char|text|.*text|string|bpchar|clob|enum|character", re.I)),
    ("uuid", re.compile(r"uuid|uniqueidentifier", re.I)),
)


@dataclass(frozen=True)
class _Target:
    """A key that may be meant: `named` if it is called after its own table."""

    position: int
    column: str
    family: str
    named: bool


@dataclass
class _Keys:
    """What each name may refer to, over all tables."""

    by_name: dict[Words, list[_Target]] = field(default_factory=dict)
    entities: set[Words] = field(default_factory=set)

    def add(self, position: int, table: Table) -> None:
        """Every key of a table of one column, under the names that refer to it."""
        entity = entity_of(table.name)
        self.entities.add(entity)
        for column in _key_columns(table):
            own = words(column.name)
            family = type_family(column.type)
            if not own or not family:
                continue
            if len(own) == 1 and own[0] in _REFERS:
                self._put((*entity, own[0]), _Target(position, column.name, family, True))
            elif len(own) > 1 and own[-1] in _REFERS:
                self._put(own, _Target(position, column.name, family, own[:-1] == entity))
            elif own == entity:
                self._put(own, _Target(position, column.name, family, True))
            elif len(own[-1]) >= _LEAST_OF_REFERRING and own[-1].endswith(_ENDS_OF_REFERRING):
                self._put(own, _Target(position, column.name, family, False))

    def _put(self, name: Words, target: _Target) -> None:
        known = self.by_name.setdefault(name, [])
        if target not in known:
            known.append(target)


def with_guessed_joins(schema: Schema) -> Schema:
    """The schema with a foreign key, `guessed`, for each join that its names give away.

    Kept for as long as the schema that it was made from; a note lists the guesses.
    """
    known = _guessed.get(id(schema))
    if known is None:
        known = _guessed[id(schema)] = _with_guesses(schema)
        weakref.finalize(schema, _guessed.pop, id(schema), None)
    return known


# By identity: hashing a schema would walk all of it.
_guessed: dict[int, Schema] = {}


def _with_guesses(schema: Schema) -> Schema:
    keys = _Keys()
    for position, table in enumerate(schema.tables):
        keys.add(position, table)
    tables = [_guessed_table(position, schema, keys) for position in range(len(schema.tables))]
    return replace(schema, tables=tuple(tables))


def guess_notes(schema: Schema) -> tuple[str, ...]:
    """One sentence that names the guessed joins among these tables; none if there are none."""
    shown = {table.full_name for table in schema.tables}
    guesses = [
        f"{table.full_name}.{key.columns[0]} → {key.other_table}.{key.other_columns[0]}"
        for table in schema.tables
        for key in table.foreign_keys
        if key.guessed and key.other_table in shown
    ]
    return (f"Guessed joins: {named(guesses)}.",) if guesses else ()


def _guessed_table(position: int, schema: Schema, keys: _Keys) -> Table:
    table = schema.tables[position]
    declared = {column for key in table.foreign_keys for column in key.columns}
    guesses = []
    for column in table.columns:
        if column.name in declared:
            continue
        target = _meant(position, column, schema, keys)
        if target is not None:
            other = schema.tables[target.position].full_name
            guesses.append(ForeignKey((column.name,), other, (target.column,), guessed=True))
    if not guesses:
        return table
    return replace(table, foreign_keys=(*table.foreign_keys, *guesses))


def _meant(position: int, column: Column, schema: Schema, keys: _Keys) -> _Target | None:
    """The one key that a column can mean; None if there is none, or more than one."""
    table = schema.tables[position]
    found = _called(words(column.name), column, table, keys)
    if any(target.position == position and target.named for target in found):
        return None  # it is this table's own key that is called so
    family = type_family(column.type)
    fit = [t for t in found if t.position != position and t.family == family]
    best = [t for t in fit if t.named] or fit
    if len(best) > 1:
        best = [t for t in best if schema.tables[t.position].namespace == table.namespace]
    if len({target.position for target in best}) != 1:
        return None
    if not best[0].named and column.name in _single_keys(table):
        return None  # two tables with one key: which refers to which is not said
    return best[0]


def _called(name: Words, column: Column, table: Table, keys: _Keys) -> list[_Target]:
    """The keys that a name refers to: as it is, with the table's prefix, without its role."""
    if not name:
        return []
    if name in keys.by_name:
        return keys.by_name[name]
    if len(name) < 2 or name[-1] not in _REFERS:
        return []
    own = words(table.name)
    for end in range(len(own) - 1, 0, -1):  # `customer_id` in shop_orders → shop_customers
        if found := [t for t in keys.by_name.get((*own[:end], *name), ()) if t.named]:
            return found
    if column.name in _single_keys(table):
        return []
    for start in range(1, len(name) - 1):  # `billing_address_id` → addresses
        if name[:start] in keys.entities:  # `student_course_id` is no course with a role
            return []
        if found := [t for t in keys.by_name.get(name[start:], ()) if t.named]:
            return found
    return []


def _single_keys(table: Table) -> set[str]:
    return {key[0] for key in (table.primary_key, *table.unique_keys) if len(key) == 1}


def _key_columns(table: Table) -> Iterator[Column]:
    """Columns that are a key by themselves; where none is declared, the one called like one."""
    single = _single_keys(table)
    if single:
        yield from (column for column in table.columns if column.name in single)
        return
    if table.primary_key:
        return
    entity = entity_of(table.name)
    for column in table.columns:
        own = words(column.name)
        if own in (("id",), (*entity, "id")):
            yield column
            return


def entity_of(name: str) -> Words:
    """What a table's rows are, as words: `dim_customers` → customer."""
    found = words(name)
    while len(found) > 1 and found[0] in _TABLE_PREFIXES:
        found = found[1:]
    return found


def type_family(spelled: str) -> str:
    """`number`, `text` or `uuid`; empty for a type that no key has, or that nobody declared."""
    return next((family for family, known in _TYPES if known.match(spelled.strip())), "")
