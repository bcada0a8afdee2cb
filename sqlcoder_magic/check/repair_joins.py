"""Repairs that change FROM: a missing table is joined by its key, a wrong condition takes the key.

Each pass takes a View, mends one thing in its tree, and returns a sentence about it; empty if it
changed nothing. None chooses between two tables or two paths.
"""

from __future__ import annotations

from sqlglot import exp

from sqlcoder_magic.check.names import same_word
from sqlcoder_magic.check.repair_keys import Key
from sqlcoder_magic.check.repair_paths import (
    Path,
    add_path,
    equality,
    paths_to,
    table_node,
)
from sqlcoder_magic.check.repair_view import Site, View, own, real_name, shown
from sqlcoder_magic.check.repair_words import words
from sqlcoder_magic.types import Table

_SAY_NOTHING = frozenset({"id", "code", "no", "number", "key", "name"})


def conditions(view: View) -> str:
    """A JOIN condition with a lost column becomes the declared key between the two tables, or
    goes through the one table that links them."""
    for column in view.lost_columns:
        equal, join = column.parent, column.find_ancestor(exp.Join)
        select = view.select_of(column)
        if not isinstance(equal, exp.EQ) or join is None or select is None:
            continue
        if join.parent is not select:
            continue
        note = _condition(view, select, join, equal)
        if note:
            return note
    return ""


def _condition(view: View, select: exp.Select, join: exp.Join, equal: exp.EQ) -> str:
    sites = view.sites(select)
    right = next((s for s in sites if s.join is join), None)
    ends = [equal.this, equal.expression]
    if right is None or not all(isinstance(end, exp.Column) and end.table for end in ends):
        return ""
    named = [view.site_of(end, sites) for end in ends]
    lefts = [s for s in named if s is not None and s.place < right.place]
    if len(lefts) != 1 or None in named:
        return ""
    left = lefts[0]
    if left.source.table is None or right.source.table is None:
        return ""
    before = f"{shown(equal.this)} = {shown(equal.expression)}"
    keys = view.keys.between(left.source.table, right.source.table)
    keys = _using(keys, equal, left, right, view) or keys
    if len(keys) == 1:
        on = equality(view, keys[0], _alias(left), _alias(right))
        text = on.sql(view.dialect)
        equal.replace(on)
        return f"`{before}` → `{text}`, the key between the two tables"
    if len(keys) == 2:
        ways = [equality(view, k, _alias(left), _alias(right)).sql(view.dialect) for k in keys]
        view.readings[f"`{before}` can be `{ways[0]}` or `{ways[1]}`."] = None
    paths = [
        p
        for p in paths_to(view, select, [right.source.table], before=join)
        if p.site is left or p.site.place == left.place
    ]
    if keys or len(paths) != 1 or len(paths[0].keys) != 2:
        return ""
    first, second = paths[0].keys
    link = add_path(view, select, Path(left, (first,)), before=join)
    equal.replace(equality(view, second, view.identifier(link), _alias(right)))
    return f"`{before}` goes through `{first.other.full_name}`"


def keys(view: View) -> str:
    """A JOIN condition that pairs a key with a column of another meaning takes the declared key.

    Only where the two tables have exactly one key, the condition has one end of it right, the
    other end is declared to be another key (one that nobody declared may be meant as written),
    and the names of its two columns share no word that says something.
    """
    for select in view.tree.find_all(exp.Select):
        if id(select) not in view.scopes:
            continue
        sites = view.sites(select)
        for right in sites:
            on = right.join.args.get("on") if right.join is not None else None
            if not isinstance(on, exp.EQ):
                continue
            note = _declared(view, sites, right, on)
            if note:
                return note
    return ""


def _declared(view: View, sites: tuple[Site, ...], right: Site, on: exp.EQ) -> str:
    ends = [on.this, on.expression]
    if not all(isinstance(end, exp.Column) and end.table for end in ends):
        return ""
    named = [view.site_of(end, sites) for end in ends]
    left = next((s for s in named if s is not None and s.place < right.place), None)
    if left is None or not any(s is right for s in named):
        return ""
    if left.source.table is None or right.source.table is None:
        return ""
    if not all(s is not None and s.real(e.name) for s, e in zip(named, ends, strict=True)):
        return ""
    found = view.keys.between(left.source.table, right.source.table)
    if len(found) != 1 or len(found[0].columns) != 1 or found[0].guessed:
        return ""
    mine = ends[named.index(left)].name.lower()
    yours = ends[named.index(right)].name.lower()
    good = mine == found[0].columns[0].lower(), yours == found[0].other_columns[0].lower()
    if sum(good) != 1 or set(words(mine)) & set(words(yours)) - _SAY_NOTHING:
        return ""
    wrong = (right.source.table, yours) if good[0] else (left.source.table, mine)
    if not _is_declared(*wrong):
        return ""
    before = f"{shown(on.this)} = {shown(on.expression)}"
    new = equality(view, found[0], _alias(left), _alias(right))
    text = new.sql(view.dialect)
    on.replace(new)
    return f"`{before}` → `{text}`, the key between the two tables"


