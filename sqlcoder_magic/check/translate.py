"""From the dialect that models write (PostgreSQL) to the one of the connection.

Where both dialects spell a statement alike, its text is kept byte for byte. Where they do not,
sqlglot writes it anew after small passes over the tree, one gap each (`rewrites.py`). An
ORDER BY that says nothing about NULL keeps the engine's own order of NULLs. Not covered: what
an engine cannot compute at all; the check or the engine says so.
"""

from __future__ import annotations

from sqlglot import TokenType, exp
from sqlglot.dialects.dialect import Dialect

from sqlcoder_magic.check.functions import called, listed
from sqlcoder_magic.check.quiet import parsed_or_none, tokens_or_none, written_or_none
from sqlcoder_magic.check.rewrites import REWRITES

_SHOWN = {"postgres": "PostgreSQL", "sqlite": "SQLite", "duckdb": "DuckDB", "mysql": "MySQL"}

_OPERATORS = frozenset({TokenType.DCOLON, TokenType.CARET})  # PostgreSQL's cast and its power
_HAS_DOUBLE_COLON = frozenset({"postgres", "duckdb", "redshift", "snowflake", "databricks"})


def translate(sql: str, *, read: str = "postgres", write: str) -> tuple[str, tuple[str, ...]]:
    """The statement in the dialect `write`, and a sentence about what changed, if anything did.

    A text that `read` cannot parse is kept as it is: it may be good SQL of `write`, and if it
    is not, the check refuses it.
    """
    if read == write:
        return sql, ()
    source, target = Dialect.get_or_raise(read), Dialect.get_or_raise(write)
    source.NULL_ORDERING = target.NULL_ORDERING  # on this instance alone
    tree = parsed_or_none(sql, source)
    if not isinstance(tree, exp.Query) or _changes_meaning(tree, write):
        return sql, ()
    before = written_or_none(tree, source)
    changes: list[str] = []
    for rewrite in REWRITES.get(write, ()):
        tree, what = rewrite(tree)
        if what:
            changes.append(what)
    after = written_or_none(tree, target)
    if before is None or after is None:
        return sql, ()
    if before == after and not _foreign(sql, after, source, target, write):
        return sql, ()
    pretty = written_or_none(tree, target, pretty=True) or after
    listed = f" ({'; '.join(changes)})" if changes else ""
    return pretty, (
        f"The SQL was rewritten from {_SHOWN.get(read, read)} for {_SHOWN.get(write, write)}"
        f"{listed}.",
    )


def _foreign(sql: str, after: str, source: Dialect, target: Dialect, write: str) -> bool:
    """Whether the text has spellings that the tree does not show: `::`, `^`, NULLS, `NOW()`."""
    tokens = source.tokenize(sql)
    if write not in _HAS_DOUBLE_COLON and any(t.token_type in _OPERATORS for t in tokens):
        return True
    if write == "mysql" and any(t.text.upper() == "NULLS" for t in tokens):
        return True
    written = tokens_or_none(after, target)  # a quote that only one dialect knows has no end
    return written is not None and bool(called(tokens) - listed(write) - called(written))


def _changes_meaning(tree: exp.Expr, write: str) -> bool:
    """Whether sqlglot's stand-in would compute something else: for MySQL it writes FULL JOIN
    as a UNION, which aggregates twice. The text then stays, and the engine says what it lacks.
    """
    return write == "mysql" and any(join.side == "FULL" for join in tree.find_all(exp.Join))
