"""What is in sight while a SELECT is being written: sources, aliases, CTEs, columns asked for.

`Scope` answers which names may stand at a spot, and holds a FROM to what the select list asked of
names that were not declared yet. Not covered: reading the text (`reader`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sqlcoder_magic.models.names import Catalog, Names, Union
from sqlcoder_magic.models.words import ALIAS_CHARACTERS


@dataclass
class Frame:
    """A query or a pair of parentheses that is open."""

    kind: str = "paren"  # query, paren, cast, field, using
    phase: str = "select"  # with, select, from, after
    sources: dict[str, Names] = field(default_factory=dict)  # by alias, in lower case
    asked: dict[str, frozenset[str]] = field(default_factory=dict)  # columns of undeclared aliases
    bare: frozenset[str] = frozenset()  # columns asked for without a qualifier
    outputs: dict[str, str] = field(default_factory=dict)
    ctes: dict[str, Names] = field(default_factory=dict)
    cte_words: dict[str, str] = field(default_factory=dict)  # as they are written
    last: str = ""  # the name that ends the select item, as it is written
    cte: str = ""
    clause: str = ""
    wants: str = ""  # "source": FROM waits for a table; "alias": a source may get one
    table: str = ""  # the source that may get an alias
    derived: Names | None = None  # the columns of the parentheses just closed
    cases: int = 0  # CASEs that are open
    first: bool = True  # the outputs still grow (the first SELECT of a UNION)

    def copy(self) -> Frame:
        return replace(
            self,
            sources=dict(self.sources),
            asked=dict(self.asked),
            outputs=dict(self.outputs),
            ctes=dict(self.ctes),
            cte_words=dict(self.cte_words),
        )


class Scope:
    """The open queries, the innermost last."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._frames = [Frame()]
        self._path: tuple[str, ...] = ()  # the qualifiers in front of the next name
        self._known: Names | None = None  # the candidates here, once they were asked for

    def _candidates(self, role: str) -> Names:
        """The names that may stand here; for a column those after its qualifier, if it has one."""
        if self._known is None:
            if role == "table":
                self._known = self._tables()
            elif self._path:
                self._known = self._columns_of(self._path) or Names({})
            else:
                self._known = self._bare()
        return self._known

    def _tables(self) -> Names:
        known = self._catalog.after(self._path)
        if self._path:
            return known
        return Union([known, *(Names(frame.cte_words) for frame in self._frames)])

    def _bare(self) -> Names:
        """Columns that may be named without a qualifier."""
        found: list[Names] = []
        for frame in self._queries():
            found += frame.sources.values()
            if frame.clause in ("group", "having", "order"):
                found.append(Names({k: v for k, v in frame.outputs.items() if k != "*"}))
            if frame.phase == "select":
                found += [self._catalog.columns, *self._cte_columns()]
        return Union(dict.fromkeys(found))

    def _columns_of(self, path: tuple[str, ...]) -> Names | None:
        """The columns after a qualifier; None if nothing is called so and nothing can be."""
        alias = path[-1]
        for frame in self._queries():
            if alias in frame.sources:
                return frame.sources[alias]
            if frame.phase == "select":
                known = self._catalog.tables.get(path) if len(path) > 1 else self._named(alias)
                return known or self._undeclared(frame.asked.get(alias, frozenset()))
        return None

    def _named(self, table: str) -> Names | None:
        """The columns of the table, or the CTE, of this name."""
        for frame in reversed(self._frames):
            if table in frame.ctes:
                return frame.ctes[table]
        return self._catalog.named.get(table)

    def _undeclared(self, asked: frozenset[str]) -> Names:
        """Columns that an alias may still be asked for: some one table must have them all."""
        ctes = self._cte_columns()
        if not asked:
            return Union([self._catalog.columns, *ctes])
        tables = self._catalog.having.get(next(iter(asked)), [])
        return Union(names for names in (*tables, *ctes) if asked <= names.canonical)

    def _cte_columns(self) -> list[Names]:
        return [names for frame in self._frames for names in frame.ctes.values()]

    def _queries(self) -> list[Frame]:
        """The open queries, innermost first."""
        return [frame for frame in reversed(self._frames) if frame.kind == "query"]

    def _qualifier_begins(self, part: str) -> bool:
        """True if a name of this beginning may have a dot behind it."""
        low, queries = part.lower(), self._queries()
        quote = low[0] if low[0] == '"' else ""
        declared = [name for frame in queries for name in frame.sources]
        declared += [n for frame in queries if frame.phase == "select" for n in frame.asked]
        if any((quote + name).startswith(low) for name in declared):
            return True
        if not any(frame.phase == "select" for frame in queries):
            return False
        ctes = (name for frame in self._frames for name in frame.ctes)
        return (
            (len(part) <= ALIAS_CHARACTERS and part[0] != '"')
            or self._catalog.after(()).begins(part)
            or any((quote + name).startswith(low) for name in ctes)
        )

    def _ask(self, path: tuple[str, ...], column: str) -> bool:
        """Remember what the select list asks of a name that is not declared yet."""
        queries = self._queries()
        if not queries:
            return False
        query = queries[0]
        if query.phase != "select":
            return True  # `_candidates` knew what is declared
        if not path:
            query.bare = query.bare | {column}
            return True
        alias = path[-1]
        query.asked[alias] = query.asked.get(alias, frozenset()) | {column}
        return True

    def _end_item(self, top: Frame) -> None:
        if top.last and top.first:
            name = self._plain(top.last)
            top.outputs |= {top.last: name}
            if top.last[0] != '"':
                top.outputs |= {name: name, name.upper(): name}
        top.last = ""

    def _end_query(self, query: Frame) -> bool:
        """True if FROM has declared all that was asked for; what it has not may lie outside."""
        if query.phase == "select":
            self._end_item(query)
        if query.wants == "source" or (query.wants == "alias" and query.derived is not None):
            return False
        if query.phase == "after":
            return True
        if "*" in query.outputs and not query.sources:
            return False
        outer = [frame for frame in self._queries() if frame is not query]
        for alias, asked in query.asked.items():
            if alias in query.sources:
                if not asked <= query.sources[alias].canonical:
                    return False
            elif not _outside(outer, alias, asked):
                return False
        mine = frozenset().union(*(names.canonical for names in query.sources.values()))
        missing = query.bare - mine
        for frame in outer:
            if missing and frame.phase == "select":
                frame.bare = frame.bare | missing
                return True
            missing -= frozenset().union(*(names.canonical for names in frame.sources.values()))
        query.asked, query.bare = {}, frozenset()
        return not missing

    def _outputs(self, query: Frame) -> Names:
        found = {written: name for written, name in query.outputs.items() if written != "*"}
        if "*" in query.outputs:
            for names in query.sources.values():
                found |= names.spelled
        return Names(found)

    def _plain(self, word: str) -> str:
        return word[1:-1].replace('""', '"').lower() if word[0] == '"' else word.lower()


def _outside(outer: list[Frame], alias: str, asked: frozenset[str]) -> bool:
    """Whether an open query around this one declares `alias` with these columns, or may yet."""
    for frame in outer:
        if alias in frame.sources:
            return asked <= frame.sources[alias].canonical
        if frame.phase == "select":
            frame.asked[alias] = frame.asked.get(alias, frozenset()) | asked
            return True
    return False
