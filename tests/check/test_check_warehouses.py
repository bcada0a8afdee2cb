"""The check in the dialects of engines that no test can start: hostile and everyday statements.

`fixtures/warehouses` holds a line a statement; {NL} stands for a line break in one. No engine runs
them here, so that a good one is really understood there, and a hostile one really does harm, is
what their documentation says.
"""

from __future__ import annotations

import pytest
from check_shop import FIXTURES, hostile_statements, shop

from sqlcoder_magic.check import check_sql
from sqlcoder_magic.errors import SQLRejected

DIALECTS = ("snowflake", "bigquery", "tsql", "oracle", "trino", "spark", "redshift", "databricks")
SCHEMAS = {dialect: shop(dialect) for dialect in DIALECTS}
BACKTICKS = ("bigquery", "spark", "databricks")
# Everyday statements of the common list that these dialects cannot say.
FOREIGN = {
    "bigquery": ("UNION SELECT", "EXCEPT SELECT", "INTERSECT SELECT", "'it''s'"),
    "snowflake": ("WINDOW w AS",),
}


def _lines(kind: str) -> list[tuple[str, str]]:
    folder = FIXTURES / "warehouses"
    return [
        (dialect, line.replace("{NL}", "\n"))
        for dialect in DIALECTS
        for line in (folder / f"{kind}_{dialect}.sql").read_text("utf-8").splitlines()
    ]


def _common_good() -> list[tuple[str, str]]:
    text = (FIXTURES / "good" / "common.sql").read_text("utf-8")
    found = []
    for dialect in DIALECTS:
        quote = "`" if dialect in BACKTICKS else '"'
        for part in text.split(";\n"):
            sql = part.strip().replace("«", quote).replace("»", quote)
            if sql and not any(word in sql for word in FOREIGN.get(dialect, ())):
                found.append((dialect, sql))
    return found


@pytest.mark.parametrize(("dialect", "sql"), _lines("good") + _common_good())
def test_an_everyday_statement_passes_unchanged(dialect: str, sql: str) -> None:
    checked = check_sql(sql, SCHEMAS[dialect])
    assert (checked.sql, checked.dialect) == (sql, dialect)


@pytest.mark.parametrize(("dialect", "sql"), _lines("hostile"))
def test_a_hostile_statement_is_refused(dialect: str, sql: str) -> None:
    with pytest.raises(SQLRejected):
        check_sql(sql, SCHEMAS[dialect])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_is_hostile_everywhere_is_refused(dialect: str) -> None:
    common = _common_hostile()
    assert len(common) > 100
    for sql in common:
        with pytest.raises(SQLRejected):
            check_sql(sql, SCHEMAS[dialect])


def _common_hostile() -> set[str]:
    """Those that the file for all dialects names."""
    by_sql: dict[str, set[str]] = {}
    for dialect, _, sql in hostile_statements():
        by_sql.setdefault(sql, set()).add(dialect)
    return {sql for sql, dialects in by_sql.items() if len(dialects) == 4}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_dialect_has_enough_of_both(dialect: str) -> None:
    assert sum(of == dialect for of, _ in _lines("good")) >= 10
    assert sum(of == dialect for of, _ in _lines("hostile")) >= 20


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "name", ["pg_sleep", "load_file", "sleep", "read_csv", "load_extension", "nextval", "getenv"]
)
def test_other_engines_functions_are_not_on_the_list(dialect: str, name: str) -> None:
    with pytest.raises(SQLRejected) as caught:
        check_sql(f"SELECT {name}('x') FROM products", SCHEMAS[dialect])
    assert caught.value.rule == "functions"


@pytest.mark.parametrize("word", ["Shutdown", "commit", "DROP", "exec"])
def test_sql_server_needs_no_semicolon_so_its_reserved_words_are_watched(word: str) -> None:
    schema = SCHEMAS["tsql"]
    with pytest.raises(SQLRejected) as caught:
        check_sql(f"SELECT name FROM products {word}", schema)
    assert caught.value.rule == "statement"
    assert check_sql(f"SELECT name AS [{word}] FROM products [{word}]", schema)
    assert check_sql(f"SELECT '{word}' AS said FROM products", schema)
