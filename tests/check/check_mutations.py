"""Statements grown from accepted and hostile ones: tokens put in, cut out, swapped, spliced.

Deterministic for a given `Random`. The words come from the two corpora, from sqlglot's tables of
keywords and functions, and from names that no statement may reach. Nothing here judges; the
tests ask the check, and run on a real engine what it lets through.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from random import Random

from check_shop import FIXTURES, TABLES, good_statements, hostile_statements
from sqlglot import exp
from sqlglot.dialects.dialect import Dialect

_TOKEN = re.compile(
    r"\s+|--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`|\w+|::|->>?|\|\||[<>!=]=|<>|.",
    re.DOTALL,
)
_GLUE = (
    *"()[]{}.,;:*'\"`\\=@#$!~%^",
    *("::", "--\n", "/* */", "||", "->", "->>", "<<", "<@", "@>", "?|", "\n", "\t", "\r\n"),
    *(" AS ", " OF ", " IN ", " NOT ", " AND ", " OR ", " IS ", " LIKE ", " DISTINCT ", " ALL "),
    *(" COLLATE ", " FILTER (WHERE 1=1)", " OVER ()", " WITHIN GROUP (ORDER BY 1)"),
)


@cache
def hostile_pieces(kind: str) -> tuple[str, ...]:
    """Pieces of text, a line each: `places` after FROM, `values`, `tails`, and `wraps` with
    slots for the statement and for another one."""
    text = (FIXTURES / "pieces" / f"{kind}.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


@cache
def good(dialect: str) -> tuple[str, ...]:
    """The everyday statements of a dialect."""
    return tuple(good_statements(dialect))


@cache
def bad(dialect: str) -> tuple[str, ...]:
    """The hostile statements of a dialect that are short enough to be spliced."""
    found = [sql for of, _, sql in hostile_statements() if of == dialect and len(sql) < 300]
    return tuple(dict.fromkeys(found))


@cache
def words(dialect: str) -> tuple[str, ...]:
    """Keywords that the parser of the dialect knows, and names of functions that any does."""
    tokenizer = Dialect.get_or_raise(dialect).tokenizer_class
    keywords = {word for word in tokenizer.KEYWORDS if word[0].isalpha()}
    functions = {f"{name}(" for kind in exp.ALL_FUNCTIONS for name in kind.sql_names()}
    parser = Dialect.get_or_raise(dialect).parser_class
    functions |= {f"{name}(" for name in parser.FUNCTIONS}
    names = {name for columns in TABLES.values() for name in re.findall(r"\w+", columns)}
    return tuple(sorted(keywords | functions | names | {f'"{t}"' for t in TABLES}))


def pieces(sql: str) -> list[str]:
    """The text in tokens, blanks included; joined they give it again."""
    return _TOKEN.findall(sql)


def mutant(dialect: str, random: Random, seeds: Sequence[str] = ()) -> str:
    """An everyday statement (or one of `seeds`) after one to four changes."""
    sql = random.choice(seeds if seeds and random.random() < 0.5 else good(dialect))
    for _ in range(random.randint(1, 4)):
        change = random.choice(_CHANGES)
        sql = change(dialect, sql, random)
    return sql


def _spot(tokens: list[str], random: Random) -> int:
    """A token that is not a blank, if there is one."""
    for _ in range(8):
        at = random.randrange(len(tokens)) if tokens else 0
        if tokens and not tokens[at].isspace():
            return at
    return 0


def _replace_word(dialect: str, sql: str, random: Random) -> str:
    tokens = pieces(sql) or [""]
    tokens[_spot(tokens, random)] = random.choice(words(dialect))
    return "".join(tokens)


def _replace_value(dialect: str, sql: str, random: Random) -> str:
    tokens = pieces(sql) or [""]
    tokens[_spot(tokens, random)] = random.choice(hostile_pieces("values"))
    return "".join(tokens)


def _replace_place(dialect: str, sql: str, random: Random) -> str:
    tokens = pieces(sql) or [""]
    spots = [i + 2 for i, t in enumerate(tokens[:-2]) if t.upper() in ("FROM", "JOIN", "TABLE")]
    tokens[random.choice(spots) if spots else 0] = random.choice(hostile_pieces("places"))
    return "".join(tokens)


def _insert(dialect: str, sql: str, random: Random) -> str:
    tokens = pieces(sql)
    new = random.choice(random.choice((words(dialect), hostile_pieces("values"), _GLUE, _GLUE)))
    tokens.insert(random.randint(0, len(tokens)), f" {new} " if new[0].isalnum() else new)
    return "".join(tokens)


def _delete(dialect: str, sql: str, random: Random) -> str:
    tokens = pieces(sql)
    at = random.randint(0, len(tokens))
    del tokens[at : at + random.randint(1, 3)]
    return "".join(tokens)


def _double(dialect: str, sql: str, random: Random) -> str:
    tokens = pieces(sql)
    at = random.randint(0, len(tokens))
    part = tokens[at : at + random.randint(1, 8)]
    to = random.randint(0, len(tokens))
    return "".join([*tokens[:to], *part, *tokens[to:]])


def _swap(dialect: str, sql: str, random: Random) -> str:
    tokens = pieces(sql) or [""]
    one, two = _spot(tokens, random), _spot(tokens, random)
    tokens[one], tokens[two] = tokens[two], tokens[one]
    return "".join(tokens)


def _splice(dialect: str, sql: str, random: Random) -> str:
    tokens, other = pieces(sql), pieces(random.choice(bad(dialect)))
    start = random.randrange(len(other))
    at = random.randint(0, len(tokens))
    part = other[start : start + random.randint(1, 12)]
    return "".join([*tokens[:at], " ", *part, " ", *tokens[at + random.randint(0, 2) :]])


def _cross(dialect: str, sql: str, random: Random) -> str:
    tokens, other = pieces(sql), pieces(random.choice(good(dialect)))
    cut = random.randint(0, len(other))
    return "".join(tokens[: random.randint(0, len(tokens))] + other[cut:])


def _tail(dialect: str, sql: str, random: Random) -> str:
    return f"{sql} {random.choice(hostile_pieces('tails'))}"


def _wrap(dialect: str, sql: str, random: Random) -> str:
    other = random.choice(random.choice((bad(dialect), good(dialect))))
    return random.choice(hostile_pieces("wraps")).format(sql, other)


def _respell(dialect: str, sql: str, random: Random) -> str:
    tokens = pieces(sql) or [""]
    at = _spot(tokens, random)
    token = tokens[at]
    spelled = (f'"{token}"', f"`{token}`", f"[{token}]", f"'{token}'", token.upper(), token.lower())
    tokens[at] = random.choice((*spelled, token.swapcase(), f"main.{token}", f"{token}/**/"))
    return "".join(tokens)


_CHANGES = (
    *(_replace_word, _replace_word, _replace_value, _replace_value, _replace_place, _insert),
    *(_insert, _delete, _double, _swap, _splice, _splice, _cross, _tail, _wrap, _respell),
)
