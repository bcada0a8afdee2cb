"""Helpers for the passes of `rewrites.py` and `rewrites_sqlite.py`."""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlglot import exp

# A pass: the tree, and what it changed in words (empty: nothing).
Rewrite = Callable[[exp.Expr], tuple[exp.Expr, str]]
Kinds = type[exp.Expr] | tuple[type[exp.Expr], ...]

_DATE_NAME = re.compile(r"(?i)(?:^|_)(?:date|day|time|timestamp|datetime|dob|at|on)$|date$")
_DATE_CALLS = frozenset({"DATE", "DATETIME"})
_DATE_TYPES = (exp.DType.DATE, exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ, exp.DType.DATETIME)
_NOW = (exp.CurrentDate, exp.CurrentTimestamp, exp.CurrentDatetime)
_TRUNCATED = (exp.TimestampTrunc, exp.DateTrunc, exp.TsOrDsToDate, exp.Date)


def each(
    tree: exp.Expr, kinds: Kinds, change: Callable[[exp.Expr], exp.Expr | None], what: str
) -> tuple[exp.Expr, str]:
    """Replace every node of these kinds, the innermost first, where `change` gives another."""
    wanted = kinds if isinstance(kinds, tuple) else (kinds,)
    changed = False
    for node in reversed(list(tree.find_all(*wanted))):
        new = change(node)
        if new is None:
            continue
        changed = True
        if node is tree:
            tree = new
        else:
            node.replace(new)
    return tree, what if changed else ""


def call(name: str, *arguments: exp.Expr) -> exp.Anonymous:
    """A call of a function of the target engine, spelled as it is."""
    return exp.Anonymous(this=name, expressions=[argument.copy() for argument in arguments])


def text(value: str) -> exp.Literal:
    """A string literal."""
    return exp.Literal.string(value)


def unit_of(node: exp.Expr) -> str:
    """The unit of EXTRACT, DATE_TRUNC or INTERVAL, in lower case and the singular."""
    unit = node.this if isinstance(node, exp.Extract) else node.args.get("unit")
    name = unit.name.lower() if isinstance(unit, exp.Expr) else ""
    return name[:-1] if name.endswith("s") and name != "s" else name


def is_date(node: exp.Expr | None) -> bool:
    """Whether the expression is a date: by its form, its cast, or the name of its column."""
    if isinstance(node, exp.Paren):
        return is_date(node.this)
    if isinstance(node, exp.Min | exp.Max):
        return is_date(node.this)
    if isinstance(node, exp.Cast):
        return node.to.is_type(*_DATE_TYPES)
    if isinstance(node, exp.Anonymous):
        return node.name.upper() in _DATE_CALLS
    if isinstance(node, exp.Add | exp.Sub):
        right = node.expression
        return is_date(node.this) and isinstance(right, exp.Interval | exp.Literal)
    if isinstance(node, exp.Column):
        return has_date_name(node.name)
    return isinstance(node, _NOW + _TRUNCATED)


def has_date_name(name: str) -> bool:
    """Whether a column of this name probably holds dates: sale_date, created_at, dob."""
    return _DATE_NAME.search(name) is not None
