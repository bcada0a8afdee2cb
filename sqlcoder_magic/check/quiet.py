"""Parsing and writing SQL without a word: None instead of an error, nothing in any log.

For the steps before the check, which may fail: the check says what is wrong with a text.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from sqlglot import Token, exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ErrorLevel


def parsed_or_none(text: str, dialect: Dialect | str = "postgres") -> exp.Expr | None:
    """The one statement in the text; None if there is none, or several, or no parse."""
    with silence():
        try:
            trees = Dialect.get_or_raise(dialect).parse(text)
        except Exception:  # noqa: BLE001 (parsers raise many kinds; the check names the reason)
            return None
    return trees[0] if len(trees) == 1 else None


def tokens_or_none(text: str, dialect: Dialect) -> list[Token] | None:
    """The tokens of the text; None where it cannot be cut into any."""
    try:
        return dialect.tokenize(text)
    except Exception:  # noqa: BLE001 (tokenizers raise more kinds than their own)
        return None


def written_or_none(tree: exp.Expr, dialect: Dialect, *, pretty: bool = False) -> str | None:
    """The tree as text; None if the dialect cannot write it."""
    with silence():
        try:
            return dialect.generate(
                tree, copy=True, pretty=pretty, unsupported_level=ErrorLevel.IGNORE
            )
        except Exception:  # noqa: BLE001 (then the text stays as it is, and is checked)
            return None


@contextmanager
def silence() -> Iterator[None]:
    """Keep sqlglot's warnings out of the notebook: the check says what matters."""
    logger = logging.getLogger("sqlglot")
    was = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = was
