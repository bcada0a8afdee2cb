"""How the guard says no: a `SQLRejected` that shows the line, with a caret under the spot.

Covers the layout of the message. What is refused, and why, stands in the passes.
"""

from __future__ import annotations

import unicodedata

from sqlcoder_magic.errors import SQLRejected

_WIDEST_LINE = 100


def rejected(rule: str, what: str, *, sql: str, offset: int = -1, fix: str = "") -> SQLRejected:
    """The refusal of `sql` by the pass `rule`.

    `offset` counts characters from 0; below 0 the refusal has no single spot.
    """
    if offset < 0:
        return SQLRejected(what, rule=rule, fix=fix, sql=sql)
    line, column = position(sql, offset)
    message = f"{what} (line {line}, column {column})\n{_pointed(sql, line, column)}"
    return SQLRejected(message, rule=rule, fix=fix, sql=sql, line=line, column=column)


def position(sql: str, offset: int) -> tuple[int, int]:
    """Line and column, both from 1, of a character."""
    before = sql[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def escaped(text: str) -> str:
    """`text` with control, direction and other invisible characters shown as `\\u....`."""
    return "".join(
        c if c == " " or unicodedata.category(c)[0] not in "CZ" else f"\\u{ord(c):04x}"
        for c in text
    )


def _pointed(sql: str, line: int, column: int) -> str:
    """The line, cut to a window around the column, and a caret under it."""
    text = sql.split("\n")[line - 1].rstrip("\r")
    start = max(0, column - 1 - _WIDEST_LINE // 2)
    shown = escaped(text[start : start + _WIDEST_LINE].replace("\t", " "))
    caret = len(escaped(text[start : column - 1].replace("\t", " ")))
    return f"    {shown}\n    {' ' * caret}^"
