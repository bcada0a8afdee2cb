"""The names of a schema, as they may be written in SQL.

Covers spelling: bare, in quotes, in lower or upper case. Text is UTF-8 read as Latin-1 (a
character a byte), so that half a letter at the end of a token does no harm. Not covered: which
name may stand where (`reader`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
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
        """`spelled`: what may be written -> the name it stands for."""
        self.spelled = spelled

    @classmethod
    def of(cls, names: Iterable[str], quote: Callable[[str], str]) -> Names:
        """Names of the schema; `quote` gives the quotes to those that need them."""
        spelled: dict[str, str] = {}
        for name in names:
            if quote(name) == name and name.lower() not in RESERVED:
                spelled |= {name.lower(): name, name.upper(): name, name: name}
            spelled[latin('"' + name.replace('"', '""') + '"')] = name
        return cls(spelled)

    def find(self, written: str) -> str | None:
        """The name that is meant, in lower case; None if there is none."""
        name = self.spelled.get(written)
        return None if name is None else name.lower()

    @cached_property
    def canonical(self) -> frozenset[str]:
        """All names, in lower case."""
        return frozenset(name.lower() for name in self.spelled.values())

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self.spelled)

    def begins(self, part: str) -> bool:
        """True if some name begins with `part`."""
        at = bisect_left(self._sorted, part)
        return at < len(self._sorted) and self._sorted[at].startswith(part)

    def rest(self, part: str) -> str:
        """What must follow `part`, where one name alone begins so; else nothing."""
        at = bisect_left(self._sorted, part)
        found = [name for name in self._sorted[at : at + 2] if name.startswith(part)]
        return found[0][len(part) :] if len(found) == 1 else ""


def latin(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


class Union(Names):
    """Several sets of names as one, without copying them."""

    def __init__(self, parts: Iterable[Names]) -> None:
        self._parts = list(parts)

    def find(self, written: str) -> str | None:
        """The name that is meant, in lower case; None if there is none."""
        return next((name for part in self._parts if (name := part.find(written))), None)

    def begins(self, part: str) -> bool:
        """True if some name begins with `part`."""
        return any(names.begins(part) for names in self._parts)

    def rest(self, part: str) -> str:
        """What must follow `part`, where one name alone begins so; else nothing."""
        found = {names.rest(part) for names in self._parts if names.begins(part)}
        return found.pop() if len(found) == 1 else ""


class Catalog:
    """What a schema holds: tables by their path (`("main", "sales")`), each with its columns."""

    def __init__(self, schema: Schema, quote: Callable[[str], str]) -> None:
        """`quote` is the prompt's rule for quoting a name."""
        self.tables: dict[tuple[str, ...], Names] = {}
        self.named: dict[str, Names] = {}  # by the last part of the path
        self.having: dict[str, list[Names]] = {}  # the tables that have a column
        following: dict[tuple[str, ...], list[str]] = {}
        for table in schema.tables:
            spaces = (
                table.namespace.split(".", 1) if schema.dialect == "duckdb" else [table.namespace]
            )
            path = (*filter(None, spaces), table.name)
            lower = tuple(part.lower() for part in path)
            names = Names.of((column.name for column in table.columns), quote)
            self.tables[lower] = names
            self.named.setdefault(lower[-1], names)
            for column in names.canonical:
                self.having.setdefault(column, []).append(names)
            for at, part in enumerate(path):
                following.setdefault(lower[:at], []).append(part)
        self._next = {path: Names.of(parts, quote) for path, parts in following.items()}
        self.columns = Names.of(
            dict.fromkeys(c.name for table in schema.tables for c in table.columns), quote
        )

    def after(self, path: tuple[str, ...]) -> Names:
        """The names of tables or namespaces that go on with `path`."""
        return self._next.get(path, _NOTHING)

    def leads(self, path: tuple[str, ...]) -> bool:
        """True if a table's path begins with these parts."""
        return path in self.tables or path in self._next


_NOTHING = Names({})
