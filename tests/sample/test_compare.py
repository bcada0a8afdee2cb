"""The two rules on hand-made results: what is the same answer, and what is not."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest

from sqlcoder_magic.sample.compare import Result, covers, order_counts, orders_rows, plain, same

Rows = list[tuple[object, ...]]


def result(rows: Rows, width: int | None = None) -> Result:
    count = width if width is not None else len(rows[0])
    return Result(tuple(f"c{i}" for i in range(count)), tuple(rows))


# gold, predicted, right by Defog's rule, right by the strict one
CASES = {
    "equal": ([(1, "a"), (2, "b")], [(1, "a"), (2, "b")], True, True),
    "rows in another order": ([(1, "a"), (2, "b")], [(2, "b"), (1, "a")], True, True),
    "columns in another order": ([(1, "a"), (2, "b")], [("a", 1), ("b", 2)], True, True),
    "an extra column": ([(1,), (2,)], [(1, "a"), (2, "b")], True, False),
    "a missing column": ([(1, "a"), (2, "b")], [(1,), (2,)], False, False),
    "an extra row": ([(1,), (2,)], [(1,), (2,), (3,)], False, False),
    "a missing row": ([(1,), (2,)], [(1,)], False, False),
    "a repeated row": ([(1,), (2,)], [(1,), (1,), (2,)], True, False),
    "a gold that repeats": ([(1,), (1,), (2,)], [(1,), (2,)], True, False),
    "another count of repeats": ([(1,), (1,), (2,)], [(1,), (2,), (2,)], True, False),
    "other values": ([(1,), (2,)], [(1,), (3,)], False, False),
    "values on other rows": ([(1, "a"), (2, "b")], [(1, "b"), (2, "a")], False, False),
    "one column for two": ([(1, 1), (2, 2)], [(1, "x"), (2, "y")], False, False),
    "twin columns": ([(1, 1, 5), (2, 2, 6)], [(5, 1, 1), (6, 2, 2)], True, True),
    "float noise": ([(0.1 + 0.2,)], [(0.3,)], True, True),
    "rounded to cents": ([(1234.567,)], [(1234.57,)], True, False),
    "rounded away": ([(39.17320,)], [(39.0,)], False, False),
    "int and float": ([(5,)], [(5.0,)], True, True),
    "int off by one": ([(10_000_000,)], [(10_000_001,)], False, False),
    "number and text": ([(2023,)], [("2023",)], False, False),
    "null and zero": ([(None,)], [(0,)], False, False),
    "null and null": ([(None, 1)], [(None, 1)], True, True),
    "null and empty text": ([(None,)], [("",)], False, False),
    "case of text": ([("West",)], [("west",)], False, False),
    "decimal": ([(Decimal("12.50"),)], [(12.5,)], True, True),
    "date and text": ([(datetime.date(2024, 5, 1),)], [("2024-05-01",)], True, True),
    "midnight": ([("2024-05-01",)], [("2024-05-01 00:00:00",)], True, True),
    "midnight somewhere": ([("2024-05-01",)], [("2024-05-01 00:00:00+00:00",)], True, True),
    "noon": ([("2024-05-01",)], [("2024-05-01 12:00:00",)], False, False),
    "true and one": ([(True,)], [(1,)], True, True),
    "blob and text": ([(b"a",)], [("a",)], False, False),
    "noise does not shuffle rows": (
        [(0.3, "b"), (0.1 + 0.2, "a")],
        [(0.1 + 0.2, "b"), (0.3, "a")],
        True,
        True,
    ),
}


@pytest.mark.parametrize(("gold", "predicted", "defog", "strict"), CASES.values(), ids=CASES)
def test_rules(gold: Rows, predicted: Rows, defog: bool, strict: bool) -> None:
    assert covers(result(gold), result(predicted)) is defog
    assert same(result(gold), result(predicted)) is strict


@pytest.mark.parametrize("rule", [covers, same])
def test_order_counts_when_asked_for(rule: object) -> None:
    up, down = result([(1, "a"), (2, "b")]), result([(2, "b"), (1, "a")])
    assert rule(up, up, ordered=True) is True  # type: ignore[operator]
    assert rule(up, down, ordered=True) is False  # type: ignore[operator]
    assert rule(up, down, ordered=False) is True  # type: ignore[operator]


@pytest.mark.parametrize("rule", [covers, same])
def test_an_empty_gold_is_matched_by_an_empty_result_alone(rule: object) -> None:
    empty = result([], 2)
    assert rule(empty, empty) is True  # type: ignore[operator]
    assert rule(empty, result([(1, 2)])) is False  # type: ignore[operator]
    assert rule(result([(1, 2)]), empty) is False  # type: ignore[operator]


def test_the_strict_rule_counts_the_columns_of_an_empty_result() -> None:
    assert covers(result([], 2), result([], 1))
    assert not same(result([], 2), result([], 1))


def test_repeats_count_once_in_order() -> None:
    assert covers(result([(2,), (1,)]), result([(2,), (2,), (1,)]), ordered=True)
    assert not covers(result([(2,), (1,)]), result([(1,), (2,), (2,)]), ordered=True)


def test_look_alike_columns_end() -> None:
    """Twelve columns with the same values in other orders: 12! pairings are not tried."""
    gold = result([tuple(range(i, i + 12)) for i in range(2)])
    rows: Rows = [tuple([0] * 12), tuple([1] * 12)]
    other: Rows = [tuple([0] * 11 + [1]), tuple([1] * 11 + [0])]
    assert not covers(gold, result(rows))
    assert not covers(result(rows), result(other))


@pytest.mark.parametrize(
    ("category", "question", "counts"),
    [
        ("order_by", "Which products?", True),
        ("where", "Sort them by name.", True),
        ("where", "The names, ordered by price", True),
        ("group_by", "Arrange the regions by revenue", True),
        ("where", "How many orders are there?", False),
        ("where", "Which resort?", False),
    ],
)
def test_when_order_counts(category: str, question: str, counts: bool) -> None:
    assert order_counts(category, question) is counts


@pytest.mark.parametrize(
    ("sql", "ordered"),
    [
        ("SELECT a FROM t ORDER BY a", True),
        ("select a from t order   by a limit 1", True),
        ("SELECT a FROM (SELECT a FROM t ORDER BY a LIMIT 3) x", False),
        ("SELECT RANK() OVER (ORDER BY a) FROM t", False),
        ("SELECT RANK() OVER (ORDER BY (a)) FROM t ORDER BY 1", True),
        ("SELECT 'ORDER BY' FROM t", False),
        ("SELECT ')' FROM (SELECT a FROM t ORDER BY a) x", False),
        ("SELECT a -- order by a\nFROM t", False),
        ("SELECT 1", False),
    ],
)
def test_which_statements_order_their_rows(sql: str, ordered: bool) -> None:
    assert orders_rows(sql) is ordered


def test_cells_of_numpy_and_pandas() -> None:
    import numpy as np
    import pandas as pd

    assert plain(np.int64(3)) == 3
    assert plain(np.float64("nan")) is None
    assert plain(pd.Timestamp("2024-01-01")) == "2024-01-01"
    assert plain(float("nan")) is None
    assert plain(pd.NaT) is None
