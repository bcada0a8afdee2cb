"""Questions about the dates of one table: spans, the last so many days, by month, days between.

Writers as in `ask_table`, which see.
"""

from __future__ import annotations

from random import Random

from sqlcoder_magic.training.view import AGGREGATES, Asked, View, said

_UNITS = ("day", "week", "month", "month", "quarter", "year", "year")


def date_filter(v: View, rng: Random) -> Asked | None:
    """A year, a span, the last so many days, before and after."""
    if not v.dates:
        return None
    date = rng.choice(v.dates)
    d, words, year = v.name(date.name), said(date), rng.randint(2000, 2025)
    month, span = rng.randint(1, 11), rng.choice((7, 14, 30, 60, 90, 180))
    months = rng.choice((1, 2, 3, 6, 12))
    day = f"{year}-{month:02}-{rng.randint(1, 28):02}"
    wheres = (
        (f"with a {words} in {year}", f"{d} >= '{year}-01-01' AND {d} < '{year + 1}-01-01'"),
        (f"whose {words} is in the year {year}", f"EXTRACT(YEAR FROM {d}) = {year}"),
        (
            f"with a {words} in the last {span} days",
            f"{d} >= CURRENT_DATE - INTERVAL '{span} days'",
        ),
        (
            f"whose {words} is within the past {months} months",
            f"{d} >= CURRENT_DATE - INTERVAL '{months} months'",
        ),
        (f"with a {words} after {day}", f"{d} > '{day}'"),
        (f"with a {words} before {day}", f"{d} < '{day}'"),
        (
            f"with a {words} between {year}-01-01 and {day}",
            f"{d} BETWEEN '{year}-01-01' AND '{day}'",
        ),
        (
            f"from {_MONTHS[month]} {year} by {words}",
            f"{d} >= '{year}-{month:02}-01' AND {d} < '{year}-{month + 1:02}-01'",
        ),
        (
            f"more than {span} days old by {words}",
            f"{d} < CURRENT_DATE - INTERVAL '{span} days'",
        ),
    )
    said_where, where = rng.choice(wheres)
    if rng.random() < 0.5:
        ask = rng.choice(
            (f"How many {v.many} are there {said_where}?", f"Count {v.many} {said_where}.")
        )
        return ask, f"SELECT COUNT(*) FROM {v.sql} WHERE {where}"
    if v.numbers and rng.random() < 0.5:
        m = rng.choice(v.numbers)
        text, function = rng.choice(AGGREGATES)
        ask = f"What is the {text} {said(m)} of {v.many} {said_where}?"
        return ask, f"SELECT {function}({v.name(m.name)}) FROM {v.sql} WHERE {where}"
    shown = rng.choice((*v.texts, date))
    ask = rng.choice(
        (
            f"List the {said(shown)} of {v.many} {said_where}.",
            f"Show the {said(shown)} of all {v.many} {said_where}",
        )
    )
    return ask, f"SELECT {v.name(shown.name)} FROM {v.sql} WHERE {where}"


_MONTHS = (
    "", "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip


def date_group(v: View, rng: Random) -> Asked | None:
    """Counts or totals by month, year and so on."""
    if not v.dates:
        return None
    date, unit = rng.choice(v.dates), rng.choice(_UNITS)
    d, words = v.name(date.name), said(date)
    measure, of = "COUNT(*)", f"number of {v.many}"
    if v.numbers and rng.random() < 0.5:
        m = rng.choice(v.numbers)
        text, function = rng.choice(AGGREGATES)
        measure, of = f"{function}({v.name(m.name)})", f"{text} {said(m)} of the {v.many}"
    ask = rng.choice(
        (
            f"What is the {of} per {unit} of {words}?",
            f"Show the {of} for each {unit}, by {words}.",
            f"{of.capitalize()} by {unit} ({words}), in order",
        )
    )
    if unit == "year" and rng.random() < 0.5:
        key = f"EXTRACT(YEAR FROM {d})"
        return ask, f"SELECT {key}, {measure} FROM {v.sql} GROUP BY {key} ORDER BY {key}"
    key = f"DATE_TRUNC('{unit}', {d})"
    return ask, f"SELECT {key} AS {unit}, {measure} FROM {v.sql} GROUP BY {key} ORDER BY {key}"


def date_gap(v: View, rng: Random) -> Asked | None:
    """Days between two dates, or since one; the latest and earliest."""
    if not v.dates:
        return None
    one = rng.choice(v.dates)
    others = [date for date in v.dates if date != one]
    if others and rng.random() < 0.6:
        two = rng.choice(others)
        a, b = v.name(one.name), v.name(two.name)
        gap = f"CAST({b} AS DATE) - CAST({a} AS DATE)"
        ask = (
            f"What is the average number of days between {said(one)} and "
            f"{said(two)} of the {v.many}?"
        )
        return ask, f"SELECT AVG({gap}) FROM {v.sql}"
    text, function = rng.choice((("latest", "MAX"), ("most recent", "MAX"), ("earliest", "MIN")))
    ask = rng.choice(
        (
            f"What is the {text} {said(one)} of the {v.many}?",
            f"When was the {text} {said(one)} among {v.many}?",
        )
    )
    return ask, f"SELECT {function}({v.name(one.name)}) FROM {v.sql}"
