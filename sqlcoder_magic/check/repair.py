"""`repair`: a draft that names what is not there, mended with the schema, without the model.

    sql ─► look ─► one pass changes the tree ─► look again … ─► text ─► check_sql, as for any text

Nothing is changed where every name resolves, but for what the engine would refuse by another
rule (grouping, a bare name that two tables have), a text value that differs from a known one in
case or spacing alone, the year of a key, and a JOIN that pairs two declared keys which do not
belong together. What is not one thing for certain is left, and the refusal stands. Nothing here
lets a statement through.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from sqlglot.dialects.dialect import Dialect

from sqlcoder_magic.check import (
    repair_aliases,
    repair_dates,
    repair_groups,
    repair_joins,
    repair_names,
    repair_values,
    statement,
    text,
)
from sqlcoder_magic.check.candidate import Candidate
from sqlcoder_magic.check.index import index_of
from sqlcoder_magic.check.quiet import written_or_none
from sqlcoder_magic.check.repair_view import View, look
from sqlcoder_magic.errors import SQLRejected
from sqlcoder_magic.types import Schema, Table

Pass = Callable[[View], str]

# In this order, each time from the first one on; a name here switches a pass off.
PASSES: dict[str, Pass] = {
    "tables": repair_names.tables,
    "quotes": repair_values.quotes,
    "conditions": repair_joins.conditions,
    "respell": repair_names.respell,
    "move": repair_names.move,
    "bind": repair_aliases.bind,
    "unused": repair_joins.unused,
    "shortened": repair_names.shortened,
    "swap": repair_joins.swap,
    "mistaken": repair_joins.mistaken,
    "bring": repair_joins.bring,
    "nearest": repair_names.nearest,
    "keys": repair_joins.keys,
    "shared": repair_groups.shared,
    "having": repair_groups.having,
    "groups": repair_groups.groups,
    "dates": repair_dates.dates,
    "spelling": repair_values.spelling,
}
_BEFORE = (text.size, text.characters, text.comments, statement.parse, statement.read_only)
_MOST = 30  # repairs of one statement; a draft that needs more says something else


@dataclass(frozen=True)
class Repaired:
    """What came of a draft. `notes` has a sentence for each change; without one `sql` is the
    text that was given, to the letter. `readings` says what it could mean, where that is two."""

    sql: str
    notes: tuple[str, ...] = ()
    readings: tuple[str, ...] = ()


def repair(sql: str, schema: Schema, *, without: Collection[str] = ()) -> Repaired:
    """`sql` (in the dialect of `schema`) with the names that were meant, or as it was.

    `without` switches passes off by their name in `PASSES`. The values that literals are
    compared with are the `samples` of the schema's columns. Never raises: a text that does not
    parse, or does more than read, comes back unchanged, and `check_sql` says what is wrong.
    """
    try:
        candidate = _readable(sql, schema)
        return _mended(candidate, [p for name, p in PASSES.items() if name not in without])
    except (SQLRejected, RecursionError):
        return Repaired(sql)


def with_values(schema: Schema, known: Schema) -> Schema:
    """`schema` with the sampled values that the tables of `known` hold; itself if that is all
    that it has."""
    values = {
        (table.full_name, column.name): column.samples
        for table in known.tables
        for column in table.columns
        if column.samples
    }
    if known is schema or not values:
        return schema
    tables = tuple(_sampled(table, values) for table in schema.tables)
    same = all(new is old for new, old in zip(tables, schema.tables, strict=True))
    return schema if same else replace(schema, tables=tables)


def _sampled(table: Table, values: dict[tuple[str, str], tuple[str, ...]]) -> Table:
    found = [values.get((table.full_name, c.name), c.samples) for c in table.columns]
    if all(new == c.samples for new, c in zip(found, table.columns, strict=True)):
        return table
    columns = (replace(c, samples=new) for c, new in zip(table.columns, found, strict=True))
    return replace(table, columns=tuple(columns))


def _readable(sql: str, schema: Schema) -> Candidate:
    """The statement parsed, if it is one that reads; functions are for the guard alone."""
    candidate = Candidate(sql, index_of(schema))
    for check in _BEFORE:
        candidate = check(candidate)
    return candidate


def _mended(candidate: Candidate, passes: list[Pass]) -> Repaired:
    readings: dict[str, None] = {}
    notes: dict[str, None] = {}
    view = look(candidate, readings)
    for _ in range(_MOST):
        note = next((note for one in passes if (note := one(view))), "")
        if not note:
            break
        notes[note] = None
        view = look(candidate, readings)
    if view.lost or not notes:
        return Repaired(candidate.sql, readings=tuple(readings))
    dialect = Dialect.get_or_raise(candidate.dialect)
    written = written_or_none(view.tree, dialect, pretty=True)
    return Repaired(written, tuple(notes)) if written else Repaired(candidate.sql)
