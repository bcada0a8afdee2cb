"""PostgreSQL's dates, orders and functions for MySQL and MariaDB, in what both of them know.

Passes for `rewrites.REWRITES`; see there for what they leave out. Also left: MySQL divides whole
numbers without cutting them off, GREATEST and LEAST are NULL with a NULL among theirs, a
REGEXP_REPLACE without 'g' replaces every place, and there is no FULL JOIN (the check says so).
"""

from __future__ import annotations

import re

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.time import format_time

from sqlcoder_magic.check.rewriting import call, each, is_date, text, unit_of

_STARTS = {
    "year": "%Y-01-01",
    "month": "%Y-%m-01",
    "hour": "%Y-%m-%d %H:00:00",
    "minute": "%Y-%m-%d %H:%i:00",
    "second": "%Y-%m-%d %H:%i:%s",
}
_UNITS = "year|quarter|month|week|day|hour|minute|second"
_COUNTED = re.compile(rf"([+-]?)\s*(\d+)\s*({_UNITS})s?(?=\s|$)", re.I)
# TO_CHAR's patterns -> DATE_FORMAT's; blank-padded names come without the blanks.
_PATTERNS = {
    "YYYY": "%Y", "YY": "%y", "IYYY": "%x", "MM": "%m", "DDD": "%j", "DD": "%d", "IW": "%v",
    "HH24": "%H", "HH12": "%h", "HH": "%h", "MI": "%i", "SS": "%s", "US": "%f", "AM": "%p",
    "PM": "%p", "Month": "%M", "Mon": "%b", "Day": "%W", "Dy": "%a",
}  # fmt: skip
_WITHOUT_PATTERN = {"Q": "QUARTER", "D": "DAYOFWEEK"}
_PIECES = re.compile(
    r'"([^"]*)"|(?:FM|TM)?('
    + "|".join(sorted([*_PATTERNS, *_WITHOUT_PATTERN], key=len, reverse=True))
    + r")|([^A-Za-z\"%]+)|(.)",
    re.S,
)
_SAME_BY_ANOTHER_NAME = {
    "EVERY": "MIN",
    "JSON_BUILD_OBJECT": "JSON_OBJECT",
    "JSONB_BUILD_OBJECT": "JSON_OBJECT",
    "JSON_BUILD_ARRAY": "JSON_ARRAY",
    "JSONB_BUILD_ARRAY": "JSON_ARRAY",
}


