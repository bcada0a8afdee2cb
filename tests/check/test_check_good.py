"""Everyday statements pass the check unchanged, and the real engines run them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pymysql
import pytest
from check_shop import DIALECTS, good_statements, oracles_mysql_alone, shop

from sqlcoder_magic.check import check_sql

SCHEMAS = {dialect: shop(dialect) for dialect in DIALECTS}
CASES = [(dialect, sql) for dialect in DIALECTS for sql in good_statements(dialect)]


@pytest.mark.parametrize(("dialect", "sql"), CASES)
def test_an_everyday_statement_passes_and_runs(dialect, sql, request) -> None:
    checked = check_sql(sql, SCHEMAS[dialect])
    assert checked.sql == sql
    assert checked.dialect == dialect
    request.getfixturevalue(f"{dialect}_run")(sql)


@pytest.mark.parametrize("sql", oracles_mysql_alone())
def test_what_only_oracles_mysql_knows_passes(sql: str, mysql_run: Callable[[str], Any]) -> None:
    """MariaDB refuses these; if it learns one, it belongs among the others."""
    assert check_sql(sql, SCHEMAS["mysql"]).sql == sql
    with pytest.raises(pymysql.err.Error):
        mysql_run(sql)


def test_there_are_many_of_them() -> None:
    assert len({sql for _, sql in CASES}) >= 225
