"""The names of a schema, as they may be written in SQL.

Covers spelling: bare, in quotes, in lower or upper case. Text is UTF-8 read as Latin-1 (a
character a byte), so that half a letter at the end of a token does no harm. Each name has a key:
itself in lower case, in quotes where it may not stand bare; so two names in quotes are not told
apart by their case. Not covered: which name may stand where (`reader`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property

from sqlcoder_magic.types import Schema

# Words that are never a name unless quoted.
RESERVED = frozenset(
    "all and any array as asc at between both by case cast check collate column constraint create "
    "cross cube current current_date current_time current_timestamp current_user default delete "
    "desc distinct do drop else end except exists extract false fetch filter following for foreign "
    "from full grant group grouping having ilike in inner insert intersect interval into is join "
    "key lateral leading left like limit localtime localtimestamp natural not null nulls offset on "
    "only or order outer over partition preceding primary range references returning right rollup "
    "row rows select session_user set similar some table then to trailing true unbounded union "
    "unique unnest update user using values when where window with within zone".split()
)


class Names:
    """A set of names as they may be written: as they are spelled, bare or in double quotes, and
    bare in lower or upper case.
    """

    def __init__(self, spelled: Mapping[str, str]) -> None:
        """`spelled`: what may be written -> the key of the name it stands for."""
        self.spelled = spelled

    @classmethod
    def of(cls, names: Iterable[str], quote: Callable[[str], str]) -> Names:
        """Names of the schema; `quote` gives the quotes to those that need them."""
        spelled: dict[str, str] = {}
        for name in names:
            key = key_of(name, quote)
            if key[0] != '"':
                spelled |= {key: key, name.upper(): key, name: key}
            spelled[_quoted(name)] = key
        return cls(spelled)

    def find(self, written: str) -> str | None:
        """The key of the name that is meant; None if there is none."""
        return self.spelled.get(written)

    @cached_property
    def keys(self) -> frozenset[str]:
        """The keys of all names."""
        return frozenset(self.spelled.values())

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self.spelled)

    def begin(self, part: str) -> Iterator[str]:
        """Names that begin with `part`: one bare and one in quotes stand for the others."""
        firsts = (part,) if part else ('"', "A")  # capitals stand before all other letters
        for first in firsts:
            at = bisect_left(self._sorted, first)
            if at < len(self._sorted) and self._sorted[at].startswith(part):
                yield self._sorted[at]

    def rest(self, part: str) -> str:
        """What must follow `part`, where one name alone begins so; else nothing."""
        at = bisect_left(self._sorted, part)
        found = [name for name in self._sorted[at : at + 2] if name.startswith(part)]
        return found[0][len(part) :] if len(found) == 1 else ""


def key_of(name: str, quote: Callable[[str], str]) -> str:
    """What tells a name from others: in lower case, and in quotes if it may not stand bare."""
    bare = quote(name) == name and name.lower() not in RESERVED
    return name.lower() if bare else _quoted(name).lower()


def _quoted(name: str) -> str:
    return latin('"' + name.replace('"', '""') + '"')


def latin(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


class Union(Names):
    """Several sets of names as one, without copying them."""

    def __init__(self, parts: Iterable[Names]) -> None:
        self.parts = list(parts)

    def find(self, written: str) -> str | None:
        """The key of the name that is meant; None if there is none."""
        return next((name for part in self.parts if (name := part.find(written))), None)

    @property
    def keys(self) -> frozenset[str]:
        """The keys of all names."""
        return frozenset[str]().union(*(part.keys for part in self.parts))

    def begin(self, part: str) -> Iterator[str]:
        """Names that begin with `part`, not all of them."""
        return (name for names in self.parts for name in names.begin(part))

    def rest(self, part: str) -> str:
        """What must follow `part`, where one name alone begins so; else nothing."""
        found = {names.rest(part) for names in self.parts if any(names.begin(part))}
        return found.pop() if len(found) == 1 else ""


class Catalog:
    """What a schema holds: tables by their path (`("main", "sales")`), each with its columns."""

    def __init__(self, schema: Schema, quote: Callable[[str], str]) -> None:
        """`quote` is the prompt's rule for quoting a name."""
        self.tables: dict[tuple[str, ...], Names] = {}  # by the keys of the path
        self.named: dict[str, Names] = {}  # by the last of them
        self.having: dict[str, list[tuple[str, ...]]] = {}  # the tables that have a column
        following: dict[tuple[str, ...], list[str]] = {}
        for table in schema.tables:
            spaces = (
                table.namespace.split(".", 1) if schema.dialect == "duckdb" else [table.namespace]
            )
            path = (*filter(None, spaces), table.name)
            keys = tuple(key_of(part, quote) for part in path)
            names = Names.of((column.name for column in table.columns), quote)
            self.tables[keys] = names
            self.named.setdefault(keys[-1], names)
            for column in names.keys:
                self.having.setdefault(column, []).append(keys)
            for at, part in enumerate(path):
                following.setdefault(keys[:at], []).append(part)
        self._next = {path: Names.of(parts, quote) for path, parts in following.items()}
        self._keys = Union(self._next.values())
        self.quoted = {  # the keys in quotes -> as they are written
            key: word
            for names in self._next.values()
            for word, key in names.spelled.items()
            if key[0] == '"'
        }
        self._beside: dict[frozenset[str], Names] = {}
        self.columns = Names.of(
            dict.fromkeys(c.name for table in schema.tables for c in table.columns), quote
        )

    def after(self, path: tuple[str, ...]) -> Names:
        """The names of tables or namespaces that go on with `path`."""
        return self._next.get(path, NOTHING)

    def beside(self, columns: frozenset[str]) -> Names:
        """All columns of the tables that have these, one or more."""
        if columns not in self._beside:
            found: dict[str, str] = {}
            for path in self.having.get(next(iter(columns)), ()):
                if columns <= self.tables[path].keys:
                    found |= self.tables[path].spelled
            self._beside[columns] = Names(found)
        return self._beside[columns]

    def leads(self, path: tuple[str, ...]) -> bool:
        """True if a table's path goes on after these parts."""
        return path in self._next

    def key(self, written: str) -> str:
        """The key of a word that may be a table's name or an alias of the draft's own."""
        if written[0] != '"':
            return written.lower()
        inner = written[1:-1]
        plain = inner.isidentifier() and inner == inner.lower() and inner.isascii()
        return self._keys.find(written) or (inner if plain else written)


NOTHING = Names({})
