"""Hostile and hopeless statements are refused, by the pass that should, at a sensible spot."""

from __future__ import annotations

import pytest
from check_shop import DIALECTS, hostile_statements, shop

from sqlcoder_magic.check import PASSES, check_sql
from sqlcoder_magic.errors import SQLRejected

SCHEMAS = {dialect: shop(dialect) for dialect in DIALECTS}
CASES = hostile_statements()


@pytest.mark.parametrize(("dialect", "rule", "sql"), CASES)
def test_a_hostile_statement_is_refused(dialect: str, rule: str, sql: str) -> None:
    with pytest.raises(SQLRejected) as caught:
        check_sql(sql, SCHEMAS[dialect])
    error = caught.value
    assert error.rule == rule, str(error)
    assert error.sql == sql
    if error.line:
        assert 1 <= error.line <= sql.count("\n") + 1
        assert 1 <= error.column <= len(sql.split("\n")[error.line - 1]) + 1
        assert "^" in str(error)


def test_there_are_many_of_them() -> None:
    assert len({(rule, sql) for _, rule, sql in CASES}) >= 300
    names = {check.__name__ for check in PASSES} - {"size"}  # its cases are made by code
    assert {rule for _, rule, _ in CASES} == names | {"statement"}
