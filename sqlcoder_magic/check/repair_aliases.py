"""The repair of an alias that nobody introduced: `T3.weight` in a query with T1 and T2 alone.

It means the table that it names or abbreviates, or else the only one that has its columns: one
that stands in FROM, or one a key away. Where there is one of each, both readings are told.
"""

from __future__ import annotations

import re

from sqlglot import exp

from sqlcoder_magic.check.repair_joins import both_readings
from sqlcoder_magic.check.repair_names import as_one, in_sight, table_meant
from sqlcoder_magic.check.repair_paths import Path, add_path, paths_to
from sqlcoder_magic.check.repair_view import Site, View, own, real_name
from sqlcoder_magic.types import Table

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def bind(view: View) -> str:
    """An alias that nobody introduced means the only table it can."""
    for column in view.lost_columns:
        select = view.select_of(column)
        if select is None or not column.table or in_sight(view, select, column):
            continue
        alias = column.table.lower()
        group = [c for c in own(select, exp.Column) if c.table.lower() == alias]
        note = _bound(view, select, column, group)
        if note:
            return note
    return ""


def _bound(view: View, select: exp.Select, column: exp.Column, group: list[exp.Column]) -> str:
    alias, names = column.table, [c.name for c in group if not c.is_star]
    sites = view.sites(select)
    named = table_meant(view, alias)
    fitting = [s for s in sites if _fits(s, named, names)]
    present = {s.source.table.full_name for s in sites if s.source.table is not None}
    goals = [named] if named else [t for t in view.index.tables if _has(t, names)]
    join = column.find_ancestor(exp.Join)
    before = join if join is not None and join.parent is select else None
    outside = [t for t in goals if t.full_name not in present]
    paths = paths_to(view, select, outside, before=before)
    if len(fitting) > 1 and len(set(names)) == 1:
        fitting = as_one(view, select, sites, fitting, names[0])
    fitting, paths = _abbreviated(alias, _without_alias(fitting), paths)
    if len(fitting) + len(paths) != 1:
        tables = [s.source.table for s in fitting if s.source.table]
        both_readings(view, column, tables + [path.goal for path in paths])
        return ""
    if fitting:
        for one in group:
            view.point(one, fitting[0], fitting[0].real(one.name) or one.name)
        return f"`{alias}` is `{fitting[0].alias}`"
    goal = paths[0].goal
    add_path(view, select, paths[0], alias=alias, before=before)
    through = f"`{paths[0].through}`" if paths[0].through else "its key"
    return f"`{alias}` is the table `{goal.full_name}`, joined through {through}"


def _fits(site: Site, named: Table | None, names: list[str]) -> bool:
    if named is not None:
        table = site.source.table
        return table is not None and table.full_name == named.full_name
    return all(site.real(name) for name in names)


def _without_alias(fitting: list[Site]) -> list[Site]:
    """The only one of them that has no alias of its own, if there is one such."""
    bare = [s for s in fitting if isinstance(s.node, exp.Table) and not s.node.alias]
    return bare if len(bare) == 1 else fitting


def _abbreviated(
    alias: str, fitting: list[Site], paths: list[Path]
) -> tuple[list[Site], list[Path]]:
    """Those that the alias is short for, if it is for just one of them: `ps`, product_suppliers."""
    inside = [s for s in fitting if s.source.table and _short_for(alias, s.source.table)]
    outside = [path for path in paths if _short_for(alias, path.goal)]
    return (inside, outside) if len(inside) + len(outside) == 1 else (fitting, paths)


def _short_for(alias: str, table: Table) -> bool:
    words = [word.lower() for word in _WORD.findall(table.name)]
    short = alias.lower().rstrip("0123456789")
    return bool(short) and (
        short == "".join(word[0] for word in words) or "".join(words).startswith(short)
    )


def _has(table: Table, names: list[str]) -> bool:
    listed = [column.name for column in table.columns]
    return bool(names) and all(real_name(name, listed) for name in names)
