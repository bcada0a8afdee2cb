"""Questions about one table: filters, groups, ratios, windows, CASE, text inside text.

Each writer takes a View and a `random.Random`, and gives a question with its SQL (PostgreSQL's
dialect), or None where the table lacks what it needs. Not covered: dates (`ask_dates`), joins
(`ask_joins`).
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from sqlcoder_magic.training.ask_dates import date_filter, date_gap, date_group
from sqlcoder_magic.training.view import (
    AGGREGATES,
    LAST,
    Asked,
    View,
    literal,
    said,
    value_of,
)
from sqlcoder_magic.training.words import plural
from sqlcoder_magic.types import Column

Writer = Callable[[View, Random], Asked | None]


def share(v: View, rng: Random) -> Asked | None:
    """A fraction, percentage or ratio of rows with a value."""
    if not v.texts:
        return None
    c = rng.choice(v.texts)
    name, words = v.name(c.name), said(c)
    value = value_of(c, rng)
    hit = f"SUM(CASE WHEN {name} = {literal(value)} THEN 1 ELSE 0 END)"
    kind = rng.randrange(3)
    if kind == 0:
        ask = rng.choice(
            (
                f"What fraction of the {v.many} has {words} {value}?",
                f"What proportion of {v.many} have {words} {value}?",
            )
        )
        return ask, f"SELECT {hit} * 1.0 / COUNT(*) FROM {v.sql}"
    if kind == 1:
        ask = rng.choice(
            (
                f"What percentage of the {v.many} has {words} {value}?",
                f"Percent of {v.many} whose {words} is {value}",
            )
        )
        return ask, f"SELECT {hit} * 100.0 / COUNT(*) FROM {v.sql}"
    other = value_of(c, rng, value)
    miss = f"SUM(CASE WHEN {name} = {literal(other)} THEN 1 ELSE 0 END)"
    ask = f"What is the ratio of {v.many} with {words} {value} to {v.many} with {words} {other}?"
    return ask, f"SELECT {hit} * 1.0 / NULLIF({miss}, 0) FROM {v.sql}"


def share_of_total(v: View, rng: Random) -> Asked | None:
    """Each group's part of the whole, or one number over another."""
    if not v.texts or not v.numbers:
        return None
    c, m = rng.choice(v.texts), rng.choice(v.numbers)
    name, measure = v.name(c.name), v.name(m.name)
    if len(v.numbers) > 1 and rng.random() < 0.5:
        n = rng.choice([other for other in v.numbers if other != m])
        ask = (
            f"What is the ratio of total {said(m)} to total {said(n)} for "
            f"each {said(c)} of {v.many}?"
        )
        ratio = f"SUM({measure}) * 1.0 / NULLIF(SUM({v.name(n.name)}), 0)"
        return ask, f"SELECT {name}, {ratio} FROM {v.sql} GROUP BY {name}"
    ask = rng.choice(
        (
            f"What percentage of the total {said(m)} does each {said(c)} account for?",
            (
                f"For each {said(c)}, what is its share in percent of the "
                f"total {said(m)} of all {v.many}?"
            ),
        )
    )
    part = f"SUM({measure}) * 100.0 / (SELECT SUM({measure}) FROM {v.sql})"
    return ask, f"SELECT {name}, {part} FROM {v.sql} GROUP BY {name}"


def compare(v: View, rng: Random) -> Asked | None:
    """Two groups side by side, and the difference between them."""
    if not v.texts or not v.numbers:
        return None
    c, m = rng.choice(v.texts), rng.choice(v.numbers)
    one = value_of(c, rng)
    two = value_of(c, rng, one)
    text, function = rng.choice(AGGREGATES[:2])
    sides = [
        f"{function}(CASE WHEN {v.name(c.name)} = {literal(x)} THEN {v.name(m.name)} END)"
        for x in (one, two)
    ]
    if rng.random() < 0.4:
        ask = (
            f"What is the difference between the {text} {said(m)} of "
            f"{v.many} with {said(c)} {one} and of those with {said(c)} {two}?"
        )
        return ask, f"SELECT {sides[0]} - {sides[1]} AS difference FROM {v.sql}"
    ask = (
        f"Compare the {text} {said(m)} of {v.many} with {said(c)} "
        f"{one} and {said(c)} {two}, and give the difference."
    )
    return ask, f"SELECT {sides[0]}, {sides[1]}, {sides[0]} - {sides[1]} AS difference FROM {v.sql}"


