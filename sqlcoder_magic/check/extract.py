"""The one clear SQL statement in what a model wrote, or a refusal to guess.

Covers think blocks, markdown fences, `SQL:` labels, stop strings, a semicolon and what is
explained after it. Two different statements, prose alone, or nothing are `NoSQLError`; a first
line that only looks like SQL is never enough. Whether the statement may run is not decided here.
"""

from __future__ import annotations

import re

from sqlglot import exp

from sqlcoder_magic.check import lexing
from sqlcoder_magic.check.quiet import parsed_or_none
from sqlcoder_magic.errors import NoSQLError

_THINK = re.compile(r"<think>.*?(?:</think>|\Z)|\A(?:(?!<think>).)*?</think>", re.S | re.I)
_STOPS = re.compile(
    r"<\|[\w|]+?\|>|</?s>(?!['\"])|\[/?INST\]|\[/SQL\]|<(?:eos|pad|end_of_turn)>", re.IGNORECASE
)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[ \t]*(\w*)[ \t]*$|```(?:\w+(?=\s))?", re.MULTILINE)
# Only at the start of a line: `SQL:`, `### SQL`, `[SQL]`, `**SQL query:**`, `sql` on its own.
_LABEL = re.compile(
    r"^[ \t#*>]*(?:\[SQL\]|(?:postgre\w*|sqlite|duckdb|mysql)?[ \t]*"
    r"(?:sql|answer|query|sql[ \t]?query)"
    r"(?:[ \t*]*:[ \t*]*|[ \t*]*$))",
    re.IGNORECASE | re.MULTILINE,
)
_VERBS = (
    "SELECT|WITH|VALUES|FROM|TABLE|PIVOT|EXPLAIN|INSERT|UPDATE|DELETE|MERGE|REPLACE|UPSERT|CREATE|"
    "ALTER|DROP|TRUNCATE|GRANT|REVOKE|COPY|CALL|DO|SET|PRAGMA|ATTACH|DETACH|VACUUM|ANALYZE|LOCK|"
    "BEGIN|COMMIT|ROLLBACK|SHOW|DESCRIBE|USE|LOAD|INSTALL|EXPORT|IMPORT|KILL|EXECUTE|SUMMARIZE"
)
_STARTS_AS_SQL = re.compile(rf"(?:\(\s*)*(?:{_VERBS})\b", re.IGNORECASE)
_SURELY_SQL = re.compile(
    r"(?:\(\s*)*(?:SELECT\b|WITH\s+(?:RECURSIVE\s+)?[\w\"`]+\s*(?:\(|AS\b))", re.IGNORECASE
)
_VERB_IN_REST = re.compile(rf"(?:^|[;:])\s*((?:{_VERBS})\b)", re.IGNORECASE | re.MULTILINE)
_FIX = "Ask again in other words, or name the tables that you mean."
_IDK = r"i\s+(?:do\s+not|don['’]{0,2}t|dont)\s+know"
_IDK_TEXT = re.compile(rf"\W*(?:(?:sql|answer)\W+)?{_IDK}\b(?!\s+\w)", re.IGNORECASE)
_IDK_SELECT = re.compile(
    rf"\(*\s*SELECT\s+[\"']\s*{_IDK}\s*[.!;,]*\s*[\"'](?:\s*::\s*\w+)?"
    r"(?:\s+(?:AS\s+)?(?:[\w`]+|\"[^\"]*\"|'[^']*'))?(?:\s+FROM\s+[\w.\"`]+)?"
    r"(?:\s+LIMIT\s+\d+)?\s*\)*\s*[;,.]*\s*",
    re.IGNORECASE,
)


def extract_sql(draft_text: str) -> str:
    """The one SQL statement of a draft, without what stands around it.

    Raises NoSQLError (`text` is the draft) where there is none, or more than one.
    """
    found: dict[str, str] = {}
    for block in _blocks(draft_text):
        statement = _statement(block, draft_text)
        if statement:
            found.setdefault(_signature(statement), statement)
    if len(found) > 1:
        raise _no_sql("The model wrote several different statements.", draft_text)
    if not found:
        empty = "The model wrote no SQL: its answer is empty."
        what = "The model wrote no clear SQL statement." if draft_text.strip() else empty
        raise _no_sql(what, draft_text)
    return next(iter(found.values()))


