"""Where strings, quoted names and comments lie in a SQL text, as the engine itself sees it.

A second opinion beside the parser's tokenizer: parsers drop comments, and an engine that ends
a comment earlier runs what the parser never saw. Covers the quoting and comment rules of
SQLite, PostgreSQL, DuckDB, MySQL/MariaDB and the warehouses (other dialects: the ANSI rules);
what a warehouse reads in two ways (`\'`, triple quotes, q'[…]') `text.py` refuses. Does not
split the rest into tokens; the parser does that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

STRING, NAME, DOLLAR, LINE, BLOCK, OPEN = "string", "name", "dollar", "line", "block", "open"


@dataclass(frozen=True)
class Span:
    """`text[start:end]` is one string, quoted name, dollar-quoted string or comment.

    `kind` is "open" if it never ends.
    """

    kind: str
    start: int
    end: int


_PLAIN_STRING = r"'(?:[^']|'')*'"
_BACKSLASH_STRING = r"'(?:[^'\\]|\\.|'')*'"
_BACKSLASH_STRINGS = _BACKSLASH_STRING + r"|\"(?:[^\"\\]|\\.|\"\")*\""
_QUOTED_NAME = r'"(?:[^"]|"")*"'
_BACKTICK_NAME = r"`(?:[^`]|``)*`"
_BRACKET_NAME = r"\[[^\]]*\]"
_DOUBLED_BRACKET_NAME = r"\[(?:[^\]]|\]\])*\]"
_DOLLAR = r"(?<![\w$])\$(?P<tag>[^\W\d]\w*)?\$.*?\$(?(tag)(?P=tag))\$"
_BLOCK = r"/\*.*?\*/"
# What starts one and was not matched as a whole never ends.
_OPEN = r"/\*|['\"`]"


@cache
def _scanner(dialect: str) -> re.Pattern[str]:
    kinds = {STRING: _PLAIN_STRING, NAME: _QUOTED_NAME, BLOCK: _BLOCK, LINE: r"--[^\n]*"}
    if dialect == "mysql":
        kinds[STRING] = _BACKSLASH_STRINGS
        kinds[NAME] = _BACKTICK_NAME
        kinds[LINE] = r"--(?=[\s\x00-\x1f]|$)[^\n]*|#[^\n]*"
    elif dialect == "sqlite":
        kinds[NAME] = "|".join((_QUOTED_NAME, _BACKTICK_NAME, _BRACKET_NAME))
    elif dialect in ("bigquery", "spark", "databricks"):
        kinds[STRING] = _BACKSLASH_STRINGS
        kinds[NAME] = _BACKTICK_NAME
        if dialect == "bigquery":
            kinds[LINE] = r"(?:--|#)[^\n]*"
    elif dialect == "tsql":
        kinds[NAME] = "|".join((_QUOTED_NAME, _DOUBLED_BRACKET_NAME))
    elif dialect == "snowflake":
        kinds[STRING] = _BACKSLASH_STRING
    if dialect in ("postgres", "duckdb", "redshift", "snowflake", "databricks", "trino"):
        kinds[DOLLAR] = _DOLLAR
    kinds[OPEN] = _OPEN
    return re.compile("|".join(f"(?P<{k}>{v})" for k, v in kinds.items()), re.DOTALL)


def spans(text: str, dialect: str = "postgres") -> tuple[Span, ...]:
    """The strings, quoted names and comments of `text`, in order."""
    found: list[Span] = []
    position = 0
    scanner = _scanner(dialect)
    while match := scanner.search(text, position):
        kind = next(k for k, v in match.groupdict().items() if k != "tag" and v is not None)
        end = len(text) if kind == OPEN else match.end()
        found.append(Span(kind, match.start(), end))
        position = end
    return tuple(found)


def blank(text: str, which: tuple[Span, ...]) -> str:
    """`text` with these spans as blanks, so that every other character keeps its place."""
    pieces: list[str] = []
    position = 0
    for span in which:
        pieces.append(text[position : span.start])
        pieces.append("".join("\n" if c == "\n" else " " for c in text[span.start : span.end]))
        position = span.end
    return "".join((*pieces, text[position:]))


def comments(which: tuple[Span, ...]) -> tuple[Span, ...]:
    """The comments among these spans."""
    return tuple(span for span in which if span.kind in (LINE, BLOCK))
