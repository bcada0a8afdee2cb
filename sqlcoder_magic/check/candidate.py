"""What the passes of the guard hand from one to the next: the text and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import Token, exp

from sqlcoder_magic.check.index import SchemaIndex
from sqlcoder_magic.check.refusal import rejected
from sqlcoder_magic.errors import SQLRejected


@dataclass(frozen=True)
class Candidate:
    """SQL on its way through the passes.

    `text` is `sql` with comments, and the word EXPLAIN, as blanks: same length, same places.
    `tokens` and `tree` are what the parser made of it; `tables` are the full names read,
    `column_problem` is the refusal of the first column that does not resolve, and `notes` are
    sentences for the user. A pass fills in what later ones use.
    """

    sql: str
    index: SchemaIndex
    allowed_functions: frozenset[str] = frozenset()
    text: str = ""
    tokens: tuple[Token, ...] = ()
    tree: exp.Expr | None = None
    tables: tuple[str, ...] = ()
    column_problem: SQLRejected | None = None
    notes: tuple[str, ...] = ()

    @property
    def dialect(self) -> str:
        """sqlglot's name of the connection's dialect."""
        return self.index.dialect

    @property
    def parsed(self) -> exp.Expr:
        """The tree; only passes after `parse` ask for it."""
        if self.tree is None:
            raise RuntimeError("This pass has to stand after `parse` in PASSES.")
        return self.tree

    def no(self, rule: str, what: str, *, at: object = None, fix: str = "") -> SQLRejected:
        """The refusal by `rule`; `at` is an offset, a token or a node of the tree."""
        return rejected(rule, what, sql=self.sql, offset=offset_of(at), fix=fix)


def offset_of(at: object) -> int:
    """Where a token or a node begins in the text; -1 where that is not known."""
    if isinstance(at, int):
        return at
    if isinstance(at, Token):
        return at.start
    if isinstance(at, exp.Expr):
        starts = [node.meta["start"] for node in at.walk() if "start" in node.meta]
        return min(starts, default=-1)
    return -1
