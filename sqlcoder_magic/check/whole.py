"""Pass over the tokens beside the tree: what the text names, the tree has as well.

A parser drops what it has no place for, above all surplus arguments: of MariaDB's
`DATE_FORMAT(date, format, (SELECT ...))` the tree holds two, and the engine reads all three. Every
other pass looks at the tree. Not covered: dropped words that name nothing, such as units.
"""

from __future__ import annotations

from sqlglot import Token, TokenType, exp

from sqlcoder_magic.check.candidate import Candidate

_SOURCES = (TokenType.FROM, TokenType.JOIN, TokenType.TABLE, TokenType.PIVOT, TokenType.UNPIVOT)
_BETWEEN = ("(", "ONLY", "LATERAL")  # what may stand between one of these and a table's name
_NAMES = (TokenType.VAR, TokenType.IDENTIFIER, TokenType.STRING)  # of a table, or a file
_VARIABLES = (TokenType.PARAMETER, TokenType.SESSION_PARAMETER, TokenType.COLON_EQ)


def whole(candidate: Candidate) -> Candidate:
    """No SELECT and no table's name was dropped, on MySQL no qualified name and no variable."""
    starts = {node.meta["start"] for node in candidate.parsed.walk() if "start" in node.meta}
    before: Token | None = None
    queries = 0
    for token, after in zip(candidate.tokens, (*candidate.tokens[1:], None), strict=True):
        queries += token.token_type in (TokenType.SELECT, TokenType.TABLE)
        called = after is not None and after.token_type is TokenType.L_PAREN
        if (
            _names_data(token, before, candidate.dialect)
            and token.start not in starts
            and not called
        ):
            raise _dropped(candidate, token)
        if candidate.dialect == "mysql" and token.token_type in _VARIABLES:
            raise candidate.no("whole", "Variables are not let through.", at=token)
        if before is None or token.text.upper() not in _BETWEEN:
            before = token
    if queries > len(list(candidate.parsed.find_all(exp.Select))):
        raise _dropped(candidate, None)
    return candidate


def _names_data(token: Token, before: Token | None, dialect: str) -> bool:
    """Whether a table, or a column by its table, is named here."""
    if before is None or token.token_type not in _NAMES:
        return False
    # MariaDB ends at some qualified names (see `scopes`); elsewhere they can be fields of a JSON.
    qualified = dialect == "mysql" and before.token_type is TokenType.DOT
    return qualified or before.token_type in _SOURCES


def _dropped(candidate: Candidate, at: Token | None) -> Exception:
    return candidate.no(
        "whole",
        "A part of the SQL stands where nothing is expected, as an argument too many does.",
        at=at,
        fix="Check the arguments of the functions, or ask again in other words.",
    )
