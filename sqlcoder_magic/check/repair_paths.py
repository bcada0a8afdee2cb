"""Adding tables to a FROM along foreign keys: which path there is, and writing its joins.

A path is taken only if it is the only shortest one. Two paths that start from columns which an
inner join has made equal count as one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sqlglot import exp

from sqlcoder_magic.check.repair_keys import Key
from sqlcoder_magic.check.repair_view import Site, View, own, real_name
from sqlcoder_magic.types import Table

_NUMBERED = re.compile(r"([A-Za-z]+)(\d+)")


@dataclass(frozen=True)
class Path:
    """From a table of the query along one key or two to a table that is not in it."""

    site: Site
    keys: tuple[Key, ...]

    @property
    def goal(self) -> Table:
        """Where it leads."""
        return self.keys[-1].other

    @property
    def through(self) -> str:
        """The table between, for a note; empty if there is none."""
        return self.keys[0].other.full_name if len(self.keys) > 1 else ""


def paths_to(
    view: View, select: exp.Select, goals: Iterable[Table], *, before: exp.Join | None = None
) -> list[Path]:
    """The shortest paths to any of these tables, from what stands in FROM ahead of `before`."""
    sites = view.sites(select)
    last = next((s.place for s in sites if before is not None and s.join is before), len(sites))
    wanted = list(goals)
    equal = equated(view, select, sites)
    found: dict[object, Path] = {}
    for site in sites:
        if site.source.table is None or site.place >= last:
            continue
        for paths in view.keys.paths(site.source.table, wanted).values():
            for keys in paths:
                start = tuple(
                    equal.get((site.place, c.lower()), (site.place, c.lower()))
                    for c in keys[0].columns
                )
                steps = tuple((k.other.full_name, k.other_columns, k.columns) for k in keys[1:])
                first = keys[0].other.full_name, keys[0].other_columns
                found.setdefault((start, first, steps), Path(site, keys))
    shortest = min((len(path.keys) for path in found.values()), default=0)
    return [path for path in found.values() if len(path.keys) == shortest]


def equated(
    view: View, select: exp.Select, sites: tuple[Site, ...]
) -> dict[tuple[int, str], tuple[int, str]]:
    """(place, column) -> the first (place, column) that inner joins make equal to it."""
    first: dict[tuple[int, str], tuple[int, str]] = {}
    for site in sites:
        if site.join is None or site.join.side:
            continue
        on = site.join.args.get("on")
        conditions = on.flatten() if isinstance(on, exp.And) else [on]
        for condition in conditions:
            pair = _equality(view, condition, sites)
            if pair is not None:
                one, other = sorted(first.get(end, end) for end in pair)
                for end, value in list(first.items()):
                    first[end] = one if value == other else value
                first[other] = first[one] = one
    return first


def _equality(
    view: View, condition: exp.Expr | None, sites: tuple[Site, ...]
) -> list[tuple[int, str]] | None:
    if not isinstance(condition, exp.EQ):
        return None
    ends = []
    for column in (condition.this, condition.expression):
        site = view.site_of(column, sites) if isinstance(column, exp.Column) else None
        if site is None or site.real(column.name) is None:
            return None
        ends.append((site.place, column.name.lower()))
    return ends


def add_path(
    view: View,
    select: exp.Select,
    path: Path,
    *,
    alias: str = "",
    before: exp.Join | None = None,
) -> str:
    """Write the path's joins at the end of FROM, or ahead of `before`; the goal's alias."""
    for key in path.keys:
        qualify(view, select, key.other)
    side = path.site.join.side if path.site.join is not None else ""
    left = _name_node(path.site)
    joins = list(select.args.get("joins") or [])
    at = next((i for i, join in enumerate(joins) if join is before), len(joins))
    for number, key in enumerate(path.keys, start=1):
        wanted = alias if number == len(path.keys) else ""
        name = wanted or _free_alias(view, select, joins, key.other)
        joins.insert(at, _join(view, key, left, name, side if side == "LEFT" else ""))
        left = view.identifier(name)
        at += 1
    select.set("joins", joins)
    return left.name


def equality(view: View, key: Key, left: exp.Identifier, right: exp.Identifier) -> exp.Expr:
    """`left.column = right.other_column`, for each pair of the key."""
    pairs = [
        exp.EQ(
            this=exp.Column(this=view.identifier(a), table=left.copy()),
            expression=exp.Column(this=view.identifier(b), table=right.copy()),
        )
        for a, b in zip(key.columns, key.other_columns, strict=True)
    ]
    return exp.and_(*pairs, copy=False) if len(pairs) > 1 else pairs[0]


def qualify(view: View, select: exp.Select, new: Table) -> None:
    """Write the alias before bare columns that a new table would make ambiguous; and before `*`."""
    sites = view.sites(select)
    names = [column.name for column in new.columns]
    for node in list(own(select, exp.Column)):
        site = None if node.table or node.is_star else view.site_of(node, sites)
        real = site.real(node.name) if site is not None else None
        if site is not None and real is not None and real_name(real, names):
            view.point(node, site, real)
    stars = [p for p in select.expressions if isinstance(p, exp.Star)]
    if stars:
        spread = [exp.Column(this=exp.Star(), table=_name_node(site).copy()) for site in sites]
        kept = [[p] if p not in stars else spread for p in select.expressions]
        select.set("expressions", [one for group in kept for one in group])


def _join(view: View, key: Key, left: exp.Identifier, name: str, side: str) -> exp.Join:
    table = table_node(view, key.other)
    if name != key.other.name:
        table.set("alias", exp.TableAlias(this=view.identifier(name)))
    condition = equality(view, key, left, view.identifier(name))
    return exp.Join(this=table, on=condition, **({"side": side} if side else {}))


def table_node(view: View, table: Table) -> exp.Table:
    """The table's name as it stands in FROM."""
    parts = [view.identifier(part) for part in table.namespace.split(".") if part]
    places = dict(zip(("db", "catalog"), reversed(parts), strict=False))
    return exp.Table(this=view.identifier(table.name), **places)


def _name_node(site: Site) -> exp.Identifier:
    alias = site.node.args.get("alias")
    name: exp.Identifier = alias.this if alias is not None else site.node.this
    return name


def _free_alias(view: View, select: exp.Select, joins: list[exp.Join], table: Table) -> str:
    """An alias in the style of the query: T3 after T1 and T2; the table's own name where
    nothing has an alias."""
    start = select.args.get("from_")
    nodes = [*([start.this] if start else []), *(join.this for join in joins)]
    taken = {node.alias_or_name.lower() for node in nodes}
    # This query, or one in it, may lean on a name of the query around it.
    taken |= {c.table.lower() for c in select.find_all(exp.Column) if c.table}
    numbered = [m for node in nodes if (m := _NUMBERED.fullmatch(node.alias))]
    if numbered:
        letters, number = numbered[0][1], max(int(m[2]) for m in numbered) + 1
        while f"{letters}{number}".lower() in taken:
            number += 1
        return f"{letters}{number}"
    if table.name.lower() not in taken:
        return table.name
    number = 2
    while f"{table.name}_{number}".lower() in taken:
        number += 1
    return f"{table.name}_{number}"
