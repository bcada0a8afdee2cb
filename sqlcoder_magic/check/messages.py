"""The sentences for names that do not exist: what is wrong, and which real names are near."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from sqlglot import exp

from sqlcoder_magic.check.candidate import Candidate
from sqlcoder_magic.check.names import listing, nearest
from sqlcoder_magic.check.sources import Scope, Source
from sqlcoder_magic.errors import SQLRejected

_CATALOGUES = frozenset({"sqlite_master", "sqlite_schema", "information_schema", "pg_catalog"})


@dataclass(frozen=True)
class ColumnRefusal:
    """A column that does not resolve: where it stands, what is in sight, what SELECT named.

    `source` is set where the column was written with the alias of a known source.
    """

    column: exp.Column
    scope: Scope
    name: str
    aliases: frozenset[str]
    source: Source | None = None


def unknown_table(candidate: Candidate, node: exp.Table, scope: Scope) -> SQLRejected:
    """The refusal of a table that is not in the schema."""
    written = ".".join(part.name for part in node.parts if part.name)
    names = {part.name.lower() for part in node.parts}
    if names & _CATALOGUES:
        what = f"{written} belongs to the engine, not to the tables of this database."
        return candidate.no("tables", what, at=node, fix="Ask about the tables themselves.")
    near = [f"`{name}`" for name in _nearest_sources(candidate, node.name, scope)]
    fix = f"Nearest: {listing(near)}." if near else "Look at the tables with `%sqlcoder schema`."
    exact = [t for t in candidate.index.tables if t.name.lower() == node.name.lower()]
    if exact and candidate.dialect == "postgres" and exact[0].name != exact[0].name.lower():
        fix = f'PostgreSQL finds it only in quotes: "{exact[0].name}".'
    elif exact:
        fix = f"Write {listing(f'`{t.full_name}`' for t in exact[:3])}."
    return candidate.no("tables", f"There is no table or view {written}.", at=node, fix=fix)


def _nearest_sources(candidate: Candidate, name: str, scope: Scope) -> tuple[str, ...]:
    real = candidate.index.nearest_tables(name)
    return tuple(dict.fromkeys((*nearest(name, scope.ctes, count=1), *real)))[:3]


def unknown_column(candidate: Candidate, refusal: ColumnRefusal) -> SQLRejected:
    """The refusal of a column that no source in sight has."""
    column, name = refusal.column, refusal.name
    if name in refusal.aliases:
        return candidate.no(
            "columns",
            f"{column.name} is a name given in SELECT, which this part of the query cannot see.",
            at=column,
            fix="Write the expression itself here.",
        )
    if refusal.source is not None:
        where = refusal.source.table
        shown = where.full_name if where is not None else column.table
        what = f"{column.table}.{column.name}: {shown} has no column {column.name}."
        in_sight = {"": refusal.source}
    else:
        what = f"No table of the query has a column {column.name}."
        in_sight = {k: v for frame in refusal.scope.frames for k, v in frame.items()}
    return candidate.no("columns", what, at=column, fix=_column_fix(candidate, refusal, in_sight))


def _column_fix(candidate: Candidate, refusal: ColumnRefusal, in_sight: dict[str, Source]) -> str:
    """The nearest columns in sight, and the tables that have one of this very name."""
    shown = [c for s in in_sight.values() for c in (s.columns or {}).values()]
    near = nearest(refusal.column.name, shown)
    sentences = []
    if near:
        sentences.append(f"Nearest: {listing(f'`{c}`' for c in near)}.")
    elif shown:
        sentences.append(f"It has {listing((f'`{c}`' for c in shown[:6]), last='and')}.")
    owners = [t.full_name for t in islice(candidate.index.owners(refusal.column.name), 3)]
    own = {source.table.full_name for source in in_sight.values() if source.table is not None}
    others = [f"`{name}`" for name in owners if name not in own]
    if others:
        verb = "has" if len(others) == 1 else "have"
        sentences.append(f"{listing(others, last='and')} {verb} a column {refusal.column.name}.")
    same = next((c for c in near if c.lower() == refusal.column.name.lower()), None)
    if candidate.dialect == "postgres" and same is not None:
        lower = same == same.lower()
        sentences.append(
            "In quotes PostgreSQL tells capitals apart: write it without quotes."
            if lower
            else "PostgreSQL finds names with capitals only in quotes."
        )
    return " ".join(sentences)


def unknown_qualifier(candidate: Candidate, column: exp.Column, scope: Scope) -> SQLRejected:
    """The refusal of `alias.column` where no such alias is in sight."""
    written = ".".join(part.name for part in column.parts[:-1])
    aliases = [a for frame in scope.frames for a in frame if not a.startswith(" ") and a]
    shown = [f"`{alias}`" for alias in dict.fromkeys(aliases)]
    fix = f"In sight: {listing(shown, last='and')}." if shown else "No table is in sight."
    return candidate.no(
        "columns",
        f"{written}.{column.name}: no table or alias {written} is in sight here.",
        at=column,
        fix=fix,
    )