def group(v: View, rng: Random) -> Asked | None:
    """How many, or how much, in each group: from this table alone, though others join it."""
    if not v.texts:
        return None
    c = rng.choice(v.texts)
    name, words = v.name(c.name), said(c)
    if v.numbers and rng.random() < 0.45:
        m = rng.choice(v.numbers)
        text, function = rng.choice(AGGREGATES)
        measure, of = f"{function}({v.name(m.name)})", f"the {text} {said(m)} of {v.many}"
    else:
        measure, of = "COUNT(*)", f"the number of {v.many}"
    asks = [
        (f"What is {of} for each {words}?", ""),
        (f"Show {of} by {words}, from highest to lowest.", f" ORDER BY {measure} {LAST}"),
        (f"Give each {words} and {of}.", ""),
        (f"What is {of} in each {words}? Give the {words} and the number.", ""),
    ]
    if measure == "COUNT(*)":
        asks += [(f"How many {v.many} are there in each {words}?", "")] * 2
        asks += [(f"How many {v.many} does each {words} have?", "")]
    ask, order = rng.choice(asks)
    return ask, f"SELECT {name}, {measure} FROM {v.sql} GROUP BY {name}{order}"


def group_extreme(v: View, rng: Random) -> Asked | None:
    """The group with most, the top groups, the groups above a number."""
    if not v.texts:
        return None
    c = rng.choice(v.texts)
    name, words, k = v.name(c.name), said(c), rng.choice((3, 5, 10))
    n = rng.choice((1, 2, 3, 5, 10, 20, 100))
    asks = (
        (
            rng.choice(
                (
                    f"Which {words} has the most {v.many}?",
                    f"What is the most common {words} of {v.many}?",
                )
            ),
            f"SELECT {name} FROM {v.sql} GROUP BY {name} ORDER BY COUNT(*) {LAST} LIMIT 1",
        ),
        (
            f"What are the top {k} {plural(words)} by number of {v.many}? Give the number too.",
            (
                f"SELECT {name}, COUNT(*) FROM {v.sql} GROUP BY {name} ORDER "
                f"BY COUNT(*) {LAST} LIMIT {k}"
            ),
        ),
        (
            rng.choice(
                (
                    f"Which {words} has more than {n} {v.many}?",
                    f"Show the {plural(words)} with more than {n} {v.many}.",
                )
            ),
            f"SELECT {name} FROM {v.sql} GROUP BY {name} HAVING COUNT(*) > {n}",
        ),
        (
            f"Which {plural(words)} have at least {n} {v.many}?",
            f"SELECT {name} FROM {v.sql} GROUP BY {name} HAVING COUNT(*) >= {n}",
        ),
    )
    return rng.choice(asks)


def window(v: View, rng: Random) -> Asked | None:
    """Ranks within groups, the top few of each group, running totals."""
    if not v.texts or not v.numbers:
        return None
    c, m = rng.choice(v.texts), rng.choice(v.numbers)
    name, measure, k = v.name(c.name), v.name(m.name), rng.choice((1, 2, 3, 5))
    kind = rng.randrange(3)
    others = [text for text in v.texts if text != c]
    if kind == 0 and v.dates:
        d = v.name(rng.choice(v.dates).name)
        ask = f"What is the running total of {said(m)} of the {v.many} over time?"
        return ask, f"SELECT {d}, SUM({measure}) OVER (ORDER BY {d}) FROM {v.sql} ORDER BY {d}"
    if kind == 1 and others:
        x = rng.choice(others)
        shown = v.name(x.name)
        rank = f"ROW_NUMBER() OVER (PARTITION BY {name} ORDER BY {measure} {LAST}) AS place"
        inner = f"SELECT {name}, {shown}, {measure}, {rank} FROM {v.sql}"
        ask = (
            f"For each {said(c)}, show the {said(x)} and {said(m)} of the "
            f"{k} {v.many} with the highest {said(m)}."
        )
        return ask, f"SELECT {name}, {shown}, {measure} FROM ({inner}) AS ranked WHERE place <= {k}"
    ask = f"Rank the {v.many} by {said(m)} within each {said(c)}, highest first."
    rank = f"RANK() OVER (PARTITION BY {name} ORDER BY {measure} {LAST})"
    return ask, f"SELECT {name}, {measure}, {rank} FROM {v.sql}"


def bands(v: View, rng: Random) -> Asked | None:
    """Rows sorted into two bands by CASE."""
    if not v.numbers:
        return None
    m = rng.choice(v.numbers)
    n = rng.choice((10, 20, 50, 100, 500, 1000))
    low, high = rng.choice((("low", "high"), ("small", "large"), ("short", "long")))
    case = f"CASE WHEN {v.name(m.name)} < {n} THEN '{low}' ELSE '{high}' END"
    ask = f"How many {v.many} are {low} ({said(m)} below {n}) and how many are {high}?"
    return ask, f"SELECT {case} AS band, COUNT(*) FROM {v.sql} GROUP BY {case}"


