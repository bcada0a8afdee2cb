"""Repairs of names: a column's alias, an alias nobody introduced, a name that is nearly right.

Each pass takes a View, mends one thing in its tree, and returns a sentence about it; empty if it
changed nothing. None chooses between two names that fit equally well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlglot import exp

from sqlcoder_magic.check import repair_words
from sqlcoder_magic.check.index import DEFAULT_NAMESPACE
from sqlcoder_magic.check.names import same_word
from sqlcoder_magic.check.repair_joins import another_row, both_readings
from sqlcoder_magic.check.repair_paths import equated, table_node
from sqlcoder_magic.check.repair_view import Site, View, own, real_name, shown
from sqlcoder_magic.check.sources import folded
from sqlcoder_magic.types import Table

# How names of the engines' own tables begin: whoever writes one means it.
_THE_ENGINES = ("pg_", "sqlite_", "duckdb_", "pragma_", "information_schema")


def tables(view: View) -> str:
    """A table that does not exist is the one whose name is nearly this, or the only one that
    has all the columns asked of it."""
    for node in view.lost:
        if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
            continue
        if node.name.lower().startswith(_THE_ENGINES):
            continue
        select = view.select_of(node)
        if select is None:
            continue
        if node.db:
            real = _elsewhere(view, node)
        else:
            real = table_meant(view, node.name) or _table_with(view, select, node)
        if real is None:
            continue
        written = ".".join(part.sql(view.dialect) for part in node.parts)
        if not node.alias:
            _requalify(view, select, node.name, real)
        new = table_node(view, real)
        name = new.sql(view.dialect)
        new.set("alias", node.args.get("alias"))
        new.set("joins", node.args.get("joins"))
        node.replace(new)
        return f"`{written}` → `{name}`"
    return ""


def _elsewhere(view: View, node: exp.Table) -> Table | None:
    """The only table of this very name, where it is written with the namespace that is some
    engine's own default, such as `public`."""
    named = [t for t in view.index.tables if t.name.lower() == node.name.lower()]
    default = not node.catalog and node.db.lower() in DEFAULT_NAMESPACE.values()
    return named[0] if default and len(named) == 1 else None


def table_meant(view: View, name: str) -> Table | None:
    """The only table with this name, nearly this name, or this comment."""
    by_name: dict[str, list[Table]] = {}
    for table in view.index.tables:
        by_name.setdefault(table.name, []).append(table)
    real = same_word(name, by_name) or repair_words.likeliest(
        name, {short: tables[0].comment for short, tables in by_name.items()}
    )
    found = by_name.get(real or "", [])
    return found[0] if len(found) == 1 else None


def _table_with(view: View, select: exp.Select, node: exp.Table) -> Table | None:
    """The only table with every column that is written with this table's alias."""
    alias = node.alias_or_name.lower()
    names = {c.name for c in own(select, exp.Column) if c.table.lower() == alias}
    names -= {""}
    having = [
        table
        for table in view.index.tables
        if names and all(real_name(n, [c.name for c in table.columns]) for n in names)
    ]
    return having[0] if len(having) == 1 else None


def _requalify(view: View, select: exp.Select, old: str, new: Table) -> None:
    for column in select.find_all(exp.Column):
        if column.table.lower() == old.lower():
            column.set("table", view.identifier(new.name))


def respell(view: View) -> str:
    """A column that differs in case, underscores or number alone from one of the table it is
    written with; of any in FROM, if it is written bare."""
    return _renamed(view, same_word, beyond=False)


def shortened(view: View) -> str:
    """A column that is a slip of the pen from exactly one of the table it is written with, or
    leaves out words of it: `age` is pet_age."""
    return _renamed(view, repair_words.shortened, beyond=False)


def nearest(view: View) -> str:
    """A column whose name is nearly that of exactly one in its table, or else in FROM."""
    return _renamed(
        view, lambda name, names: same_word(name, names) or repair_words.likeliest(name, names)
    )


def _renamed(
    view: View,
    meant: Callable[[str, Mapping[str, str]], str | None],
    *,
    beyond: bool = True,
) -> str:
    for column in view.lost_columns:
        select = view.select_of(column)
        if select is None:
            continue
        sites = view.sites(select)
        site = view.site_of(column, sites) if column.table else None
        groups = [[site] if site is not None else []] if column.table else []
        if beyond or not column.table:
            groups.append(list(sites))
        for group in groups:
            fitting = [s for s in group if not meets_itself(view, column, s)]
            found = [(s, real) for s in fitting if (real := meant(column.name, _named(s)))]
            if len(found) == 1:
                written = shown(column)
                place, real = found[0]
                view.point(column, place, real)
                if not written.count("."):
                    column.set("table", None if len(sites) == 1 else column.args["table"])
                return f"`{written}` → `{_shown(view, place, real)}`"
    return ""


def _named(site: Site) -> dict[str, str]:
    """The names of its columns -> their comments."""
    if site.source.table is not None:
        return {column.name: column.comment for column in site.source.table.columns}
    return dict.fromkeys((site.source.columns or {}).values(), "")


def move(view: View) -> str:
    """A column that its alias lacks goes to the only other one in FROM that has it."""
    for column in view.lost_columns:
        select = view.select_of(column)
        if select is None or not column.table:
            continue
        sites = view.sites(select)
        if not in_sight(view, select, column):
            continue
        having = [s for s in sites if s.real(column.name) and not meets_itself(view, column, s)]
        having = as_one(view, select, sites, having, column.name)
        if len(having) == 1:
            note = another_row(view, select, column, having[0])
            return note or _moved(view, column, having[0])
        both_readings(view, column, [s.source.table for s in having if s.source.table])
    return ""


def meets_itself(view: View, column: exp.Column, site: Site) -> bool:
    """Whether a JOIN condition would compare this table with itself."""
    equal = column.parent
    if not isinstance(equal, exp.EQ) or column.find_ancestor(exp.Join) is None:
        return False
    other = equal.expression if equal.this is column else equal.this
    if not isinstance(other, exp.Column):
        return False
    return view.site_of(other, (site,)) is not None


def _moved(view: View, column: exp.Column, site: Site) -> str:
    written, real = shown(column), site.real(column.name) or column.name
    view.point(column, site, real)
    return f"`{written}` → `{_shown(view, site, real)}`"


def as_one(
    view: View, select: exp.Select, sites: tuple[Site, ...], having: list[Site], name: str
) -> list[Site]:
    """The sites, without those whose column an inner join makes equal to an earlier one's."""
    equal = equated(view, select, sites)
    first: dict[tuple[int, str], Site] = {}
    for site in having:
        end = (site.place, name.lower())
        first.setdefault(equal.get(end, end), site)
    return list(first.values())


def _shown(view: View, site: Site, real: str) -> str:
    table = site.source.table
    name = view.identifier(real).sql(view.dialect)
    return f"{table.full_name if table is not None else site.alias}.{name}"


def in_sight(view: View, select: exp.Select, column: exp.Column) -> bool:
    """Whether the alias that the column is written with is known at that place."""
    wanted = folded(column.args["table"], view.dialect)
    return any(wanted in frame for frame in view.scopes[id(select)].frames)
