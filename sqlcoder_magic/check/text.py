"""Passes over the raw text, before any parser: its size, its characters, its comments.

Each refuses what a parser and an engine read differently. No pass here looks for words of SQL.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace

from sqlcoder_magic.check import lexing
from sqlcoder_magic.check.candidate import Candidate
from sqlcoder_magic.check.refusal import escaped

MAX_CHARACTERS = 20_000
MAX_DEPTH = 100

_DIRECTION_MARKS = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
# `/*!` and `/*M!` are code to MySQL and MariaDB, `/*+` is a hint that can switch limits off.
_ACTIVE_COMMENT = re.compile(r"/\*(?:!|M!|\+)", re.IGNORECASE)
_UNICODE_ESCAPE = re.compile(r"(?<![\w$])U&['\"]", re.IGNORECASE)
# Whether a backslash hides a quote is a setting of the server (MySQL, PostgreSQL) or depends
# on a letter before the string (DuckDB). With no later quote both readings agree, or the
# engine finds the string unfinished. The ESCAPE of a LIKE is the everyday exception.
_BACKSLASH_QUOTE = re.compile(r"\\['\"]")
_ESCAPE_CLAUSE = re.compile(r"\bESCAPE\s*'\\'", re.IGNORECASE)
_BACKSLASH_DIALECTS = frozenset({"postgres", "duckdb", "mysql", "redshift"})
_ESCAPE_IS_PLAIN = frozenset({"postgres", "duckdb"})
# Where a warehouse ends a string or name by rules of its own: raw strings, BigQuery's triple quotes
# and escaped backticks, Spark's "…" (string or name is a setting), Oracle's q'[…]'.
_RAW = r"(?<![\w$])(?:r|rb|br)(?:'[^']*\\'|\"[^\"]*\\\")"
_OWN_ENDS = {
    "bigquery": re.compile(r"'''|\"\"\"|\\`|" + _RAW, re.IGNORECASE),
    "spark": re.compile(r"\\\"|" + _RAW, re.IGNORECASE),
    "databricks": re.compile(r"\\\"|" + _RAW, re.IGNORECASE),
    "oracle": re.compile(r"(?<![\w$#\"])n?q'", re.IGNORECASE),
}


def size(candidate: Candidate) -> Candidate:
    """At most 20,000 characters and 100 nested brackets: more only serves to break parsers."""
    sql = candidate.sql
    if len(sql) > MAX_CHARACTERS:
        raise candidate.no(
            "size",
            f"The SQL is {len(sql):,} characters long; at most {MAX_CHARACTERS:,} are checked.",
            fix="Ask for less in one question.",
        )
    depth = 0
    for match in re.finditer(r"[(\[{)\]}]", sql):
        depth += 1 if match[0] in "([{" else -1
        if depth > MAX_DEPTH:
            raise candidate.no(
                "size",
                f"The SQL nests brackets deeper than {MAX_DEPTH} levels.",
                at=match.start(),
                fix="Ask for less in one question.",
            )
    return candidate


def characters(candidate: Candidate) -> Candidate:
    """No control or direction characters anywhere, no invisible ones outside quotes."""
    sql = candidate.sql
    if sql.isascii() and sql.replace("\n", "").replace("\t", "").isprintable():
        return candidate
    quoted = [s for s in lexing.spans(sql, candidate.dialect) if s.kind in ("string", "name")]
    for offset, character in enumerate(sql):
        if _is_refused(character, sql[offset : offset + 2], offset, quoted):
            raise candidate.no(
                "characters",
                f"The SQL holds the invisible character {escaped(character)}, which can make it "
                "read differently from what it does.",
                at=offset,
                fix="Type the SQL anew without it.",
            )
    return candidate


def _is_refused(character: str, pair: str, offset: int, quoted: list[lexing.Span]) -> bool:
    if character in "\n\t " or pair == "\r\n" or "!" <= character <= "~":
        return False
    category = unicodedata.category(character)
    if category in ("Cc", "Cs", "Zl", "Zp") or character in _DIRECTION_MARKS:
        return True
    # Joiners belong to emoji and to several scripts, so inside quotes they are everyday.
    invisible = category in ("Cf", "Zs", "Co", "Cn")
    return invisible and not any(span.start < offset < span.end for span in quoted)


def comments(candidate: Candidate) -> Candidate:
    """Comments become blanks, by the engine's own rules; what could hide code is refused."""
    found = lexing.spans(candidate.sql, candidate.dialect)
    _refuse_escapes(candidate, found)
    for span in found:
        body = candidate.sql[span.start : span.end]
        if span.kind == lexing.OPEN:
            raise candidate.no(
                "comments",
                "A quote or comment never ends.",
                at=span.start,
                fix="Ask again in other words; a quote inside a text is written as two.",
            )
        if span.kind == lexing.DOLLAR:
            raise candidate.no(
                "comments",
                "Strings between dollar signs are not read alike by all parsers.",
                at=span.start,
                fix="Write the string between single quotes.",
            )
        if span.kind == lexing.BLOCK:
            _refuse_active(candidate, span, body)
    return replace(candidate, text=lexing.blank(candidate.sql, lexing.comments(found)))


def _refuse_active(candidate: Candidate, span: lexing.Span, body: str) -> None:
    if _ACTIVE_COMMENT.match(body):
        raise candidate.no(
            "comments",
            "This comment is an instruction to some engines.",
            at=span.start,
            fix="Take the comment out.",
        )
    nested = body.find("/*", 1)
    if nested > 0:
        raise candidate.no(
            "comments",
            "A comment inside a comment ends at different places on different engines.",
            at=span.start + nested,
            fix="Take the comment out.",
        )


def _refuse_escapes(candidate: Candidate, found: tuple[lexing.Span, ...]) -> None:
    strings = [s for s in found if s.kind in (lexing.STRING, lexing.NAME)]
    for match in _UNICODE_ESCAPE.finditer(candidate.sql):
        if not any(s.start < match.start() < s.end for s in found):
            raise candidate.no(
                "comments",
                "U& spells names and strings in escapes, which hides what is meant.",
                at=match.start(),
                fix="Write the letters themselves.",
            )
    own_end = _OWN_ENDS.get(candidate.dialect)
    if own_end is not None and (begins := own_end.search(candidate.sql)):
        raise candidate.no(
            "comments",
            "Where this string ends is not read alike by all parsers.",
            at=begins.start(),
            fix="Write the string between single quotes.",
        )
    if candidate.dialect not in _BACKSLASH_DIALECTS or not strings:
        return
    text = candidate.sql
    if candidate.dialect in _ESCAPE_IS_PLAIN:
        text = _ESCAPE_CLAUSE.sub(lambda m: " " * len(m[0]), text)
    for match in _BACKSLASH_QUOTE.finditer(text):
        if re.search(r"['\"]", text[match.end() :]):
            raise candidate.no(
                "comments",
                "Whether this backslash hides the quote after it is a setting of the server.",
                at=match.start(),
                fix="Write a quote inside a string as two quotes.",
            )