def _is_declared(table: Table, column: str) -> bool:
    """Whether a key of the table, its own or one to another table, has this column."""
    keys = [table.primary_key, *(key.columns for key in table.foreign_keys if not key.guessed)]
    return any(column == name.lower() for names in keys for name in names)


def _using(
    keys: tuple[Key, ...], equal: exp.EQ, left: Site, right: Site, view: View
) -> tuple[Key, ...]:
    """Of several keys, those with a column that the condition names rightly."""
    written = set()
    for end in (equal.this, equal.expression):
        site = view.site_of(end, (left, right))
        if site is not None and site.real(end.name):
            written.add((site is left, end.name.lower()))
    return tuple(
        key
        for key in keys
        if any((True, c.lower()) in written for c in key.columns)
        or any((False, c.lower()) in written for c in key.other_columns)
    )


def unused(view: View) -> str:
    """A joined table of which nothing is used, on a condition that cannot be, is left out."""
    for column in view.lost_columns:
        join, select = column.find_ancestor(exp.Join), view.select_of(column)
        if join is None or select is None or join.parent is not select:
            continue
        site = next((s for s in view.sites(select) if s.join is join), None)
        if site is None or _counts_rows(select) or _uses(view, select, site, join):
            continue
        if _has_key(view, site, view.sites(select)):
            continue
        select.set("joins", [j for j in select.args["joins"] if j is not join])
        return f"`{site.alias}` is left out: nothing of it is used, and it has no such key"
    return ""


def _has_key(view: View, site: Site, sites: tuple[Site, ...]) -> bool:
    """Whether a key joins its table to another of the query: then that is the condition meant."""
    tables = [other.source.table for other in sites if other.place != site.place]
    own_table = site.source.table
    return own_table is not None and any(t and view.keys.between(own_table, t) for t in tables)


def _uses(view: View, select: exp.Select, site: Site, join: exp.Join) -> bool:
    for column in select.find_all(exp.Column):
        if column.find_ancestor(exp.Join) is join and column.find_ancestor(exp.Query) is select:
            continue
        if column.table.lower() == site.alias.lower() or (
            not column.table and site.real(column.name)
        ):
            return True
    return False


def _counts_rows(select: exp.Select) -> bool:
    """Whether the number of joined rows shows: a star, or a sum, count or average."""
    kinds = (exp.Star, exp.Count, exp.Sum, exp.Avg)
    return any(True for _ in own(select, *kinds))


def swap(view: View) -> str:
    """A query of one table that lacks a column reads the only table that has all it asks for."""
    for column in view.lost_columns:
        select = view.select_of(column)
        sites = view.sites(select) if select is not None else ()
        if select is None or len(sites) != 1 or not isinstance(sites[0].node, exp.Table):
            continue
        site = sites[0]
        columns = list(own(select, exp.Column))
        given = {p.alias.lower() for p in select.expressions if p.alias}
        names = {c.name for c in columns if c.name.lower() not in given}
        if any(True for _ in own(select, exp.Star)) or len(names) < 2:
            continue
        if any(c.table and view.site_of(c, sites) is None for c in columns):
            continue
        others = [t for t in view.index.tables if _has_all(t, names)]
        if len(others) != 1:
            continue
        new = table_node(view, others[0])
        new.set("alias", site.node.args.get("alias"))
        if not site.node.alias:
            for one in columns:
                if one.table:
                    one.set("table", view.identifier(others[0].name))
        site.node.replace(new)
        return f"`{site.alias}` → `{others[0].full_name}`, which has every column used"
    return ""


def mistaken(view: View) -> str:
    """An alias of which every column used is another's is the only table that has them all and
    a key to the table that the alias is joined with."""
    for column in view.lost_columns:
        select = view.select_of(column)
        sites = view.sites(select) if select is not None and column.table else ()
        site = view.site_of(column, sites) if sites else None
        if select is None or site is None or not isinstance(site.node, exp.Table):
            continue
        used = [c for c in _written_with(select, site) if not _joins_on(c, select)]
        ties = [c.parent for c in _written_with(select, site) if _joins_on(c, select)]
        if not site.node.alias or len(ties) != 1 or not isinstance(ties[0], exp.EQ):
            continue
        if not used or any(site.real(c.name) for c in used):
            continue
        note = _taken_for(view, sites, site, ties[0], {c.name for c in used})
        if note:
            return note
    return ""


def _taken_for(
    view: View, sites: tuple[Site, ...], site: Site, tie: exp.EQ, names: set[str]
) -> str:
    ends = [view.site_of(e, sites) for e in (tie.this, tie.expression) if isinstance(e, exp.Column)]
    others = [e for e in ends if e is not None and e.place != site.place]
    if len(others) != 1 or others[0].source.table is None:
        return ""
    keys = [k for k in view.keys.of(others[0].source.table) if _has_all(k.other, names)]
    if len(keys) != 1 or keys[0].other is site.source.table:
        return ""
    new = table_node(view, keys[0].other)
    new.set("alias", site.node.args["alias"])
    site.node.replace(new)
    tie.replace(equality(view, keys[0], _alias(others[0]), _alias(site)))
    return f"`{site.alias}` is `{keys[0].other.full_name}`, which has every column used of it"


