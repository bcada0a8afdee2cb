"""Databases made of single tables: each gets a key, and foreign keys join them to one tree.

There are thousands of single tables and few real databases, so this is where a model meets
columns that it has to fetch over a join in a schema it has never seen. Not covered: which tables
are taken (`mix`), the questions about them (`generate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from sqlcoder_magic.training.query import words_of
from sqlcoder_magic.training.words import singular
from sqlcoder_magic.types import Column, ForeignKey, Table

_BRIDGED = 0.25  # of the links are many to many, by a table between
_STYLES = ("id", "snake", "Capital", "together")  # how a database spells its keys


def joined(tables: Sequence[Table], names: Sequence[str], rng: Random) -> tuple[Table, ...]:
    """The tables with keys, linked to one tree; `names` are free ones for tables between."""
    style, free = rng.choice(_STYLES), list(names)
    found = {table.name: _keyed(table, style) for table in tables}
    linked: list[str] = []
    between: list[Table] = []
    for name in found:
        if linked:
            other = rng.choice(linked)
            if rng.random() < _BRIDGED:
                called = free.pop() if free and rng.random() < 0.5 else f"{other}_{name}"
                between.append(_bridge(called, found[other], found[name], style))
            else:
                child, parent = (name, other) if rng.random() < 0.5 else (other, name)
                found[child] = _pointing(found[child], found[parent], style)
        linked.append(name)
    return (*found.values(), *between)


def key_name(table: str, style: str) -> str:
    """How other tables call the key of a table: `albums` -> album_id, Album_ID, albumId."""
    words = words_of(table)
    words[-1] = singular(words[-1])
    if style == "Capital":
        return "_".join(word.capitalize() for word in words) + "_ID"
    return "".join(words) + "Id" if style == "together" else "_".join(words) + "_id"


def _keyed(table: Table, style: str) -> Table:
    """The table with a primary key that no column of it is called like."""
    key = _free("id" if style == "id" else key_name(table.name, style), table)
    columns = (Column(key, "INTEGER", False), *table.columns)
    return replace(table, columns=columns, primary_key=(key,))


def _free(name: str, table: Table) -> str:
    taken = {column.name.lower() for column in table.columns}
    while name.lower() in taken:
        name += "_ref"
    return name


def _pointing(child: Table, parent: Table, style: str) -> Table:
    key = _free(key_name(parent.name, style), child)
    return replace(
        child,
        columns=(*child.columns, Column(key, "INTEGER", True)),
        foreign_keys=(*child.foreign_keys, ForeignKey((key,), parent.name, parent.primary_key)),
    )


def _bridge(name: str, one: Table, other: Table, style: str) -> Table:
    """A table of pairs."""
    keys = key_name(one.name, style), key_name(other.name, style)
    return Table(
        name,
        "",
        tuple(Column(key, "INTEGER", False) for key in keys),
        keys,
        tuple(
            ForeignKey((key,), table.name, table.primary_key)
            for key, table in zip(keys, (one, other), strict=True)
        ),
    )
