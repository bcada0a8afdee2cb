"""Passes over what a statement calls: functions by an allow-list per dialect, casts, sizes.

The lists lie in `functions/*.txt`; one name a line, `#` begins a comment. They hold pure scalar
functions, aggregates, window and date functions, and table functions that read no table or
file. Names are taken from the tokens, not from the tree, because a parser files several
functions under one class. A function of the user's own that bears a listed name is not
noticed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import pairwise

from sqlglot import Token, TokenType, exp
from sqlglot.parser import Parser

from sqlcoder_magic.check.candidate import Candidate
from sqlcoder_magic.check.names import edit_distance, listing, nearest

LISTED_DIALECTS = ("sqlite", "postgres", "duckdb", "mysql")
# Dialect -> its lists beside the common one.
_WAREHOUSES = {
    **{name: ("warehouse", name) for name in ("snowflake", "bigquery", "tsql", "oracle")},
    **{name: ("warehouse", name) for name in ("trino", "spark", "redshift")},
    "databricks": ("warehouse", "spark", "databricks"),
}
MAX_LENGTH = 10_000

_REG_TYPE = re.compile(r"(?i)^_?reg[a-z]+$")  # `_regclass` is an array of them
# Types of PostgreSQL that the parser takes for a user's own. Any other name is a type only if a
# column of the schema has it: to PostgreSQL each table's name is a type, that tells its columns.
_PLAIN_TYPES = frozenset(
    "bool int2 int4 int8 float4 float8 numeric text varchar bpchar char name uuid json jsonb bytea "
    "date time timetz timestamp timestamptz interval bit varbit inet cidr macaddr macaddr8 money "
    "box circle line lseg path point polygon tsvector tsquery jsonpath oid tid xid8 pg_lsn "
    "pg_snapshot txid_snapshot refcursor citext ltree lquery ltxtquery cube seg".split()
)
# Functions without brackets that tell about the session.
_SESSION = (exp.CurrentUser, exp.SessionUser, exp.CurrentCatalog, exp.CurrentSchema)
# The parser takes these for names, of columns and of tables.
_POSTGRES_WORDS = frozenset(
    "user current_user session_user system_user current_role current_catalog current_schema".split()
)
_SESSION_WORDS = {
    "postgres": _POSTGRES_WORDS,
    "redshift": _POSTGRES_WORDS,
    "mysql": frozenset({"current_role"}),
}
_TOO_WIDE = re.compile(r"\*|\d{4,}")


@cache
def listed(dialect: str) -> frozenset[str]:
    """The names on the list of a dialect, in lower case.

    A dialect without a list of its own gets those of `LISTED_DIALECTS`: its SQL is only shown.
    """
    names = _read("common")
    own = (dialect,) if dialect in LISTED_DIALECTS else LISTED_DIALECTS
    for other in _WAREHOUSES.get(dialect, own):
        names |= _read(other)
    return names


@cache
def _read(name: str) -> frozenset[str]:
    text = (files(__package__) / "functions" / f"{name}.txt").read_text(encoding="utf-8")
    lines = (line.partition("#")[0] for line in text.splitlines())
    return frozenset(word.lower() for line in lines for word in line.split())


def functions(candidate: Candidate) -> Candidate:
    """Every name before an opening bracket is syntax, an alias, a type, or on the list."""
    aliases = _alias_offsets(candidate.parsed)
    allowed = listed(candidate.dialect) | candidate.allowed_functions
    tokens = candidate.tokens
    for before, token, after in zip((None, *tokens), tokens, tokens[1:], strict=False):
        if after.token_type is not TokenType.L_PAREN or token.start in aliases:
            continue
        if token.token_type is TokenType.STRING:
            if before is not None and _names_something(before):
                raise _unknown(candidate, token)
            continue
        if not _is_word(token) or _is_syntax(token):
            continue
        if token.text.lower() not in allowed:
            raise _unknown(candidate, token)
        if before is not None and before.token_type is TokenType.DOT:
            _refuse_qualified(candidate, token)
    _refuse_session(candidate)
    return candidate


def called(tokens: Sequence[Token]) -> frozenset[str]:
    """The names before an opening bracket that are not syntax, in lower case."""
    return frozenset(
        token.text.lower()
        for token, after in pairwise(tokens)
        if after.token_type is TokenType.L_PAREN and _is_word(token) and not _is_syntax(token)
    )


def _alias_offsets(tree: exp.Expr) -> frozenset[int]:
    """Where names of CTEs, tables and windows stand that a bracket may follow."""
    return frozenset(
        int(alias.this.meta["start"])
        for alias in tree.find_all(exp.TableAlias)
        if alias.this is not None and "start" in alias.this.meta and alias.args.get("columns")
    )


def _is_word(token: Token) -> bool:
    return token.token_type is TokenType.IDENTIFIER or token.text[:1].isidentifier()


def _is_syntax(token: Token) -> bool:
    if token.token_type is TokenType.IDENTIFIER:
        return False  # quoted: a name, whatever it spells
    is_type = token.token_type in Parser.TYPE_TOKENS and token.token_type not in (
        TokenType.VAR,
        TokenType.IDENTIFIER,
    )
    return is_type or token.text.split()[-1].lower() in _read("syntax")


def _names_something(before: Token) -> bool:
    """Whether a string after this token is a name in disguise (SQLite reads FROM 'f'('x'))."""
    return before.token_type in (TokenType.FROM, TokenType.JOIN, TokenType.COMMA, TokenType.DOT)


def _refuse_qualified(candidate: Candidate, token: Token) -> None:
    # DuckDB calls functions as methods of a value; elsewhere the dot names a foreign schema.
    if candidate.dialect != "duckdb":
        raise candidate.no(
            "functions",
            f"{token.text} is called in a schema of its own, where it can be anything.",
            at=token,
            fix=f"Write {token.text}(...) without the name before the dot.",
        )


def _refuse_session(candidate: Candidate) -> None:
    allowed = listed(candidate.dialect) | candidate.allowed_functions
    for node in candidate.parsed.find_all(exp.Anonymous, *_SESSION):
        name = node.name if isinstance(node, exp.Anonymous) else node.sql_name()
        if name.lower() not in allowed:
            raise candidate.no(
                "functions",
                f"The function {name} is not on the list of what only computes.",
                at=node,
                fix=_how_to_allow(name),
            )
    for word in candidate.parsed.find_all(exp.Column, exp.Table):
        if _is_session_word(word, candidate.dialect):
            raise candidate.no(
                "functions",
                f"Without quotes {word.name} tells who is connected, or to what.",
                at=word,
                fix="If a table or column is meant, write its name in quotes.",
            )


def _is_session_word(node: exp.Expr, dialect: str) -> bool:
    if not isinstance(node, exp.Column | exp.Table) or len(node.parts) > 1:
        return False
    if node.this.args.get("quoted"):
        return False
    return node.name.lower() in _SESSION_WORDS.get(dialect, ())


def _unknown(candidate: Candidate, token: Token) -> Exception:
    near = nearest(token.text, listed(candidate.dialect))
    near = tuple(name for name in near if edit_distance(token.text.lower(), name) <= 2)
    hint = f"Did you mean {listing(near)}? " if near else ""
    return candidate.no(
        "functions",
        f"The function {token.text} is not on the list of what only computes.",
        at=token,
        fix=hint + _how_to_allow(token.text),
    )


def _how_to_allow(name: str) -> str:
    if not re.fullmatch(r"[^\W\d][\w$]*", name):
        return "Ask in other words."
    return f"Ask in other words; if {name} is yours and only computes: --allow-function {name}."


def casts(candidate: Candidate) -> Candidate:
    """No cast to PostgreSQL's reg* types, which look objects of the server up, nor to a table's."""
    for node in candidate.parsed.find_all(exp.ObjectIdentifier, exp.DataType):
        kind = node.args.get("kind")
        name = kind.parts[-1].name if isinstance(kind, exp.Dot) else getattr(kind, "name", "")
        if isinstance(node, exp.ObjectIdentifier):
            name = str(node.this)
        if _REG_TYPE.match(str(name or kind or "")):
            raise candidate.no(
                "casts",
                f"The type {str(name or kind).lower()} looks up objects of the server.",
                at=node.parent,
                fix="Leave the cast out.",
            )
        if kind is not None and candidate.dialect == "postgres":
            _refuse_foreign_type(candidate, node, str(name))
    return candidate


def _refuse_foreign_type(candidate: Candidate, node: exp.Expr, name: str) -> None:
    known = name.lower().removeprefix("_")  # `_text` is an array of text
    if known not in _PLAIN_TYPES and known not in candidate.index.types:
        raise candidate.no(
            "casts",
            f"{name} is neither a plain type nor the type of a column of these tables.",
            at=node.parent,
            fix="Leave the cast out.",
        )


def lengths(candidate: Candidate) -> Candidate:
    """Functions that make a text, bits or a list of any length get a fixed, small one.

    Engines build such a value in one step, which neither a time limit nor Ctrl-C stops.
    """
    for node in candidate.parsed.find_all(exp.Func):
        for count in _counts(node):
            small = isinstance(count, exp.Literal) and _small(count)
            if count is not None and not small:
                raise candidate.no(
                    "lengths",
                    "The length of the value made here is not a number up to 10,000.",
                    at=node,
                    fix="Write the length as a number.",
                )
    return candidate


def _counts(node: exp.Expr) -> list[exp.Expr | None]:
    name = node.name.lower() if isinstance(node, exp.Anonymous) else ""
    arguments = node.expressions
    if isinstance(node, exp.Repeat):
        return [node.args.get("times")]
    if isinstance(node, exp.Pad):
        return [node.expression]
    if isinstance(node, exp.Space):
        return [node.this]
    if name in ("zeroblob", "bar"):
        return arguments[-1:]
    if name in ("bitstring", "list_resize", "array_resize"):
        return arguments[1:2]
    if isinstance(node, exp.Format):
        return [node.this]
    return arguments[:1] if name in ("printf", "format", "fmt") else []


def _small(count: exp.Literal) -> bool:
    if count.is_string:  # the pattern of a printf
        return not _TOO_WIDE.search(count.name)
    return count.name.isdigit() and int(count.name) <= MAX_LENGTH
