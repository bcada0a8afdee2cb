"""PostgreSQL's dates and text functions for SQLite, which keeps dates as text.

Passes for `rewrites.REWRITES`; see there for what they leave out. A date is written
`YYYY-MM-DD`, as SQLite's DATE() gives it.
"""

from __future__ import annotations

import re

from sqlglot import exp

from sqlcoder_magic.check.rewriting import call, each, is_date, text, unit_of

_PATTERNS = {
    "year": "%Y",
    "month": "%m",
    "day": "%d",
    "hour": "%H",
    "minute": "%M",
    "second": "%S",
    "dow": "%w",
    "dayofweek": "%w",
    "doy": "%j",
    "dayofyear": "%j",
    "epoch": "%s",
}
_STARTS = {"year": "start of year", "month": "start of month"}
_CLOCKS = {
    "hour": "%Y-%m-%d %H:00:00",
    "minute": "%Y-%m-%d %H:%M:00",
    "second": "%Y-%m-%d %H:%M:%S",
}
# Unit of an interval -> SQLite's unit and how many of those it is.
_STEPS = {
    "year": ("years", 1),
    "quarter": ("months", 3),
    "month": ("months", 1),
    "week": ("days", 7),
    "day": ("days", 1),
    "hour": ("hours", 1),
    "minute": ("minutes", 1),
    "second": ("seconds", 1),
}
_SECONDS = 86_400


