"""What the repairs look at: a statement's tree, the names lost in it, and each query's FROM.

A `View` is made anew after every repair. Covers looking and the writing of names; which change
is right is for the passes (`repair_names.py` and its neighbours).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TypeVar

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect

from sqlcoder_magic.check.candidate import Candidate
from sqlcoder_magic.check.index import SchemaIndex, fold
from sqlcoder_magic.check.repair_keys import Keys
from sqlcoder_magic.check.scopes import Resolver
from sqlcoder_magic.check.sources import Scope, Source, folded

E = TypeVar("E", bound=exp.Expr)

_PLAIN_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


@dataclass(frozen=True)
class Site:
    """A table or subquery in the FROM of a query: its alias as written, and what it gives.

    `join` is the JOIN that brings it; None for the first. `place` counts from 0.
    """

    alias: str
    source: Source
    node: exp.Expr
    join: exp.Join | None
    place: int

    def real(self, name: str) -> str | None:
        """Its column of this name, whatever the case, as the database spells it."""
        return real_name(name, (self.source.columns or {}).values())


@dataclass
class View:
    """One look at a statement. Passes change `tree` in place, and are then given a new view.

    `readings` collects, where a repair would be a guess between exactly two, both of them.
    """

    tree: exp.Expr
    index: SchemaIndex
    lost: tuple[exp.Column | exp.Table, ...]
    scopes: dict[int, Scope]
    readings: dict[str, None] = field(default_factory=dict)

    @property
    def dialect(self) -> str:
        """sqlglot's name of the connection's dialect."""
        return self.index.dialect

    @property
    def keys(self) -> Keys:
        """How the tables of the schema hang together."""
        return self.index.keys

    @property
    def lost_columns(self) -> Iterator[exp.Column]:
        """The columns that do not resolve; `*` is never one."""
        return (n for n in self.lost if isinstance(n, exp.Column) and not n.is_star)

    def select_of(self, node: exp.Expr) -> exp.Select | None:
        """The SELECT that the node belongs to; None in the tail of a set operation."""
        query = node.find_ancestor(exp.Query)
        return query if isinstance(query, exp.Select) and id(query) in self.scopes else None

    def sites(self, select: exp.Select) -> tuple[Site, ...]:
        """What stands in the FROM of this SELECT, in order; bracketed tables are left out."""
        frame = self.scopes[id(select)].frames[0]
        start = select.args.get("from_")
        nodes: list[tuple[exp.Expr, exp.Join | None]] = [(start.this, None)] if start else []
        nodes += [(join.this, join) for join in select.args.get("joins") or []]
        found = []
        for place, (node, join) in enumerate(nodes):
            alias = node.args.get("alias")
            name = alias.this if alias is not None else node.this
            source = frame.get(folded(name, self.dialect))
            if isinstance(name, exp.Identifier) and source is not None:
                found.append(Site(name.name, source, node, join, place))
        return tuple(found)

    def site_of(self, column: exp.Column, sites: Iterable[Site]) -> Site | None:
        """The site that the column is written with, or the only one that has it."""
        if column.table:
            wanted = folded(column.args["table"], self.dialect)
            return next((s for s in sites if self._folded(s) == wanted), None)
        having = [site for site in sites if site.real(column.name)]
        return having[0] if len(having) == 1 else None

    def _folded(self, site: Site) -> str:
        alias = site.node.args.get("alias")
        return folded(alias.this if alias is not None else site.node.this, self.dialect)

    def identifier(self, name: str) -> exp.Identifier:
        """The name as an identifier, in quotes where this dialect needs them."""
        return identifier(name, self.dialect)

    def point(self, column: exp.Column, site: Site, name: str) -> None:
        """Make the column mean `name` of this site."""
        alias = site.node.args.get("alias")
        owner = alias.this if alias is not None else site.node.this
        column.set("db", None)
        column.set("catalog", None)
        column.set("table", owner.copy())
        column.set("this", self.identifier(name))


def look(candidate: Candidate, readings: dict[str, None]) -> View:
    """A view of the candidate's tree as it is now."""
    resolver = Resolver(candidate)
    resolver.query(candidate.parsed, Scope(candidate.dialect))
    lost = tuple(node for node in resolver.lost if node.parent is not None)
    return View(candidate.parsed, candidate.index, lost, resolver.scopes, readings)


def own(select: exp.Select, *kinds: type[E]) -> Iterator[E]:
    """The nodes of these kinds that belong to this SELECT and not to a query inside it."""
    for node in select.find_all(*kinds):
        if node.find_ancestor(exp.Query) is select:
            yield node


def real_name(name: str, names: Iterable[str]) -> str | None:
    """The one of the names that is this one, if need be in another case."""
    listed = list(names)
    if name in listed:
        return name
    lower = name.lower()
    return next((real for real in listed if real.lower() == lower), None)


def shown(column: exp.Column) -> str:
    """The column as it was written, for a note."""
    return ".".join(part.name for part in column.parts)


def identifier(name: str, dialect: str) -> exp.Identifier:
    """The name as an identifier, in quotes where this dialect needs them."""
    plain = bool(_PLAIN_NAME.fullmatch(name)) and name.upper() not in _reserved(dialect)
    keeps_case = fold(name, False, dialect) == fold(name, True, dialect)
    return exp.to_identifier(name, quoted=not (plain and keeps_case))


@cache
def _reserved(dialect: str) -> frozenset[str]:
    """Words that are no names without quotes: MySQL's own, for all others DuckDB's list."""
    source = "mysql" if dialect == "mysql" else "duckdb"
    words = Dialect.get_or_raise(source).generator_class.RESERVED_KEYWORDS
    return frozenset(word.upper() for word in words)