def _written_with(select: exp.Select, site: Site) -> list[exp.Column]:
    alias = site.alias.lower()
    return [c for c in select.find_all(exp.Column) if c.table.lower() == alias]


def _joins_on(column: exp.Column, select: exp.Select) -> bool:
    """Whether it stands in a JOIN condition of this very SELECT."""
    join = column.find_ancestor(exp.Join, exp.Query)
    return isinstance(join, exp.Join) and join.parent is select


def _has_all(table: Table, names: set[str]) -> bool:
    own_names = [column.name for column in table.columns]
    return all(real_name(name, own_names) for name in names)


def bring(view: View) -> str:
    """A column that nothing in FROM has brings its table: the only one that is a key away, or
    two keys, by the only path."""
    for column in view.lost_columns:
        select = view.select_of(column)
        if select is None or any(s.real(column.name) for s in view.sites(select)):
            continue
        owners = _owners(view, column.name)
        join = column.find_ancestor(exp.Join)
        before = join if join is not None and join.parent is select else None
        paths = paths_to(view, select, owners, before=before)
        if len(paths) > 1 and column.table:
            site = view.site_of(column, view.sites(select))
            hinted = [p for p in paths if site is not None and p.site.place == site.place]
            paths = hinted if len(hinted) == 1 else paths
        if len(paths) != 1:
            both_paths(view, column, paths)
            continue
        return _brought(view, select, column, paths[0], before)
    return ""


def another_row(view: View, select: exp.Select, column: exp.Column, other: Site) -> str:
    """Bring a second row of a table that is there already: `friend.name` beside `person.name`.

    Only where the query also uses that table's own column, so that it must mean another row;
    where the column's table refers to it twice; and where one of these keys is still free.
    """
    sites = view.sites(select)
    site = view.site_of(column, sites)
    if site is None or site.source.table is None or other.source.table is None:
        return ""
    if column.find_ancestor(exp.Group, exp.Join, exp.Query) is not select:
        return ""
    wanted = column.name.lower()
    used = [
        c for c in own(select, exp.Column) if c.name.lower() == wanted and not _joins_on(c, select)
    ]
    if not any(view.site_of(c, (other,)) is other for c in used if c.table):
        return ""
    taken = {c.name.lower() for c in _written_with(select, site) if _joins_on(c, select)}
    keys = [k for k in view.keys.between(site.source.table, other.source.table) if k.refers]
    free = [k for k in keys if taken.isdisjoint(name.lower() for name in k.columns)]
    if len(free) != 1 or len(keys) != 2:
        return ""
    return _brought(view, select, column, Path(site, (free[0],)), None)


def _owners(view: View, name: str) -> list[Table]:
    """The tables with a column of this name; if none has, with one of nearly this spelling."""
    exact = list(view.index.owners(name))
    tables = view.index.tables
    return exact or [t for t in tables if same_word(name, [c.name for c in t.columns])]


def _brought(
    view: View, select: exp.Select, column: exp.Column, path: Path, before: exp.Join | None
) -> str:
    written = shown(column)
    alias = add_path(view, select, path, before=before)
    real = same_word(column.name, [c.name for c in path.goal.columns]) or column.name
    column.set("this", view.identifier(real))
    column.set("table", view.identifier(alias))
    through = path.through or ", ".join(f"{path.site.alias}.{c}" for c in path.keys[0].columns)
    return f"`{written}` → `{path.goal.full_name}.{real}`, joined through `{through}`"


def both_readings(view: View, column: exp.Column, tables: list[Table]) -> None:
    """Keep for the message what the column could mean, where that is one of two."""
    names = list(dict.fromkeys(f"`{table.full_name}.{column.name}`" for table in tables))
    if len(names) == 2:
        view.readings[f"`{shown(column)}` can mean {names[0]} or {names[1]}."] = None


def both_paths(view: View, column: exp.Column, paths: list[Path]) -> None:
    """The same for two paths: their tables, and how they are reached where that is one table."""
    if len(paths) != 2 or paths[0].goal is not paths[1].goal:
        both_readings(view, column, [path.goal for path in paths])
        return
    real = f"`{paths[0].goal.full_name}.{column.name}`"
    ways = [f"`{path.site.alias}.{path.keys[0].columns[0]}`" for path in paths]
    view.readings[f"`{shown(column)}` can be {real} through {ways[0]} or through {ways[1]}."] = None


def _alias(site: Site) -> exp.Identifier:
    alias = site.node.args.get("alias")
    name: exp.Identifier = alias.this if alias is not None else site.node.this
    return name