def ages(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """EXTRACT(YEAR FROM AGE(a, b)) -> full years between the dates."""

    def change(node: exp.Expr) -> exp.Expr | None:
        age = node.expression
        if unit_of(node) != "year" or age.name.upper() != "AGE" or not age.expressions:
            return None
        arguments = [_moment(argument) for argument in age.expressions]
        later, earlier = arguments if len(arguments) == 2 else (text("now"), arguments[0])
        years = exp.Sub(this=_number("%Y", later), expression=_number("%Y", earlier))
        days = [call("STRFTIME", text("%m-%d"), date) for date in (later, earlier)]
        not_yet = exp.paren(exp.LT(this=days[0], expression=days[1]))
        return exp.paren(exp.Sub(this=years, expression=not_yet))

    return each(tree, exp.Extract, change, "AGE became a difference of years")


def spans(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """EXTRACT(EPOCH or DAY FROM a - b) -> seconds or days between the two."""

    def change(node: exp.Expr) -> exp.Expr | None:
        span = node.expression.unnest()
        unit = unit_of(node)
        if unit not in ("epoch", "day") or not isinstance(span, exp.Sub):
            return None
        if isinstance(span.expression, exp.Interval | exp.Literal):
            return None
        days = exp.paren(_julian_difference(span))
        if unit == "day":
            return exp.cast(days, "INTEGER")
        seconds = exp.Mul(this=days, expression=exp.Literal.number(_SECONDS))
        return exp.paren(call("ROUND", seconds))

    return each(tree, exp.Extract, change, "EXTRACT became JULIANDAY")


def parts(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """EXTRACT(YEAR FROM d) -> CAST(STRFTIME('%Y', d) AS INTEGER)."""

    def change(node: exp.Expr) -> exp.Expr | None:
        date = _moment(node.expression)
        unit = unit_of(node)
        if unit in _PATTERNS:
            return _number(_PATTERNS[unit], date)
        if unit == "quarter":
            return exp.paren(_arithmetic("(_M + 2) / 3", _M=_number("%m", date)))
        if unit == "isodow":
            return exp.paren(_arithmetic("(_D + 6) % 7 + 1", _D=_number("%w", date)))
        if unit == "week":
            # The week of a day has the number of its Thursday's week (ISO 8601).
            thursday = call("DATE", date, text("-3 days"), text("weekday 4"))
            return exp.paren(_arithmetic("(_D - 1) / 7 + 1", _D=_number("%j", thursday)))
        return None

    return each(tree, exp.Extract, change, "EXTRACT became STRFTIME")


def truncation(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """DATE_TRUNC -> DATE() with the start of the year, quarter, month or week (Monday)."""

    def change(node: exp.Expr) -> exp.Expr | None:
        date = _moment(node.this)
        unit = unit_of(node)
        if unit in _STARTS:
            return call("DATE", date, text(_STARTS[unit]))
        if unit == "day":
            return call("DATE", date)
        if unit == "week":
            return call("DATE", date, text("weekday 0"), text("-6 days"))
        if unit == "quarter":
            back = exp.paren(_arithmetic("(_M - 1) % 3", _M=_number("%m", date)))
            step = _joined(text("-"), back, text(" months"))
            return call("DATE", date, text("start of month"), step)
        return call("STRFTIME", text(_CLOCKS[unit]), date) if unit in _CLOCKS else None

    return each(tree, (exp.TimestampTrunc, exp.DateTrunc), change, "DATE_TRUNC became DATE")


def differences(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """date - date -> whole days by JULIANDAY; date - 7 -> DATE(date, '-7 days')."""

    def change(node: exp.Expr) -> exp.Expr | None:
        left, right = node.this, node.expression
        if not is_date(left):
            return None
        if isinstance(right, exp.Literal) and not right.is_string:
            sign = "-" if isinstance(node, exp.Sub) else "+"
            return call("DATE", _moment(left), text(f"{sign}{right.name} days"))
        if isinstance(node, exp.Sub) and is_date(right):
            return exp.cast(_julian_difference(node), "INTEGER")
        return None

    return each(tree, (exp.Sub, exp.Add), change, "arithmetic on dates became DATE and JULIANDAY")


def intervals(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """date - INTERVAL '7 days' -> DATE(date, '-7 days'); with hours, DATETIME.

    A month after January 31 is the end of February, as PostgreSQL has it; SQLite alone would
    run on into March.
    """

    def change(node: exp.Expr) -> exp.Expr | None:
        date, span = node.this, node.expression
        if isinstance(date, exp.Interval) and isinstance(node, exp.Add):
            date, span = span, date
        sign = "-" if isinstance(node, exp.Sub) else "+"
        modifiers = _modifiers(span, sign)
        if not modifiers:
            return None
        clock = any(_ends_with(m, ("hours", "minutes", "seconds")) for m in modifiers)
        clock = clock or isinstance(date, exp.CurrentTimestamp) or date.name == "DATETIME"
        base = _moment(date)
        months = [m for m in modifiers if _ends_with(m, ("months", "years"))]
        if months and not _has_no_31st(base):
            modifiers = [m for m in modifiers if m not in months]
            base = _same_day(base, months, clock)
        return call("DATETIME" if clock else "DATE", base, *modifiers)

    return each(tree, (exp.Sub, exp.Add), change, "INTERVAL became DATE")


def _ends_with(modifier: exp.Expr, units: tuple[str, ...]) -> bool:
    last = modifier.expression if isinstance(modifier, exp.DPipe) else modifier
    return last.name.endswith(units)


def _has_no_31st(date: exp.Expr) -> bool:
    """Whether the date is early enough in its month for every month: a first, a plain 15th."""
    if isinstance(date, exp.Literal):
        return re.fullmatch(r"\d{4}-\d\d-([01]\d|2[0-8])", date.name) is not None
    starts = [a.name.startswith("start of") for a in date.expressions[1:2]]
    return isinstance(date, exp.Anonymous) and starts == [True]


def _same_day(date: exp.Expr, months: list[exp.Expr], clock: bool) -> exp.Expr:
    """The same day so many months on, or that month's last day if it is shorter."""
    moved = call("DATE", date, *months)
    last = call("DATE", date, text("start of month"), *months, text("+1 months"), text("-1 days"))
    day = call("MIN", moved, last)
    return _joined(day, text(" "), call("TIME", date)) if clock else day


def timestamps(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """CAST AS TIMESTAMP -> DATETIME(); on SQLite the cast would give the year as a number."""
    kinds = (exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ, exp.DType.DATETIME)

    def change(node: exp.Expr) -> exp.Expr | None:
        return call("DATETIME", _moment(node.this)) if node.args["to"].is_type(*kinds) else None

    return each(tree, exp.Cast, change, "CAST AS TIMESTAMP became DATETIME")


def ends(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """LEFT and RIGHT -> SUBSTR."""

    def change(node: exp.Expr) -> exp.Expr | None:
        count = node.expression
        if isinstance(node, exp.Left):
            return call("SUBSTR", node.this, exp.Literal.number(1), count)
        return call("SUBSTR", node.this, exp.Neg(this=count.copy()))

    return each(tree, (exp.Left, exp.Right), change, "LEFT and RIGHT became SUBSTR")


def concat(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """CONCAT -> ||, with NULL as empty text, as PostgreSQL's CONCAT has it."""

    def change(node: exp.Expr) -> exp.Expr | None:
        if isinstance(node, exp.ConcatWs):
            return None
        pieces = [
            part if isinstance(part, exp.Literal) else exp.func("COALESCE", part, text(""))
            for part in node.expressions
        ]
        return exp.paren(_joined(*pieces)) if pieces else None

    return each(tree, exp.Concat, change, "CONCAT became ||")


def aggregates(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """STRING_AGG(DISTINCT x, ',') -> GROUP_CONCAT(DISTINCT x), which takes no separator."""

    def change(node: exp.Expr) -> exp.Expr | None:
        separator = node.args.get("separator")
        if not isinstance(node.this, exp.Distinct) or separator is None or separator.name != ",":
            return None
        node.set("separator", None)
        return node

    return each(tree, exp.GroupConcat, change, "STRING_AGG became GROUP_CONCAT")


def rounding(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """CAST AS NUMERIC(10, 2) -> ROUND(..., 2); SQLite's cast would keep every digit."""

    def change(node: exp.Expr) -> exp.Expr | None:
        to = node.args["to"]
        if not to.is_type(exp.DType.DECIMAL) or len(to.expressions) != 2:
            return None
        return call("ROUND", exp.cast(node.this, "REAL"), to.expressions[1].this)

    return each(tree, exp.Cast, change, "NUMERIC(p, s) became ROUND")


def _number(pattern: str, date: exp.Expr) -> exp.Expr:
    return exp.cast(call("STRFTIME", text(pattern), date), "INTEGER")


def _moment(date: exp.Expr) -> exp.Expr:
    """The argument of SQLite's date functions: 'now', or the expression itself."""
    if isinstance(date, exp.CurrentDate | exp.CurrentTimestamp):
        return text("now")
    if isinstance(date, exp.Cast) and isinstance(date.this, exp.Literal):
        return date.this.copy()
    return date.unnest().copy()


def _julian_difference(node: exp.Expr) -> exp.Expr:
    sides = [
        call(
            "JULIANDAY", call("DATE", text("now")) if isinstance(s, exp.CurrentDate) else _moment(s)
        )
        for s in (node.this, node.expression)
    ]
    return exp.Sub(this=sides[0], expression=sides[1])


def _joined(*pieces: exp.Expr) -> exp.Expr:
    whole = pieces[0].copy()
    for piece in pieces[1:]:
        whole = exp.DPipe(this=whole, expression=piece.copy())
    return whole


def _arithmetic(formula: str, **values: exp.Expr) -> exp.Expr:
    """A small formula with each name in it replaced by an expression."""
    tree: exp.Expr = exp.maybe_parse(formula, dialect="sqlite")
    for column in list(tree.find_all(exp.Column)):
        column.replace(values[column.name].copy())
    return tree


def _modifiers(span: exp.Expr, sign: str) -> list[exp.Expr]:
    """An interval as modifiers of DATE(): '-7 days'; empty if it is none of known units."""
    factor: exp.Expr | None = None
    span = span.unnest()
    if isinstance(span, exp.Mul):
        interval = span.this if isinstance(span.this, exp.Interval) else span.expression
        factor = span.expression if interval is span.this else span.this
        span = interval
    if not isinstance(span, exp.Interval):
        return []
    found: list[exp.Expr] = []
    for count, unit in _counted(span):
        name, times = _STEPS.get(unit, ("", 0))
        if not name:
            return []
        steps = int(count) * times
        if factor is None:
            negative = (sign == "-") != (steps < 0)
            found.append(text(f"{'-' if negative else '+'}{abs(steps)} {name}"))
        else:
            product = exp.Mul(this=exp.paren(factor.copy()), expression=_literal(steps))
            signed = exp.Neg(this=exp.paren(product)) if sign == "-" else product
            found.append(_joined(exp.paren(signed), text(f" {name}")))
    return found


def _literal(number: int) -> exp.Expr:
    return exp.Literal.number(number)


def _counted(span: exp.Interval) -> list[tuple[str, str]]:
    """(count, unit) pairs of an interval: '1 year 2 months' has two."""
    written = span.this.name if span.this is not None else ""
    unit = unit_of(span)
    if unit and re.fullmatch(r"-?\d+", written):
        return [(written, unit)]
    pairs = re.findall(r"(-?)\s*(\d+)\s*([a-z]+?)s?(?=\s|$)", written.lower())
    return [(sign + count, "minute" if name == "min" else name) for sign, count, name in pairs]
