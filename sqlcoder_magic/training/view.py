"""A schema as the writer of questions sees it: kinds of columns, words for names, join paths.

Not covered: the questions themselves (`ask_table`, `ask_joins`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from sqlcoder_magic.prompt import quote_name
from sqlcoder_magic.training.query import OWN_NAMES, alias_style, initials, words_of
from sqlcoder_magic.training.words import plural, singular
from sqlcoder_magic.types import Column, Schema, Table

_NUMBER = re.compile(r"INT|REAL|DEC|FLOAT|DOUBLE|NUM", re.I)
_DATE = re.compile(r"DATE|TIMESTAMP", re.I)
_KEY_WORDS = {"id", "key", "code", "no", "uid", "ref", "fk", "number"}
_VALUES = ("North", "Open", "Gold", "Paris", "Smith", "Blue", "Active", "London", "Standard", "A")

AGGREGATES = (
    ("average", "AVG"),
    ("total", "SUM"),
    ("highest", "MAX"),
    ("lowest", "MIN"),
    ("maximum", "MAX"),
    ("minimum", "MIN"),
)
LAST = "DESC NULLS LAST"

Asked = tuple[str, str]  # a question and its SQL


@dataclass(frozen=True)
class View:
    """One table: its columns by what can be asked about them."""

    table: Table
    dialect: str
    numbers: tuple[Column, ...]
    texts: tuple[Column, ...]
    dates: tuple[Column, ...]

    @property
    def sql(self) -> str:
        """The table's name as SQL."""
        return self.name(self.table.name)

    def name(self, name: str) -> str:
        """Any name as SQL."""
        return quote_name(name, self.dialect)

    @property
    def one(self) -> str:
        """A row, in words: `has pet`."""
        words = words_of(self.table.name)
        words = words[1:] if len(words) > 1 and words[0] in ("tbl", "dim", "all") else words
        return " ".join([*words[:-1], singular(words[-1])]) if words else self.table.name

    @property
    def many(self) -> str:
        """Rows, in words."""
        words = self.one.split()
        return " ".join([*words[:-1], plural(words[-1])])


def view_of(table: Table, dialect: str) -> View:
    """The table with its columns sorted into numbers, texts and dates; keys are none of them."""
    keys = {name for key in table.foreign_keys for name in key.columns} | set(table.primary_key)
    plain = [c for c in table.columns if c.name not in keys and not _is_key(c.name)]
    dates = tuple(c for c in plain if _DATE.search(c.type))
    numbers = tuple(c for c in plain if c not in dates and _NUMBER.search(c.type))
    texts = tuple(c for c in plain if c not in dates and c not in numbers)
    return View(table, dialect, numbers, texts, dates)


def _is_key(name: str) -> bool:
    words = words_of(name)
    return not words or words[-1] in _KEY_WORDS


def said(column: Column) -> str:
    """A column's name in words."""
    return " ".join(words_of(column.name))


def value_of(column: Column, rng: Random, other: str = "") -> str:
    """A value of a text column that is not `other`."""
    choices = [value for value in column.samples if value != other and len(value) < 40]
    return rng.choice(choices or [value for value in _VALUES if value != other])


def literal(value: str) -> str:
    """The value as SQL."""
    return "'" + value.replace("'", "''") + "'"


@dataclass(frozen=True)
class Step:
    """`left.column = right.other`: how the tables at two places of a path join."""

    left: int
    column: str
    right: int
    other: str


@dataclass(frozen=True)
class Path:
    """Tables along foreign keys, each under an alias."""

    views: tuple[View, ...]
    aliases: tuple[str, ...]
    steps: tuple[Step, ...]

    def column(self, place: int, name: str) -> str:
        """A column of the table at that place, qualified."""
        return f"{self.aliases[place]}.{self.views[place].name(name)}"

    def from_clause(self, join: str = "JOIN") -> str:
        """FROM and every JOIN, from the first table to the last."""
        text = "FROM " + self._source(0)
        for step in self.steps:
            on = f"{self.column(step.left, step.column)} = {self.column(step.right, step.other)}"
            text += f" {join} {self._source(step.right)} ON {on}"
        return text

    def _source(self, place: int) -> str:
        name, alias = self.views[place].sql, self.aliases[place]
        return name if alias == name else f"{name} AS {alias}"


Edge = tuple[str, str, str, str]


def edges(schema: Schema) -> list[Edge]:
    """(table, column, other table, other column) of every single-column key, from both ends."""
    found = []
    for table in schema.tables:
        for key in table.foreign_keys:
            if len(key.columns) == 1 and key.other_table != table.name:
                found.append((table.name, key.columns[0], key.other_table, key.other_columns[0]))
    return found + [(c, d, a, b) for a, b, c, d in found]


def walk(
    schema: Schema, tables: int, rng: Random, start: str = "", own_names: float = OWN_NAMES
) -> Path | None:
    """A path of so many different tables; None if the walk got stuck."""
    joins = edges(schema)
    if not joins:
        return None
    names = [start or rng.choice(joins)[0]]
    steps: list[Step] = []
    while len(names) < tables:
        onward = [edge for edge in joins if edge[0] == names[-1] and edge[2] not in names]
        if not onward:
            return None
        _, column, other, other_column = rng.choice(onward)
        steps.append(Step(len(names) - 1, column, len(names), other_column))
        names.append(other)
    return path_of(schema, names, steps, rng, own_names)


def path_of(
    schema: Schema,
    names: Sequence[str],
    steps: Sequence[Step],
    rng: Random,
    own_names: float = OWN_NAMES,
) -> Path | None:
    """The path over these tables, aliased in some style."""
    tables = {table.name: table for table in schema.tables}
    if not set(names) <= set(tables):
        return None
    views = tuple(view_of(tables[name], schema.dialect) for name in names)
    style = alias_style(rng, own_names)
    if style == "numbered":
        aliases = [f"T{place + 1}" for place in range(len(names))]
    elif style == "none":
        aliases = [view.sql for view in views]
    else:
        aliases = []
        for name in names:
            aliases.append(initials(name, aliases, schema.dialect))
    return Path(views, tuple(aliases), tuple(steps))