def is_refusal(draft_text: str) -> bool:
    """Whether the draft says "I do not know": as text, as a SELECT of that text, or as nothing."""
    blocks = [re.sub(r"^\s*--[^\n]*\n", "", block).strip() for block in _blocks(draft_text)]
    if not any(block.strip("; \n\t`\"'") for block in blocks):
        cut_short = "<think>" in draft_text and "</think>" not in draft_text
        rest = _FENCE.sub("", _unwrapped(draft_text))
        return not cut_short and not rest.strip("; \n\t\"'")
    return any(_IDK_SELECT.fullmatch(b) or _IDK_TEXT.match(b) for b in blocks)


def _unwrapped(draft: str) -> str:
    """Without think blocks and whatever follows a stop string."""
    text = _THINK.sub(" ", draft).lstrip()
    while (match := _STOPS.match(text)) is not None:
        text = text[match.end() :].lstrip()
    stop = _STOPS.search(text)
    return text[: stop.start()] if stop else text


def _blocks(draft: str) -> list[str]:
    """The stretches of a draft that may hold the statement: fenced ones, or all of it."""
    text = _unwrapped(draft)
    pieces: list[str] = []
    position = 0
    for match in _FENCE.finditer(text):
        pieces.append(text[position : match.start()])
        position = match.end()
    pieces.append(text[position:])
    if len(pieces) == 1:
        return [_unlabelled(text)]
    # A draft that goes on inside a fence (the prompt opened it) starts with the statement.
    if _STARTS_AS_SQL.match(_uncommented(_unlabelled(pieces[0]))):
        return [_unlabelled(pieces[0]), *pieces[2::2]]
    return [_unlabelled(piece) for piece in pieces[1::2]]


def _unlabelled(text: str) -> str:
    """What follows the last label such as `SQL:` that stands before a statement."""
    for match in reversed(list(_LABEL.finditer(text))):
        rest = text[match.end() :]
        if _STARTS_AS_SQL.match(_uncommented(rest)):
            before = _uncommented(text[: match.start()])
            return text if _STARTS_AS_SQL.match(before) else rest
    return text


def _uncommented(text: str) -> str:
    return lexing.blank(text, lexing.comments(lexing.spans(text))).strip()


def _statement(block: str, draft: str) -> str:
    """The statement that the block begins with; empty if it begins with something else."""
    code = _uncommented(block)
    if not _STARTS_AS_SQL.match(code):
        return ""
    end = _semicolon(block)
    statement = block[:end].strip()
    # "With pleasure", "Do you mean": words of prose that are words of SQL too.
    if not _SURELY_SQL.match(code) and not _parses(statement):
        return ""
    if end == len(block):
        return _without_prose(statement)
    _refuse_second(block[end + 1 :], statement, draft)
    return statement


def _semicolon(text: str) -> int:
    """Where the first semicolon stands outside strings and comments; else the text's end."""
    found = lexing.blank(text, lexing.spans(text)).find(";")
    return found if found >= 0 else len(text)


def _refuse_second(rest: str, first: str, draft: str) -> None:
    """What follows the semicolon may explain; another statement makes the draft unclear."""
    for match in _VERB_IN_REST.finditer(rest):
        other = rest[match.start(1) :]
        other = other[: _semicolon(other)]
        for text in (other, re.split(r"\n\s*\n", other)[0]):
            if _parses(text) and _signature(text) != _signature(first):
                raise _no_sql("The model wrote several different statements.", draft)


def _without_prose(text: str) -> str:
    """The statement without an explanation in a paragraph of its own."""
    if _parses(text):
        return text
    first, _, rest = text.partition("\n\n")
    words = rest.split()
    # A sentence, not a clause: it begins with a capital and ends with a full stop.
    is_prose = len(words) > 2 and re.match(r"[A-Z][a-z]*\b(?!\s*\()", words[0]) is not None
    ends = rest.rstrip()[-1:] in (".", ":", "!")
    if is_prose and ends and not _STARTS_AS_SQL.match(rest) and _parses(first):
        return first.strip()
    return text


def _parses(text: str) -> bool:
    tree = parsed_or_none(text)
    if isinstance(tree, exp.Command):  # accepts any words: SHOW me the tables
        return text.split()[0].isupper()
    return tree is not None and not isinstance(tree, exp.Condition)


def _signature(statement: str) -> str:
    """Equal for statements that differ in layout, comments and case alone."""
    return " ".join(_uncommented(statement).rstrip("; \n\t").lower().split())


def _no_sql(what: str, draft: str) -> NoSQLError:
    shown = draft.strip()
    quoted = f" It wrote:\n{shown[:500]}{'…' if len(shown) > 500 else ''}" if shown else ""
    return NoSQLError(what + quoted, fix=_FIX, text=draft)
