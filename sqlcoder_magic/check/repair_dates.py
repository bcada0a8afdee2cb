"""A part of a date taken from a key: no engine refuses it, and it never means anything.

`EXTRACT(YEAR FROM customer_id)` means the date of that table, if it has exactly one. Covers the
functions that take a date apart or cut it; comparisons of dates are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from sqlcoder_magic.check.repair_view import View, shown
from sqlcoder_magic.check.rewriting import has_date_name
from sqlcoder_magic.types import Column, Table

_TAKES_APART = (
    *(exp.Extract, exp.DateTrunc, exp.TimestampTrunc, exp.TimeToStr, exp.TsOrDsToDate, exp.Date),
    *(exp.Year, exp.Month, exp.Day, exp.Quarter, exp.Week, exp.DayOfWeek, exp.DayOfYear),
)
_BY_NAME = frozenset({"STRFTIME", "JULIANDAY", "DATE", "DATETIME", "DATE_PART", "DATE_TRUNC"})


def dates(view: View) -> str:
    """A key inside a function of dates becomes the only date of its table."""
    for column in _taken_apart(view.tree):
        select = view.select_of(column)
        site = view.site_of(column, view.sites(select)) if select is not None else None
        table = site.source.table if site is not None else None
        if site is None or table is None or not _is_key(table, column.name):
            continue
        if has_date_name(column.name):  # a calendar's key is a date
            continue
        found = _dates_of(table)
        if len(found) == 1:
            written = shown(column)
            column.set("this", view.identifier(found[0]))
            return f"`{written}` → `{table.full_name}.{found[0]}`: a key is no date"
    return ""


def _taken_apart(tree: exp.Expr) -> Iterator[exp.Column]:
    for column in list(tree.find_all(exp.Column)):
        parent = column.parent
        while isinstance(parent, exp.Cast | exp.TsOrDsToTimestamp | exp.Paren):
            parent = parent.parent
        named = isinstance(parent, exp.Anonymous) and parent.name.upper() in _BY_NAME
        if named or isinstance(parent, _TAKES_APART):
            yield column


def _is_key(table: Table, name: str) -> bool:
    keys = {c.lower() for c in table.primary_key}
    keys |= {c.lower() for key in table.foreign_keys for c in key.columns}
    kinds = [column.type.upper() for column in table.columns if column.name.lower() == name.lower()]
    return name.lower() in keys and not any("DATE" in kind or "TIME" in kind for kind in kinds)


def _dates_of(table: Table) -> list[str]:
    """Its columns of a date's type; where there are none, those named like dates."""

    def typed(column: Column) -> bool:
        return any(word in column.type.upper() for word in ("DATE", "TIMESTAMP"))

    by_type = [column.name for column in table.columns if typed(column)]
    by_name = [column.name for column in table.columns if has_date_name(column.name)]
    return by_type or by_name