def filters(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """`SUM(x) FILTER (WHERE c)` -> `SUM(CASE WHEN c THEN x END)`."""

    def change(node: exp.Expr) -> exp.Expr | None:
        aggregate: exp.Expr = node.this
        aggregate.set("this", _only_where(aggregate.this, node.expression.this))
        return aggregate

    return each(tree, exp.Filter, change, "FILTER became CASE")


def _only_where(value: exp.Expr, condition: exp.Expr) -> exp.Expr:
    """What is aggregated, NULL where the condition does not hold; DISTINCT and ORDER BY stay."""
    if isinstance(value, exp.Distinct):
        value.set("expressions", [_only_where(value.expressions[0], condition)])
        return value
    if isinstance(value, exp.Order):
        value.set("this", _only_where(value.this, condition))
        return value
    result = exp.Literal.number(1) if isinstance(value, exp.Star) else value
    return exp.Case().when(condition.copy(), result.copy())


def nulls(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """`ORDER BY x NULLS LAST` -> `ORDER BY x IS NULL, x`, where MySQL's own order is another."""
    changed = False
    for order in tree.find_all(exp.Order):
        found: list[exp.Expr] = []
        for part in order.expressions:
            descending = bool(part.args.get("desc"))
            if bool(part.args.get("nulls_first")) == descending:
                key = exp.Is(this=_meant(part.this, order), expression=exp.Null())
                found.append(
                    exp.Ordered(this=key, desc=descending or None, nulls_first=not descending)
                )
                part.set("nulls_first", not descending)
                changed = True
            found.append(part)
        order.set("expressions", found)
    return tree, "NULLS FIRST and LAST became IS NULL" if changed else ""


def _meant(key: exp.Expr, order: exp.Order) -> exp.Expr:
    """What `ORDER BY 2` stands for: inside an expression a number is just a number."""
    select = order.parent
    if isinstance(key, exp.Literal) and key.is_int and isinstance(select, exp.Query):
        place = int(key.name) - 1
        if 0 <= place < len(select.selects):
            projection = select.selects[place]
            return exp.column(projection.alias) if projection.alias else projection.copy()
    return key.copy()


def rollups(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """GROUP BY ROLLUP (a, b) -> GROUP BY a, b WITH ROLLUP."""
    changed = False
    for group in tree.find_all(exp.Group):
        only = group.expressions[0] if len(group.expressions) == 1 else None
        if isinstance(only, exp.Rollup) and only.expressions:
            group.set("expressions", [part.copy() for part in only.expressions])
            group.set("rollup", [exp.Rollup()])
            changed = True
    return tree, "ROLLUP was spelled out" if changed else ""


def offsets(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """OFFSET without LIMIT -> with the largest LIMIT there is, as MySQL's manual advises."""
    changed = False
    for query in tree.find_all(exp.Query):
        if query.args.get("offset") and not query.args.get("limit"):
            query.set("limit", exp.Limit(expression=exp.Literal.number(2**64 - 1)))
            changed = True
    return tree, "OFFSET got a LIMIT" if changed else ""


def truncation(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """DATE_TRUNC -> the first day of the year, quarter, month or week, the day, or the hour."""

    def change(node: exp.Expr) -> exp.Expr | None:
        date = node.this
        unit = unit_of(node)
        if unit in _STARTS:
            start = call("DATE_FORMAT", date, text(_STARTS[unit]))
            name = "DATE" if unit in ("year", "month") else "TIMESTAMP"
            return call(name, start)
        if unit == "day":
            return call("DATE", date)
        if unit == "week":
            return call("DATE", exp.Sub(this=date.copy(), expression=_days(call("WEEKDAY", date))))
        if unit == "quarter":
            months = exp.Sub(this=call("QUARTER", date), expression=exp.Literal.number(1))
            start = call("MAKEDATE", call("YEAR", date), exp.Literal.number(1))
            step = exp.Interval(this=exp.paren(months), unit=exp.var("QUARTER"))
            return exp.Add(this=start, expression=step)
        return None

    return each(tree, (exp.TimestampTrunc, exp.DateTrunc), change, "DATE_TRUNC was spelled out")


def ages(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """EXTRACT(YEAR or MONTH FROM AGE(a, b)) -> what lies between."""

    def change(node: exp.Expr) -> exp.Expr | None:
        age = node.expression
        if age.name.upper() != "AGE" or not age.expressions:
            return None
        later, earlier = ([exp.CurrentDate(), *age.expressions])[-2:]
        months = call("TIMESTAMPDIFF", exp.var("MONTH"), earlier, later)
        if unit_of(node) == "year":
            return call("TIMESTAMPDIFF", exp.var("YEAR"), earlier, later)
        if unit_of(node) == "month":
            return exp.paren(exp.Mod(this=months, expression=exp.Literal.number(12)))
        return None

    return each(tree, exp.Extract, change, "AGE became TIMESTAMPDIFF")


def spans(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """EXTRACT(EPOCH or DAY FROM a - b) -> TIMESTAMPDIFF; the epoch of one date likewise."""

    def change(node: exp.Expr) -> exp.Expr | None:
        unit = unit_of(node)
        if unit not in ("epoch", "day"):
            return None
        name = exp.var("SECOND" if unit == "epoch" else "DAY")
        span = node.expression.unnest()
        if isinstance(span, exp.Sub) and not isinstance(span.expression, exp.Interval):
            return call("TIMESTAMPDIFF", name, span.expression, span.this)
        if unit == "epoch" and not isinstance(span, exp.Interval):
            return call("TIMESTAMPDIFF", name, text("1970-01-01"), span)
        return None

    tree, what = each(tree, exp.Extract, change, "EXTRACT became TIMESTAMPDIFF")
    unixed, more = each(
        tree,
        exp.TimeToUnix,
        lambda node: call("TIMESTAMPDIFF", exp.var("SECOND"), text("1970-01-01"), node.this),
        "EXTRACT became TIMESTAMPDIFF",
    )
    return unixed, what or more


def parts(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """EXTRACT of the day of the week or year, and of the week and year of ISO 8601."""

    def change(node: exp.Expr) -> exp.Expr | None:
        date = node.expression
        unit = unit_of(node)
        one, hundred = exp.Literal.number(1), exp.Literal.number(100)
        if unit in ("dow", "dayofweek"):
            return exp.paren(exp.Sub(this=call("DAYOFWEEK", date), expression=one))
        if unit in ("isodow", "dayofweekiso"):
            return exp.paren(exp.Add(this=call("WEEKDAY", date), expression=one))
        if unit in ("week", "weekiso"):
            return call("WEEK", date, exp.Literal.number(3))
        if unit in ("isoyear", "yearofweekiso"):
            week = call("YEARWEEK", date, exp.Literal.number(3))
            return exp.paren(exp.IntDiv(this=week, expression=hundred))
        return call("DAYOFYEAR", date) if unit in ("doy", "dayofyear") else None

    return each(tree, exp.Extract, change, "EXTRACT was spelled out")


def intervals(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """INTERVAL '1 year 2 days' -> two of them; MySQL's have one unit each."""

    def change(node: exp.Expr) -> exp.Expr | None:
        date, span = node.this, node.expression.unnest()
        if isinstance(date.unnest(), exp.Interval) and isinstance(node, exp.Add):
            date, span = span, date.unnest()
        counted = _counted(span)
        for count, unit in counted:
            step = exp.Interval(this=exp.Literal.number(abs(count)), unit=exp.var(unit.upper()))
            minus = isinstance(node, exp.Sub) != (count < 0)
            date = (exp.Sub if minus else exp.Add)(this=date.copy(), expression=step)
        return date if counted else None

    return each(tree, (exp.Sub, exp.Add), change, "INTERVAL was split by unit")


def _counted(span: exp.Expr) -> list[tuple[int, str]]:
    """The counts and units of an interval with more than one; a '-' holds for one of them."""
    if not isinstance(span, exp.Interval) or span.args.get("unit") or span.this is None:
        return []
    found = _COUNTED.findall(span.this.name)
    left = _COUNTED.sub("", span.this.name).strip()
    return [] if left else [(int(sign + count), unit) for sign, count, unit in found]


def multiples(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """INTERVAL '1 day' * n -> INTERVAL (n) DAY."""

    def change(node: exp.Expr) -> exp.Expr | None:
        sides = (node.this.unnest(), node.expression.unnest())
        interval = next((s for s in sides if isinstance(s, exp.Interval)), None)
        if interval is None or interval.args.get("unit") is None:
            return None
        factor = sides[1] if interval is sides[0] else sides[0]
        number = exp.Literal.number(interval.this.name)
        count = exp.Mul(this=exp.paren(factor.copy()), expression=number)
        return exp.Interval(this=exp.paren(count), unit=interval.args["unit"].copy())

    tree, what = each(tree, exp.Mul, change, "multiples of INTERVAL were spelled out")
    return each(
        tree, exp.Paren, lambda n: n.this if isinstance(n.this, exp.Interval) else None, what
    )


def dates(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """date - date -> DATEDIFF; date + 7 -> date + INTERVAL 7 DAY. MySQL would take both for
    numbers, and say nothing. What is taken from today is a date, unless it is a number."""

    def change(node: exp.Expr) -> exp.Expr | None:
        left, right = node.this, node.expression
        if not is_date(left):
            return None
        if isinstance(right, exp.Literal) and not right.is_string:
            return type(node)(this=left.copy(), expression=_days(right))
        today = isinstance(left, exp.CurrentDate | exp.CurrentTimestamp)
        other = is_date(right) or (today and isinstance(right, exp.Column))
        return call("DATEDIFF", left, right) if other and isinstance(node, exp.Sub) else None

    return each(tree, (exp.Sub, exp.Add), change, "arithmetic on dates was spelled out")


def divisions(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """7 / 2 -> 7 DIV 2, where both are whole numbers for sure; of columns the type is not known."""

    def change(node: exp.Expr) -> exp.Expr | None:
        whole = _whole(node.this) and _whole(node.expression)
        return exp.IntDiv(this=node.this, expression=node.expression) if whole else None

    return each(tree, exp.Div, change, "division of whole numbers became DIV")


def _whole(node: exp.Expr) -> bool:
    if isinstance(node, exp.Literal):
        return node.is_int
    if isinstance(node, exp.Sub) and is_date(node.this) and is_date(node.expression):
        return True
    if isinstance(node, exp.Add | exp.Sub | exp.Mul | exp.Mod | exp.IntDiv):
        return _whole(node.this) and _whole(node.expression)
    if isinstance(node, exp.Paren | exp.Neg | exp.Filter):
        return _whole(node.this)
    if isinstance(node, exp.Cast):
        return node.to.is_type(*exp.DataType.INTEGER_TYPES)
    return isinstance(node, exp.Count | exp.Length)


def patterns(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """TO_CHAR of a date -> DATE_FORMAT; a pattern that has no like there stays TO_CHAR."""

    def change(node: exp.Expr) -> exp.Expr | None:
        given = node.args.get("format")
        if not isinstance(given, exp.Literal):
            return call("TO_CHAR", node.this, given or text(""))
        pattern = format_time(given.name, Postgres.INVERSE_TIME_MAPPING) or ""
        pieces: list[exp.Expr] = []
        written = ""
        for quoted, known, plain, other in _PIECES.findall(pattern):
            if other:
                return call("TO_CHAR", node.this, text(pattern))
            if known in _WITHOUT_PATTERN:
                pieces += [text(written)] if written else []
                pieces.append(call(_WITHOUT_PATTERN[known], node.this))
                written = ""
            else:
                written += _PATTERNS.get(known, "") or quoted.replace("%", "%%") or plain
        pieces += [text(written)] if written else []
        formatted = [
            call("DATE_FORMAT", node.this, p) if isinstance(p, exp.Literal) else p for p in pieces
        ]
        return formatted[0] if len(formatted) == 1 else call("CONCAT", *formatted)

    return each(tree, exp.TimeToStr, change, "TO_CHAR became DATE_FORMAT")


def regexps(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """`~` and `~*` -> REGEXP_INSTR with the case in the pattern: MySQL goes by the collation."""

    def change(node: exp.Expr) -> exp.Expr | None:
        case = "(?i)" if isinstance(node, exp.RegexpILike) else "(?-i)"
        given = node.expression
        literal = isinstance(given, exp.Literal)
        pattern = text(case + given.name) if literal else call("CONCAT", text(case), given)
        place = call("REGEXP_INSTR", node.this, pattern)
        return exp.paren(exp.GT(this=place, expression=exp.Literal.number(0)))

    return each(tree, (exp.RegexpLike, exp.RegexpILike), change, "~ became REGEXP_INSTR")


def functions(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """What sqlglot leaves under PostgreSQL's name, or under a name with another meaning."""
    kinds = (exp.Log, exp.SplitPart, exp.RegexpReplace, exp.Chr, exp.ArrayToString, exp.Anonymous,
             exp.JSONExtractScalar, exp.Overlay, exp.AtTimeZone, exp.Hex)  # fmt: skip
    return each(tree, kinds, _renamed, "functions were renamed")


def _renamed(node: exp.Expr) -> exp.Expr | None:
    if isinstance(node, exp.Log):  # of one number: to the base 10 there, to e here
        return None if node.args.get("expression") else call("LOG10", node.this)
    if isinstance(node, exp.SplitPart):
        return _split_part(node)
    if isinstance(node, exp.RegexpReplace):
        every = node.args.get("modifiers")
        given = (node.this, node.expression, node.args["replacement"])
        return call("REGEXP_REPLACE", *given) if every is not None and every.name == "g" else None
    if isinstance(node, exp.Chr):  # CHAR alone gives bytes
        codes = [code.copy() for code in node.expressions]
        return exp.Chr(expressions=codes, charset=exp.var("utf8mb4"))
    if isinstance(node, exp.ArrayToString) and isinstance(node.this, exp.ArrayAgg):
        return exp.GroupConcat(this=node.this.this.copy(), separator=node.expression.copy())
    if isinstance(node, exp.JSONExtractScalar):  # ->> is not known to MariaDB
        path = exp.JSONExtract(this=node.this.copy(), expression=node.expression.copy())
        return call("JSON_UNQUOTE", path)
    if isinstance(node, exp.Hex):
        return call("LOWER", call("HEX", node.this))
    if isinstance(node, exp.Overlay):
        length = node.args.get("for_") or call("CHAR_LENGTH", node.expression)
        return call("INSERT", node.this, node.args["from_"], length, node.expression)
    if isinstance(node, exp.AtTimeZone):  # sqlglot would leave it out; by this name it is refused
        return call("AT_TIME_ZONE", node.this, node.args["zone"])
    if node.name.upper() == "MAKE_DATE" and len(node.expressions) == 3:
        return exp.cast(call("CONCAT_WS", text("-"), *node.expressions), "DATE")
    other = _SAME_BY_ANOTHER_NAME.get(node.name.upper())
    return call(other, *node.expressions) if other else None


def _split_part(node: exp.SplitPart) -> exp.Expr | None:
    """SUBSTRING_INDEX twice, over a text with so many delimiters added that the part is there."""
    delimiter, index = node.args["delimiter"], node.args["part_index"]
    if not (isinstance(index, exp.Literal) and index.is_int and isinstance(delimiter, exp.Literal)):
        return None
    count = int(index.name)
    if not 1 <= count <= 100:
        return None
    padded = (
        call("CONCAT", node.this, text(delimiter.name * (count - 1))) if count > 1 else node.this
    )
    front = call("SUBSTRING_INDEX", padded, delimiter, index)
    last = exp.Literal.number(-1)
    return call("SUBSTRING_INDEX", front, delimiter, last) if count > 1 else front


def _days(count: exp.Expr) -> exp.Interval:
    amount = count if isinstance(count, exp.Literal) else exp.paren(count)
    return exp.Interval(this=amount.copy(), unit=exp.var("DAY"))
