"""Defog's notation of gold SQL, and the verdict over several alternatives."""

from __future__ import annotations

import pytest

from sqlcoder_magic.evals.rules import Gold, Verdict, expand_gold, judge
from sqlcoder_magic.sample.compare import Result


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("SELECT 1", ("SELECT 1",)),
        ("SELECT 1;", ("SELECT 1",)),
        ("SELECT 1; SELECT 2;", ("SELECT 1", "SELECT 2")),
        ("SELECT ';'; SELECT \"a;b\" FROM t", ("SELECT ';'", 'SELECT "a;b" FROM t')),
        ("SELECT 'it''s; here'", ("SELECT 'it''s; here'",)),
        ("", ()),
        (
            "SELECT {a, b} FROM t",
            ("SELECT a FROM t", "SELECT b FROM t", "SELECT a, b FROM t"),
        ),
        (
            "SELECT {a}, COUNT(*) FROM t GROUP BY {}",
            ("SELECT a, COUNT(*) FROM t GROUP BY a",),
        ),
        (
            "SELECT {t.a, t.b AS c}, COUNT(*) FROM t GROUP BY {} ORDER BY 2; SELECT 9",
            (
                "SELECT t.a, COUNT(*) FROM t GROUP BY t.a ORDER BY 2",
                "SELECT t.b AS c, COUNT(*) FROM t GROUP BY t.b ORDER BY 2",
                "SELECT t.a, t.b AS c, COUNT(*) FROM t GROUP BY t.a, t.b ORDER BY 2",
                "SELECT 9",
            ),
        ),
        (
            "SELECT {coalesce(a, 0), b} FROM t",
            (
                "SELECT coalesce(a, 0) FROM t",
                "SELECT b FROM t",
                "SELECT coalesce(a, 0), b FROM t",
            ),
        ),
    ],
)
def test_expand_gold(text: str, statements: tuple[str, ...]) -> None:
    assert expand_gold(text) == statements


def gold(sql: str, *rows: tuple[object, ...]) -> Gold:
    return Gold(sql, Result(("c",) * len(rows[0]), rows))


def test_any_alternative_will_do() -> None:
    golds = [gold("SELECT a", (1,)), gold("SELECT b", (2,))]
    for value, right in ((1, True), (2, True), (3, False)):
        verdict = judge(golds, Result(("c",), ((value,),)), category="where", question="Which?")
        assert verdict == Verdict(defog=right, strict=right)


def test_order_counts_strictly_where_the_gold_orders_and_for_defog_if_asked() -> None:
    ordered, unordered = "SELECT a FROM t ORDER BY a", "SELECT a FROM t"
    backwards = Result(("c",), ((2,), (1,)))

    def verdict(sql: str, category: str, question: str) -> Verdict:
        return judge([gold(sql, (1,), (2,))], backwards, category=category, question=question)

    assert verdict(unordered, "where", "Which?") == Verdict(defog=True, strict=True)
    assert verdict(ordered, "where", "Which?") == Verdict(defog=True, strict=False)
    assert verdict(ordered, "order_by", "Which?") == Verdict(defog=False, strict=False)
    assert verdict(ordered, "where", "Sort them.") == Verdict(defog=False, strict=False)
    assert verdict(unordered, "order_by", "Sort them.") == Verdict(defog=True, strict=True)
