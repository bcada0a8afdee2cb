"""Repairs of text values: the spelling that the data has, and quotes around a bare value.

A value is known if it is among the `samples` of the column that it is compared with (an enum's
values, or what a look-up in the database put there). Covers =, <> and IN; LIKE is a pattern
of the user's own. Each pass takes a View and returns a sentence; empty if it changed nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from sqlcoder_magic.check.repair_view import View, shown


def spelling(view: View) -> str:
    """A text that differs from exactly one known value in case or spacing alone takes its
    spelling."""
    for column, value in _compared(view):
        if not isinstance(value, exp.Literal) or not value.is_string:
            continue
        known = _known(view, column)
        if value.name in known:
            continue
        fitting = [one for one in known if _plain(one) == _plain(value.name)]
        if len(fitting) == 1:
            written = value.name
            value.replace(exp.Literal.string(fitting[0]))
            return f"'{written}' → '{fitting[0]}', as `{shown(column)}` has it"
    return ""


def quotes(view: View) -> str:
    """A name that is no column, and is compared with one, is a text: where it stands in double
    quotes, or is a known value of that column."""
    lost = {id(column) for column in view.lost_columns if not column.table}
    for column, value in _compared(view):
        if id(value) not in lost or not isinstance(value, exp.Column):
            continue
        known = [one for one in _known(view, column) if _plain(one) == _plain(value.name)]
        text = known[0] if len(known) == 1 else value.name
        if known or value.this.args.get("quoted"):
            value.replace(exp.Literal.string(text))
            return f"`{value.name}` is the text '{text}'"
    return ""


def _compared(view: View) -> Iterator[tuple[exp.Column, exp.Expr]]:
    """(column, what it is compared with), for each comparison."""
    for node in list(view.tree.find_all(exp.EQ, exp.NEQ, exp.In)):
        if isinstance(node, exp.In):
            others = list(node.expressions)
            pairs = [(node.this, other) for other in others]
        else:
            pairs = [(node.this, node.expression), (node.expression, node.this)]
        for column, other in pairs:
            if isinstance(column, exp.Column) and not isinstance(other, exp.Query):
                yield column, other


def _known(view: View, column: exp.Column) -> tuple[str, ...]:
    """The known values of a column; empty where it is not for certain one of a table."""
    select = view.select_of(column)
    site = view.site_of(column, view.sites(select)) if select is not None else None
    table = site.source.table if site is not None else None
    real = site.real(column.name) if site is not None else None
    if table is None or real is None:
        return ()
    return next((own.samples for own in table.columns if own.name == real), ())


def _plain(text: str) -> str:
    return "".join(text.split()).casefold()
