"""The values that a question mentions: "customers in New York" → customers.city = 'New York'.

What to look for (`candidates`) comes from the question alone; `lookups` writes one bounded
SELECT a table for it, and `with_found` puts what was found where the model looks: in the samples
of its column. The statements are run by the pipeline, checked and guarded like a model's.
First in each column: the value as it may be spelled, which an index answers; then, whatever the
case, among a table's first rows. Not covered: misspelled values, numbers and dates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from sqlcoder_magic.schema.found import named
from sqlcoder_magic.schema.samples import LONGEST_VALUE, TEXT_TYPE, quoted, quoted_table
from sqlcoder_magic.schema.words import says_nothing, singular, words
from sqlcoder_magic.types import Column, Schema, Table

MOST_CANDIDATES = 60  # pieces of a question that are looked for
MOST_WORDS = 4  # in one piece
MOST_COLUMNS = 60  # are looked into, over all tables
MOST_PER_COLUMN = 3  # values of a column are shown
FIRST_ROWS = 20_000  # of a table are compared whatever the case
_LONG = frozenset(words("description comment note text body url path html json hash address"))

_QUOTED = re.compile(r"'([^'\n]{1,60})'|\"([^\"\n]{1,60})\"|“([^”\n]{1,60})”|‘([^’\n]{1,60})’")
_WORD = re.compile(r"[^\W_](?:[\w.&'’/+#@-]*[\w+#])?")

Found = Mapping[tuple[str, str], tuple[str, ...]]  # (table's full name, column) -> values


@dataclass(frozen=True)
class Lookup:
    """A SELECT of (position in `columns`, value)."""

    sql: str
    table: str
    columns: tuple[str, ...]


def candidates(question: str) -> list[str]:
    """Pieces of the question that may be values, the likeliest first."""
    said = [next(filter(None, match)) for match in _QUOTED.findall(question)]
    tokens = [(m.group(), m.start(), m.end()) for m in _WORD.finditer(question)]
    likely: list[str] = []
    rest: list[str] = []
    last: list[str] = []
    for first, size in _spans(len(tokens)):
        piece = tokens[first : first + size]
        if says_nothing(piece[-1][0]):
            continue
        text = re.sub(r"\s+", " ", question[piece[0][1] : piece[-1][2]])
        if len(text) > LONGEST_VALUE or re.search(r"[?!;:,]", text):
            continue
        special = re.search(r"\d", text) or all(t[0][:1].isupper() for t in (piece[0], piece[-1]))
        if says_nothing(piece[0][0]):
            last.append(text)  # `on hold`, `out of stock`
        else:
            (likely if special and first else rest).append(text)
    singles = [singular(text.lower()) for text in rest if " " not in text]
    found = dict.fromkeys([*said, *likely, *rest, *singles, *last])
    return [text for text in found if "\\" not in text and text.isprintable()][:MOST_CANDIDATES]


def _spans(count: int) -> Iterator[tuple[int, int]]:
    """(first, size) of every run of words, longer runs first."""
    for size in range(min(MOST_WORDS, count), 0, -1):
        for first in range(count - size + 1):
            yield first, size


def lookups(schema: Schema, question: str) -> list[Lookup]:
    """One SELECT for each table that has columns worth looking into; none without candidates."""
    wanted = candidates(question)
    if not wanted:
        return []
    asked = set(words(question))
    places = [
        (_worth(column, table, asked), position, column)
        for position, table in enumerate(schema.tables)
        for column in table.columns
        if TEXT_TYPE.fullmatch(column.type) and not column.generated
    ]
    places.sort(key=lambda place: place[:2])
    chosen: dict[int, list[str]] = {}
    for _, position, column in places[:MOST_COLUMNS]:
        chosen.setdefault(position, []).append(column.name)
    return [
        Lookup(
            _statement(schema.tables[position], columns, wanted, schema.dialect),
            schema.tables[position].full_name,
            tuple(columns),
        )
        for position, columns in chosen.items()
    ]


def _worth(column: Column, table: Table, asked: set[str]) -> tuple[bool, bool, int]:
    """Sorts first: what the question names, then what has few values, then small tables."""
    own = words(column.name)
    return (not asked.intersection(own), bool(_LONG.intersection(own)), table.rows or 0)


def _statement(table: Table, columns: list[str], wanted: list[str], dialect: str) -> str:
    source = quoted_table(table, dialect)
    spelled = dict.fromkeys(variant for text in wanted for variant in _variants(text))
    lower = dict.fromkeys(text.lower() for text in wanted)
    parts = []
    for position, column in enumerate(columns):
        name = quoted(column, dialect)
        parts.append(
            f"SELECT {position} AS p, v FROM (SELECT DISTINCT {name} AS v FROM {source} "
            f"WHERE {name} IN (SELECT w FROM spelled) LIMIT {MOST_PER_COLUMN}) AS a{position}"
        )
        parts.append(
            f"SELECT {position} AS p, v FROM (SELECT DISTINCT v FROM (SELECT {name} AS v "
            f"FROM {source} LIMIT {FIRST_ROWS}) AS f{position} "
            f"WHERE LOWER(v) IN (SELECT w FROM lowered) LIMIT {MOST_PER_COLUMN}) AS b{position}"
        )
    return (
        f"WITH spelled AS ({_column(spelled)}), lowered AS ({_column(lower)}) "
        + " UNION ALL ".join(parts)
        + " ORDER BY p, v"
    )


def _column(values: Iterable[str]) -> str:
    """A column `w` of these texts, as every engine spells it."""
    literals = ("'" + value.replace("'", "''") + "'" for value in values)
    return " UNION ALL ".join(f"SELECT {literal} AS w" for literal in literals)


def _variants(text: str) -> tuple[str, ...]:
    """How a value may be spelled that a person writes like this."""
    return (text, text.lower(), text.upper(), text.title(), text[:1].upper() + text[1:].lower())


def with_found(schema: Schema, found: Found) -> Schema:
    """The schema with these values in front of their columns' samples."""
    tables = []
    for table in schema.tables:
        columns = tuple(
            replace(column, samples=_merged(found[table.full_name, column.name], column.samples))
            if found.get((table.full_name, column.name))
            else column
            for column in table.columns
        )
        tables.append(table if columns == table.columns else replace(table, columns=columns))
    return replace(schema, tables=tuple(tables))


def found_notes(found: Found) -> tuple[str, ...]:
    """One sentence that names the values; none without any."""
    said = [f"{place[0]}.{place[1]} = {value!r}" for place in found for value in found[place]]
    return (f"Values that the question mentions: {named(said)}.",) if said else ()


def _merged(values: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """At most as many as there were, or three; those found first."""
    most = max(len(known), MOST_PER_COLUMN)
    return tuple(dict.fromkeys((*values, *known)))[:most]
