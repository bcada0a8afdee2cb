"""Spider's levels, and the category, of queries whose levels its authors publish or define."""

from __future__ import annotations

import pytest

from sqlcoder_magic.evals.hardness import classify, parses


@pytest.mark.parametrize(
    ("sql", "category", "level"),
    [
        ("SELECT COUNT(*) FROM t", "other", "easy"),
        ("SELECT a FROM t WHERE b = 1", "where", "easy"),
        ("SELECT a, b FROM t", "other", "medium"),
        ("SELECT a FROM t WHERE b = 1 ORDER BY c", "order_by", "medium"),
        ("SELECT a, COUNT(*) FROM t GROUP BY a", "group_by", "medium"),
        ("SELECT t.a FROM t JOIN u ON t.id = u.id WHERE u.b = 1", "table_join", "medium"),
        (
            "SELECT a, b, MIN(c), MAX(c) FROM t WHERE d = 1 AND e = 2 GROUP BY a, b",
            "group_by",
            "hard",
        ),
        ("SELECT a, COUNT(*) FROM t GROUP BY a ORDER BY 2 LIMIT 1", "group_by", "hard"),
        ("SELECT a FROM t WHERE b IN (SELECT b FROM u)", "nested", "hard"),
        ("SELECT a FROM t EXCEPT SELECT a FROM u", "nested", "hard"),
        (
            "SELECT t.a FROM t JOIN u ON t.id = u.id WHERE u.b = 1 GROUP BY t.a ORDER BY 1 LIMIT 1",
            "table_join",
            "extra",
        ),
        ("SELECT a, b FROM t WHERE c > (SELECT AVG(c) FROM t)", "nested", "extra"),
        ("this is ( not SQL", "other", "extra"),
    ],
)
def test_levels(sql: str, category: str, level: str) -> None:
    assert classify(sql) == (category, level)


def test_what_parses() -> None:
    assert parses("SELECT a FROM t")
    assert not parses("SELECT a FROM (")
