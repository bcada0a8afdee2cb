"""What sqlglot leaves in PostgreSQL's way when it writes SQLite, DuckDB or MySQL: small passes.

Each pass takes a tree and gives it back with the name of what it changed (empty: nothing).
Known limits: SQLite counts one month from 31 January into March, PostgreSQL to the end of
February; a column counts as a date by its name (`sale_date`, `created_at`), since no schema is
at hand; a difference of dates comes out in whole days; SQLite divides a NUMERIC that holds a whole
number as a whole number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from sqlglot import exp

from sqlcoder_magic.check import rewrites_mysql as mysql
from sqlcoder_magic.check import rewrites_sqlite as sqlite
from sqlcoder_magic.check.rewriting import Rewrite, call, each, text


def like(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """ILIKE -> LIKE, which ignores case on SQLite (ASCII) and MySQL (by collation)."""
    return each(
        tree,
        exp.ILike,
        lambda node: exp.Like(**node.args),
        "ILIKE became LIKE",
    )


def any_array(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """`x = ANY(ARRAY[1, 2])` -> `x IN (1, 2)`."""

    def change(node: exp.Expr) -> exp.Expr | None:
        array = node.expression.this if isinstance(node.expression, exp.Any) else None
        array = array.unnest() if isinstance(array, exp.Paren) else array
        if not isinstance(array, exp.Array):
            return None
        return exp.In(this=node.this, expressions=array.expressions)

    return each(tree, exp.EQ, change, "= ANY(ARRAY[...]) became IN")


def formats(letters: str) -> Rewrite:
    """TO_CHAR's month and day names; what the engine cannot write stays TO_CHAR.

    `letters` are those that its STRFTIME or DATE_FORMAT knows. A TO_CHAR that stays is refused
    by the check, where a wrong pattern would come out as wrong text.
    """
    known = re.compile(rf"(?:[^%A-Za-z]|%[{letters}])*")

    def change(node: exp.Expr) -> exp.Expr | None:
        given = node.args.get("format")
        pattern = given.name if isinstance(given, exp.Literal) else "%?"
        for name, letter in _NAMES:
            pattern = re.sub(rf"(?<!%)(?:FM|TM)?{name}", letter, pattern)
        if not known.fullmatch(pattern):
            return call("TO_CHAR", node.this, given or text(""))
        node.set("format", text(pattern))
        return node

    return lambda tree: (each(tree, exp.TimeToStr, change, "")[0], "")


# What sqlglot leaves of PostgreSQL's patterns.
_NAMES = (("Month", "%B"), ("Mon", "%b"), ("Day", "%A"), ("Dy", "%a"))


def exact_numbers(decimal: str) -> Rewrite:
    """CAST AS NUMERIC without digits -> a type that keeps them (DECIMAL alone cuts them off)."""

    def change(node: exp.Expr) -> exp.Expr | None:
        to = node.args["to"]
        bare = to.is_type(exp.DType.DECIMAL) and not to.expressions
        return exp.cast(node.this, decimal, dialect="duckdb") if bare else None

    return lambda tree: each(tree, exp.Cast, change, "NUMERIC got its digits")


REWRITES: Mapping[str, tuple[Callable[[exp.Expr], tuple[exp.Expr, str]], ...]] = {
    "sqlite": (
        like,
        any_array,
        sqlite.ages,
        sqlite.spans,
        sqlite.parts,
        sqlite.truncation,
        sqlite.differences,
        sqlite.intervals,
        sqlite.timestamps,
        sqlite.ends,
        sqlite.concat,
        sqlite.aggregates,
        sqlite.rounding,
        formats("dHjmMSwWY"),
    ),
    "duckdb": (exact_numbers("DOUBLE"), formats("AaBbdHIjmMpSuwWYy")),
    "mysql": (
        like,
        any_array,
        mysql.divisions,
        mysql.filters,
        mysql.nulls,
        mysql.rollups,
        mysql.offsets,
        exact_numbers("DECIMAL(38, 10)"),
        mysql.ages,
        mysql.spans,
        mysql.parts,
        mysql.truncation,
        mysql.multiples,
        mysql.intervals,
        mysql.dates,
        mysql.patterns,
        mysql.regexps,
        mysql.functions,
    ),
}
