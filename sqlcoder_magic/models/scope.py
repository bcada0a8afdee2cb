"""What is in sight while a SELECT is being written: sources, aliases, CTEs, columns asked for.

`Scope` answers which names may stand at a spot, and holds a FROM to what the select list asked of
names that were not declared yet. Not covered: reading the text (`reader`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sqlcoder_magic.models.names import NOTHING, RESERVED, Catalog, Names, Union
from sqlcoder_magic.models.words import ALIAS_CHARACTERS, CLAUSES, LONGEST_ALIAS, PATIENCE

_NOBODY: frozenset[str] = frozenset()
# Parentheses of which the query around lends nothing to the query inside.
_SHUT = ("derived", "cte", "body", "operand")


@dataclass
class Frame:
    """A query or a pair of parentheses that is open. Its values are replaced, never changed."""

    kind: str = "paren"  # query, cast, field, using, names; derived, cte, body, operand; paren
    phase: str = "select"  # with, select, from, after, values
    sources: dict[str, Names] = field(default_factory=dict)  # by the key of their name
    asked: dict[str, frozenset[str]] = field(default_factory=dict)  # columns of undeclared aliases
    bare: frozenset[str] = _NOBODY  # columns asked for without a qualifier
    outputs: dict[str, str] = field(default_factory=dict)
    ctes: dict[str, Names] = field(default_factory=dict)
    cte_words: dict[str, str] = field(default_factory=dict)  # as they are written
    columns: Names | None = None  # of the CTE or derived table just named, where a list gives them
    recursive: bool = False
    last: str = ""  # the name that ends the select item, as it is written
    name: str = ""  # the CTE or the source that was named last
    clause: str = ""
    wants: str = ""  # "source": FROM waits for a table; "alias": a source may get one
    table: str = ""  # the source that may get an alias
    derived: Names | None = None  # the columns of the parentheses just closed
    links: int = 0  # ANDs and ORs of this ON
    first: bool = True  # the outputs still grow (the first SELECT of a UNION)

    def copy(self) -> Frame:
        other = object.__new__(Frame)
        other.__dict__.update(self.__dict__)
        return other


class Scope:
    """The open queries, the innermost last."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._frames = [Frame()]
        self._path: tuple[str, ...] = ()  # the qualifiers in front of the next name
        self._known: Names | None = None  # the candidates here, once they were asked for
        self._before = ("", "")  # the last two lexemes, words in lower case

    def _candidates(self, role: str) -> Names:
        """The names that may stand here; for a column those after its qualifier, if it has one."""
        if self._known is None:
            if role == "table":
                self._known = self._tables()
            elif self._path:
                self._known = self._columns_of(self._path) or NOTHING
            elif self._frames[-1].kind == "using":
                self._known = self._shared()
            else:
                self._known = self._bare()
        return self._known

    def _tables(self) -> Names:
        known, top = self._catalog.after(self._path), self._frames[-1]
        ctes: dict[str, str] = {}
        if not self._path:
            words = (word for frame in self._frames for word in frame.cte_words.items())
            ctes = {word: key for word, key in words if self._cte(key) is not None}
        if self._is_due(top):
            paying = self._paying(top, ctes)
            every = {**known.spelled, **ctes}
            return Names({word: key for word, key in every.items() if key in paying})
        return Union([Names(ctes), known]) if ctes else known

    def _bare(self) -> Names:
        """Columns that may be named without a qualifier."""
        found: list[Names] = []
        for frame in self._queries():
            if frame.first or frame.clause != "order":  # ORDER BY of a UNION sees its outputs
                found += frame.sources.values()
            if frame.clause in ("group", "having", "order"):
                found.append(Names({k: v for k, v in frame.outputs.items() if k != "*"}))
            if frame.phase == "select":
                found += [self._catalog.columns, *self._cte_columns()]
        return Union(dict.fromkeys(found))

    def _shared(self) -> Names:
        """Columns for USING: of the last source and of one before it."""
        *before, last = self._frames[-2].sources.values()
        others = _NOBODY.union(*(names.keys for names in before))
        return Names({word: key for word, key in _spelled(last) if key in others})

    def _columns_of(self, path: tuple[str, ...]) -> Names | None:
        """The columns after a qualifier; None if nothing is called so and nothing can be."""
        alias, asked = path[-1], _NOBODY
        undeclared, new = False, True
        for frame in self._queries():
            if alias in frame.sources:
                return frame.sources[alias]
            if frame.phase == "select":
                undeclared, new = True, new and alias not in frame.asked
                asked |= frame.asked.get(alias, _NOBODY)
        if not undeclared:
            return None
        known = self._catalog.tables.get(path) if len(path) > 1 else self._named(alias)
        if known is None and new and len(alias) > ALIAS_CHARACTERS:
            return None
        return known or self._undeclared(asked)

    def _named(self, table: str) -> Names | None:
        """The columns of the table, or the CTE, of this name."""
        return self._cte(table) or self._catalog.named.get(table)

    def _cte(self, key: str) -> Names | None:
        return next((f.ctes[key] for f in reversed(self._frames) if key in f.ctes), None)

    def _undeclared(self, asked: frozenset[str]) -> Names:
        """Columns that an alias may still be asked for: some one table must have them all."""
        ctes = self._cte_columns()
        if not asked:
            return Union([self._catalog.columns, *ctes])
        found = [names for names in ctes if asked <= names.keys]
        return Union([self._catalog.beside(asked), *found])

    def _cte_columns(self) -> list[Names]:
        return [names for frame in self._frames for names in frame.ctes.values()]

    def _queries(self) -> list[Frame]:
        """The open queries whose names are in sight, innermost first."""
        found, shut = [], False
        for frame in reversed(self._frames):
            if frame.kind == "query":
                if not shut:
                    found.append(frame)
                shut = False
            elif frame.kind in _SHUT:
                shut = True
        return found

    def _qualifiers(self, part: str) -> Iterator[str]:
        """Names of this beginning that may have a dot behind them, as they may be written."""
        queries, low = self._queries(), part.lower()
        declared = [name for frame in queries for name in frame.sources]
        undeclared = any(frame.phase == "select" for frame in queries)
        if undeclared:
            declared += [n for frame in queries if frame.phase == "select" for n in frame.asked]
            declared += [name for frame in self._frames for name in frame.ctes]
        for name in (self._catalog.quoted.get(key, key) for key in declared):
            written = name if name[0] == '"' or low[:1] != '"' else f'"{name}"'
            if written.startswith(part if written[0] == '"' else low):
                yield part + written[len(part) :]
        tables = self._catalog.after(())
        for written in tables.begin(part):
            key = tables.find(written) or ""
            if (undeclared and (key,) in self._catalog.tables) or self._may_lead((key,)):
                yield written
        if undeclared and len(part) <= ALIAS_CHARACTERS and part[:1] != '"':
            yield part or "t"

    def _may_lead(self, path: tuple[str, ...]) -> bool:
        """True if a column may be named in full behind these namespaces, or behind this table."""
        tables = self._catalog.tables
        if not self._catalog.leads(path) and (len(path) < 2 or path not in tables):
            return False
        queries = self._queries()
        undeclared = any(frame.phase == "select" for frame in queries)
        return any(
            keys[: len(path)] == path
            and (undeclared or any(keys[-1] in frame.sources for frame in queries))
            for keys in tables
            if len(keys) > 1
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
        query.asked = query.asked | {alias: query.asked.get(alias, _NOBODY) | {column}}
        return True

    def _end_item(self, top: Frame) -> None:
        if top.last and top.first:
            name = self._catalog.key(top.last)
            written = {top.last: name}
            if top.last[0] != '"':
                written |= {name: name, name.upper(): name}
            top.outputs = top.outputs | written
        top.last = ""

    def _missing(self, query: Frame) -> tuple[dict[str, frozenset[str]], frozenset[str]]:
        """What was asked for and FROM has not declared: aliases with their columns, and columns."""
        asked = {
            alias: columns
            for alias, columns in query.asked.items()
            if not (alias in query.sources and columns <= query.sources[alias].keys)
        }
        mine = _NOBODY.union(*(names.keys for names in query.sources.values()))
        return asked, query.bare - mine

    def _owed(self, query: Frame) -> tuple[dict[str, frozenset[str]], frozenset[str]]:
        """What of it no query around can have."""
        asked, bare = self._missing(query)
        if asked or bare:
            for frame in self._around(query):
                if frame.phase == "select":
                    return {}, _NOBODY
                asked = {a: columns for a, columns in asked.items() if a not in frame.sources}
                bare -= _NOBODY.union(*(names.keys for names in frame.sources.values()))
        return asked, bare

    def _around(self, query: Frame) -> list[Frame]:
        return [frame for frame in self._queries() if frame is not query]

    def _is_due(self, query: Frame) -> bool:
        """True if the next source must be one that the select list has asked for.

        Else FROM could go on for ever: a model that may not end it joins one more table, always.
        """
        if query.phase != "from" or not (query.asked or query.bare):
            return False
        asked, bare = self._owed(query)
        count = len(query.sources) - (query.wants == "alias" and query.table in query.sources)
        return bool(asked or bare) and (count >= PATIENCE or any(_is_at(a, count) for a in asked))

    def _paying(self, query: Frame, ctes: Mapping[str, str]) -> set[str]:
        """The keys of tables here, or of namespaces that lead to tables, that were asked for."""
        tables, having, at = self._catalog.tables, self._catalog.having, len(self._path)
        asked, bare = self._owed(query)
        paths = {path for column in bare for path in having.get(column, ())}
        for columns in asked.values():
            among = having.get(next(iter(columns)), ()) if columns else tables
            paths.update(path for path in among if columns <= tables[path].keys)
        found = {path[at] for path in paths if path[:at] == self._path and len(path) > at}
        return found | {
            key for key in ctes.values() if self._paid(query, self._named(key) or NOTHING)
        }

    def _paid(self, query: Frame, columns: Names) -> list[str] | None:
        """The aliases asked for that a source of these columns can take; None: it is no use."""
        asked, bare = self._owed(query)
        found = [alias for alias, wanted in asked.items() if wanted <= columns.keys]
        return found if found or bare & columns.keys else None

    def _end_query(self, query: Frame) -> bool:
        """True if FROM has declared all that was asked for; what it has not may lie outside."""
        if query.phase == "select":
            self._end_item(query)
        if query.wants == "source" or (query.wants == "alias" and query.derived is not None):
            return False
        if query.phase in ("after", "values"):
            return True
        if "*" in query.outputs and not query.sources:
            return False
        asked, bare = self._missing(query)
        if any(alias in query.sources for alias in asked):
            return False
        outer = self._around(query)
        if not all(self._outside(outer, alias, columns) for alias, columns in asked.items()):
            return False
        for frame in outer:
            if bare and frame.phase == "select":
                frame.bare |= bare
                return True
            bare -= _NOBODY.union(*(names.keys for names in frame.sources.values()))
        query.asked, query.bare = {}, _NOBODY
        return not bare

    def _outside(self, outer: list[Frame], alias: str, asked: frozenset[str]) -> bool:
        """Whether a query around this one declares `alias` with these columns, or may yet."""
        for frame in outer:
            if alias in frame.sources:
                return asked <= frame.sources[alias].keys
            if frame.phase == "select":
                asked |= frame.asked.get(alias, _NOBODY)
                columns = self._named(alias) or self._undeclared(asked)
                frame.asked = frame.asked | {alias: asked}
                return asked <= columns.keys
        return False

    def _outputs(self, query: Frame) -> Names:
        found = {written: name for written, name in query.outputs.items() if written != "*"}
        if "*" in query.outputs:
            for names in query.sources.values():
                found |= dict(_spelled(names))
        return Names(found)

    def _source(self, top: Frame, path: tuple[str, ...], name: str) -> bool:
        """A table, or a CTE, that FROM takes up."""
        columns = self._catalog.tables.get((*path, name)) if path else self._named(name)
        if columns is None:
            return False
        self._known = None
        top.wants, top.table, top.derived, top.columns = "alias", name, None, None
        if name in top.sources or self._must_rename(top, name, columns):
            top.table, top.derived = "", columns  # it needs an alias of its own
        else:
            top.sources = top.sources | {name: columns}
        return True

    def _must_rename(self, top: Frame, name: str, columns: Names) -> bool:
        """True where a table under its own name is not what the select list means by it."""
        return name in top.asked and not top.asked[name] <= columns.keys

    def _must_name(self, top: Frame) -> bool:
        """True if the last source needs a name: a derived table, a table joined to itself, one
        that has to take an alias that is due.
        """
        if top.wants != "alias" or top.derived is not None:
            return top.wants == "alias"
        columns = top.sources.get(top.table) if top.table else top.derived
        if columns is None or top.table in top.asked or not self._is_due(top):
            return False
        return bool(self._paid(top, columns))

    def _declare(self, word: str) -> bool:
        """A new name: of a CTE, an output column, a source, or of a source's columns."""
        top, name = self._frames[-1], self._catalog.key(word)
        if top.kind == "names":
            top.outputs = top.outputs | {word: name}
            return True
        if top.phase == "with":
            top.name, top.columns = name, None
            known = self._catalog.leads((name,)) or name in top.ctes
            top.cte_words = top.cte_words | {word: name}
            return not known and word.lower() not in RESERVED
        if top.wants != "alias":
            top.last = word
            return True
        columns = top.sources.get(top.table) if top.table else top.derived
        if top.table in top.asked or columns is None or not self._is_alias(word, name, columns):
            return False  # or the select list means the table by its own name
        top.sources = {key: one for key, one in top.sources.items() if key != top.table}
        top.wants = top.table = ""
        top.derived = None
        if name in top.sources:
            return False
        top.sources[name] = columns
        top.name = name
        return True

    def _is_alias(self, word: str, name: str, columns: Names) -> bool:
        """True if the source of these columns may be called so."""
        top = self._frames[-1]
        if self._before[0] != "as" and self._is_invented(word):
            return False
        if len(word) > LONGEST_ALIAS or name in top.ctes:
            return False
        if self._is_due(top) and (due := self._paid(top, columns)):
            return name in due
        # T1, asked for columns that this source lacks, is not its alias; T1x would be a way around.
        return not any(
            (name == alias or (name.startswith(alias) and alias[-1].isdigit()))
            and not asked <= columns.keys
            for alias, asked in top.asked.items()
            if alias not in top.sources
        )

    def _is_invented(self, word: str) -> bool:
        """True for what a model writes in place of a clause that may not come yet."""
        low = word.lower()
        if len(word) > ALIAS_CHARACTERS:
            return low not in self._frames[-1].asked
        if word[:2] == "ON":
            return True
        letters = 3 if word[:2].isupper() else 4  # as many say which clause was meant
        return len(word) >= letters and any(c[:letters] == low[:letters] for c in CLAUSES)

    def _using_works(self) -> bool:
        self._frames.append(Frame("using"))
        shared = self._shared()
        self._frames.pop()
        return bool(shared.spelled)


def _spelled(names: Names) -> list[tuple[str, str]]:
    parts = names.parts if isinstance(names, Union) else [names]
    return [pair for part in parts for pair in part.spelled.items()]


def _is_at(alias: str, count: int) -> bool:
    """True if the next of so many sources is the place of an alias like T1, or was before."""
    number = re.fullmatch(r"t([1-9])", alias)
    if number is None:
        return False
    place = int(number[1])
    return count >= place or (place == 1 and count == 0)