def extreme(v: View, rng: Random) -> Asked | None:
    """The rows with the highest and lowest numbers, above or below the average."""
    if not v.texts or not v.numbers:
        return None
    c, m, k = rng.choice(v.texts), rng.choice(v.numbers), rng.choice((3, 5, 10))
    shown, measure = v.name(c.name), v.name(m.name)
    text, order = rng.choice((("highest", f" {LAST}"), ("lowest", "")))
    kind = rng.randrange(4)
    if kind == 0:
        ask = f"What are the {said(c)} and {said(m)} of the {k} {v.many} with the {text} {said(m)}?"
        return ask, f"SELECT {shown}, {measure} FROM {v.sql} ORDER BY {measure}{order} LIMIT {k}"
    if kind == 1:
        ask = f"What is the {said(c)} of the {v.one} with the {text} {said(m)}?"
        return ask, f"SELECT {shown} FROM {v.sql} ORDER BY {measure}{order} LIMIT 1"
    side, sign = rng.choice((("above", ">"), ("below", "<")))
    average = f"(SELECT AVG({measure}) FROM {v.sql})"
    if kind == 2:
        ask = f"Show the {said(c)} of {v.many} whose {said(m)} is {side} the average."
        return ask, f"SELECT {shown} FROM {v.sql} WHERE {measure} {sign} {average}"
    ask = f"How many {v.many} have a {said(m)} {side} average?"
    return ask, f"SELECT COUNT(*) FROM {v.sql} WHERE {measure} {sign} {average}"


def inside_text(v: View, rng: Random) -> Asked | None:
    """A word inside a text, such as the city in an address."""
    if not v.texts:
        return None
    places = [
        c for c in v.texts if {"address", "location", "residence", "addr"} & set(said(c).split())
    ]
    shown = rng.choice(v.texts)
    if places:
        c, word = rng.choice(places), rng.choice(_CITIES)
        ask = rng.choice(
            (
                f"Show the {said(shown)} of {v.many} in {word}.",
                f"How many {v.many} live in {word}?",
                f"List the {said(shown)} of all {v.many} from {word}",
            )
        )
    else:
        c = rng.choice(v.texts)
        word = value_of(c, rng).split(" ")[0]
        ask = rng.choice(
            (
                f"Show the {said(shown)} of {v.many} whose {said(c)} contains {word}.",
                f"How many {v.many} have '{word}' in their {said(c)}?",
                f"List the {said(shown)} of {v.many} with the word {word} in the {said(c)}",
            )
        )
    what = "COUNT(*)" if ask.startswith("How many") else v.name(shown.name)
    pattern = literal(f"%{word}%")
    return ask, f"SELECT {what} FROM {v.sql} WHERE {v.name(c.name)} ILIKE {pattern}"


_CITIES = (
    "Boston", "Berlin", "Springfield", "Austin", "Lyon", "Madrid", "Oslo", "Denver", "Leeds",
    "Porto", "New York", "San Diego", "Cape Town", "Rome", "Chicago",
)  # fmt: skip


def plain(v: View, rng: Random) -> Asked | None:
    """Lists, counts and single values under one or two conditions."""
    if not v.texts:
        return None
    c, shown = rng.choice(v.texts), rng.choice((*v.texts, *v.numbers))
    where, told = _condition(v, c, rng)
    if len(v.texts) + len(v.numbers) > 2 and rng.random() < 0.4:
        d = rng.choice([x for x in (*v.texts, *v.numbers) if x != c])
        second, told_too = _condition(v, d, rng)
        word = rng.choice(("and", "and", "or"))
        where, told = f"{where} {word.upper()} {second}", f"{told} {word} {told_too}"
    if rng.random() < 0.4:
        return f"How many {v.many} have {told}?", f"SELECT COUNT(*) FROM {v.sql} WHERE {where}"
    order = f" ORDER BY {v.name(shown.name)}" if rng.random() < 0.2 else ""
    end = ", in order" if order else ""
    different = rng.random() < 0.15
    ask = (
        "What are the "
        f"{'different ' * different}{plural(said(shown))} of {v.many} with {told}{end}?"
    )
    what = f"{'DISTINCT ' * different}{v.name(shown.name)}"
    return ask, f"SELECT {what} FROM {v.sql} WHERE {where}{order}"


def _condition(v: View, c: Column, rng: Random) -> tuple[str, str]:
    name = v.name(c.name)
    if c in v.numbers:
        n = rng.randint(1, 2000)
        text, sign = rng.choice((("more than", ">"), ("less than", "<"), ("at least", ">=")))
        return f"{name} {sign} {n}", f"{text} {n} {said(c)}"
    kind, value = rng.random(), value_of(c, rng)
    if kind < 0.15:
        return f"{name} IS NULL", f"no {said(c)}"
    if kind < 0.3:
        return f"{name} <> {literal(value)}", f"a {said(c)} other than {value}"
    return f"{name} = {literal(value)}", f"{said(c)} {value}"


WRITERS: tuple[Writer, ...] = (
    date_filter, date_filter, date_group, date_gap, share, share_of_total, compare, group, group,
    group_extreme, window, bands, extreme, inside_text, plain, plain,
)  # fmt: skip
