"""The comments inside a CREATE TABLE, by column: what SQLite keeps instead of COMMENT ON.

    CREATE TABLE products (  -- what the shop sells
        price REAL,          -- in dollars
        /* how many are left */
        quantity INTEGER
    )

A comment on the line on which a column's definition ends belongs to that column; one on a
line of its own to the column that follows; one before the first column, on the opening line,
to the table. Not covered: parsing SQL any further than strings, quotes, commas and brackets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
      | (?P<text>'(?:[^']|'')*+'|"(?:[^"]|"")*+"|`(?:[^`]|``)*+`|\[[^\]]*\])
      | (?P<newline>\n)
      | (?P<space>[^\S\n]+)
      | (?P<mark>[(),])
      | (?P<word>(?:(?!--|/\*)[^\s(),'"`\[])+)
      | (?P<other>.)""",
    re.S | re.X,
)
_CONSTRAINTS = frozenset({"constraint", "primary", "unique", "check", "foreign"})


def ddl_comments(sql: str) -> tuple[str, dict[str, str]]:
    """The table's comment, and the columns' comments by case-folded name."""
    reader = _Reader()
    for match in _TOKEN.finditer(sql):
        reader.take(match.lastgroup or "", match.group())
    table = " ".join(reader.table)
    return table, {name: " ".join(texts) for name, texts in reader.columns.items()}


@dataclass
class _Reader:
    table: list[str] = field(default_factory=list)
    columns: dict[str, list[str]] = field(default_factory=dict)
    depth: int = 0
    opened: bool = False  # the bracket around the columns was seen
    item: str | None = None  # the item being read: a column, "" for a constraint
    last: str | None = None  # the item that ended on this line
    waiting: list[str] = field(default_factory=list)  # comments for the item that follows
    fresh_line: bool = True  # nothing but space and comments on this line so far

    def take(self, kind: str, text: str) -> None:
        """Move on by one token."""
        if kind == "comment":
            self._comment(_stripped(text))
        elif kind == "newline":
            self.last, self.fresh_line = None, True
        elif kind != "space":
            self._code(kind, text)
            self.fresh_line = False

    def _comment(self, text: str) -> None:
        if not text:
            return
        if self.depth == 0 or (self.depth == 1 and self._on_opening_line()):
            self.table.append(text)
        elif self.item is not None:
            self._belongs_to(self.item, text)
        elif self.last is not None:
            self._belongs_to(self.last, text)
        else:
            self.waiting.append(text)

    def _on_opening_line(self) -> bool:
        nothing_yet = self.item is None and self.last is None and not self.columns
        return nothing_yet and not self.fresh_line and not self.waiting

    def _belongs_to(self, item: str, text: str) -> None:
        if item:
            self.columns.setdefault(item, []).append(text)

    def _code(self, kind: str, text: str) -> None:
        if text == "(" and kind == "mark":
            self.depth += 1
        elif text == ")" and kind == "mark":
            self.depth -= 1
        elif self.depth == 1 and text == "," and kind == "mark":
            self.last, self.item = self.item, None
        elif self.depth == 1 and self.item is None:
            self._begin(kind, text)

    def _begin(self, kind: str, text: str) -> None:
        """The first token of an item: a column's name, or the word of a constraint."""
        is_constraint = kind == "word" and text.casefold() in _CONSTRAINTS
        self.item, self.last = "" if is_constraint else _unquoted(text).casefold(), None
        for waiting in self.waiting:
            self._belongs_to(self.item, waiting)
        self.waiting.clear()


def _stripped(comment: str) -> str:
    inside = comment[2:] if comment.startswith("--") else comment[2:].removesuffix("*/")
    return " ".join(inside.strip("-*# \t\r\n").split())


def _unquoted(name: str) -> str:
    first = name[:1]
    if first == "[":
        return name[1:-1]
    if first in ('"', "`", "'") and len(name) > 1:
        return name[1:-1].replace(first * 2, first)
    return name
