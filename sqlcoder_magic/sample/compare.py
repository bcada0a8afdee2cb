"""Do two results hold the same answer? Two rules over columns and rows, no pandas needed.

`covers` is the rule of Defog's sql-eval: extra columns pass, extra rows fail, repeated rows
count once when the columns match one to one. `same` is strict: the same columns, the same bag
of rows. Both ignore the names and the order of columns; in both, order of rows counts only
when asked for. Two deliberate differences from sql-eval, which is more lenient by accident: an
empty gold result is matched by an empty one only, and an ordered result only by one in the
same order.

This lies with the samples, left of everything, because both `evals` and the demo of
`__main__` compare results, and neither may import the other.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Cell = Any
Row = tuple[Cell, ...]
_LENIENT, _STRICT = 1e-5, 1e-9  # relative; the first is what pandas' comparison allows
_MIDNIGHT = re.compile(r"(\d{4}-\d\d-\d\d)[ T]00:00(:00(\.0+)?)?([+-]\d\d(:\d\d)?)?")
_ASKS_FOR_ORDER = re.compile(r"\b(sort|order|arrange)(ed|d)?\b", re.IGNORECASE)
_LITERAL = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*")
_PARENTHESES = re.compile(r"\([^()]*\)")
_ASSIGNMENTS = 1000  # ways to pair look-alike columns that are tried before giving up


@dataclass(frozen=True)
class Result:
    """What a query returned: the names of its columns, and its rows in order."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def same(gold: Result, predicted: Result, *, ordered: bool = False) -> bool:
    """The strict rule: the same columns in any order, the same bag of rows."""
    if len(gold.columns) != len(predicted.columns):
        return False
    return _matches(_rows(gold), _rows(predicted), ordered, _STRICT)


def covers(gold: Result, predicted: Result, *, ordered: bool = False) -> bool:
    """Defog's rule: each gold column is one of the predicted ones, row by row."""
    left, right = _rows(gold), _rows(predicted)
    if not left or not right:
        return not left and not right
    if _matches(left, right, ordered, _LENIENT):
        return True
    return len(gold.columns) == len(predicted.columns) and _matches(
        _distinct(left), _distinct(right), ordered, _LENIENT
    )


def order_counts(category: str, question: str) -> bool:
    """True if, by Defog's rule, rows in another order are another answer."""
    return category == "order_by" or bool(_ASKS_FOR_ORDER.search(question))


def orders_rows(sql: str) -> bool:
    """True if the statement as a whole (not a subquery or window of it) has an ORDER BY."""
    text, before = _LITERAL.sub("''", sql), ""
    while text != before:
        text, before = _PARENTHESES.sub(" ", text), text
    return bool(re.search(r"\bORDER\s+BY\b", text, re.IGNORECASE))


# ---------------------------------------------------------------- cells


def plain(value: Cell) -> Cell:
    """A cell as a driver, pandas or JSON may give it -> None, a number, text or bytes.

    A moment at midnight is its date, whatever the zone: DATE_TRUNC gives the one on some
    engines and the other on others.
    """
    value = value.item() if hasattr(value, "item") else value  # numpy's numbers
    if value is None or value != value:  # NaN and pandas' NaT differ from themselves
        return None
    if isinstance(value, int | bytes):
        return int(value) if isinstance(value, bool) else value
    if isinstance(value, float | Decimal):
        return float(value)
    if isinstance(value, datetime.datetime):
        value = value.isoformat(sep=" ")
    text = str(value)
    midnight = _MIDNIGHT.fullmatch(text)
    return midnight.group(1) if midnight else text


def _rows(result: Result) -> list[Row]:
    return [tuple(plain(cell) for cell in row) for row in result.rows]


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, int | float)


def _equal(left: Cell, right: Cell, tolerance: float) -> bool:
    if isinstance(left, float) or isinstance(right, float):
        both = _is_number(left) and _is_number(right)
        return both and math.isclose(left, right, rel_tol=tolerance, abs_tol=1e-8)
    return type(left) is type(right) and bool(left == right)


def _near(number: float) -> float:
    """The number without the noise that the order of a sum leaves in its last digits."""
    return float(number) if isinstance(number, int) else float(f"{number:.9g}")


def _sort_key(row: Row) -> tuple[Any, ...]:
    """Rows are put in order by what is exact first, so that noise in numbers moves nothing."""
    exact = tuple(("", "") if _is_number(x) else (type(x).__name__, str(x)) for x in row)
    return exact, tuple(_near(x) for x in row if _is_number(x))


def _distinct(rows: Sequence[Row]) -> list[Row]:
    return list({_sort_key(row): row for row in reversed(rows)}.values())[::-1]


# ---------------------------------------------------------------- columns


def _matches(gold: Sequence[Row], predicted: Sequence[Row], ordered: bool, tol: float) -> bool:
    """True if every gold column can be paired with another predicted one so that rows agree."""
    if len(gold) != len(predicted):
        return False
    if not gold:
        return True
    wanted = list(gold) if ordered else sorted(gold, key=_sort_key)
    for tried, pairing in enumerate(_pairings(gold, predicted, tol)):
        if tried >= _ASSIGNMENTS:
            return False
        chosen = [tuple(row[i] for i in pairing) for row in predicted]
        found = chosen if ordered else sorted(chosen, key=_sort_key)
        if _equal_rows(wanted, found, tol):
            return True
    return False


def _equal_rows(left: Sequence[Row], right: Sequence[Row], tol: float) -> bool:
    return all(
        all(map(_equal, one, other, [tol] * len(one)))
        for one, other in zip(left, right, strict=True)
    )


def _pairings(
    gold: Sequence[Row], predicted: Sequence[Row], tol: float
) -> Iterator[tuple[int, ...]]:
    """For each gold column a predicted one with the same bag of values, none used twice."""
    available = [_column(predicted, i) for i in range(len(predicted[0]))]
    candidates = [
        [i for i, other in enumerate(available) if _equal_rows(_column(gold, j), other, tol)]
        for j in range(len(gold[0]))
    ]

    def extend(taken: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(taken) == len(candidates):
            yield taken
            return
        for i in candidates[len(taken)]:
            if i not in taken:
                yield from extend((*taken, i))

    return extend(())


def _column(rows: Sequence[Row], index: int) -> list[Row]:
    return sorted(((row[index],) for row in rows), key=_sort_key)
