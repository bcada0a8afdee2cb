"""PostgreSQL put into other dialects: the rows are the same, and unchanged text is untouched."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest
from check_shop import FIXTURES, shop

from sqlcoder_magic.check import check_sql, translate
from sqlcoder_magic.errors import SQLRejected


def queries(name: str) -> list[str]:
    text = (FIXTURES / name).read_text(encoding="utf-8")
    return [part.strip() for part in text.split(";\n") if part.strip()]


QUERIES = queries("translate.sql")
CASES = [
    (dialect, sql)
    for dialect in ("sqlite", "duckdb", "mysql")
    for sql in QUERIES
    if not (dialect == "mysql" and "FULL JOIN" in sql)
] + [("mysql", sql) for sql in queries("translate_mysql.sql")]


def plain(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows with numbers as floats, truth as 0 or 1, dates as text: what engines agree on."""

    def value(item: Any) -> Any:
        if isinstance(item, bool | int | float | Decimal):
            return round(float(item), 6)
        if isinstance(item, datetime.datetime):
            return item.date().isoformat()
        return item.isoformat() if isinstance(item, datetime.date) else item

    return [tuple(value(item) for item in row) for row in rows]


@pytest.mark.parametrize(("dialect", "sql"), CASES)
def test_the_rows_are_the_same(dialect: str, sql: str, request) -> None:
    wanted = request.getfixturevalue("postgres_run")(sql)
    written, notes = translate(sql, write=dialect)
    assert bool(notes) == (written != sql)
    check_sql(written, shop(dialect))
    assert plain(request.getfixturevalue(f"{dialect}_run")(written)) == plain(wanted), written


NOT_ON_MYSQL = {
    "SELECT p.name FROM products p FULL JOIN sales s ON s.product_id = p.product_id": "FULL JOIN",
    "SELECT name FROM products FULL OUTER JOIN sales USING (product_id)": "FULL JOIN",
    "SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY price) FROM products": "WITHIN GROUP",
    "SELECT category, COUNT(*) FROM products GROUP BY CUBE (category)": "CUBE",
    "SELECT name FROM customers WHERE name SIMILAR TO '(Ann|Bo)'": "SIMILAR TO",
    "SELECT created_at AT TIME ZONE 'UTC' FROM customers": "AT_TIME_ZONE",
    "SELECT INITCAP(name) FROM products": "INITCAP",
    "SELECT d::date FROM generate_series('2024-01-01'::date, '2024-01-03', '1 day') d": "GENERATE",
    "SELECT AGE(hired_on) FROM salespeople": "AGE",
}


@pytest.mark.parametrize(("sql", "what"), NOT_ON_MYSQL.items())
def test_what_mysql_cannot_compute_is_refused_by_name(sql: str, what: str) -> None:
    written, _ = translate(sql, write="mysql")
    with pytest.raises(SQLRejected, match=what):
        check_sql(written, shop("mysql"))


def test_a_full_join_without_an_alias_would_be_another_join(mysql_run) -> None:
    """MySQL reads FULL as the table's alias."""
    sql = "SELECT COUNT(*) FROM products FULL JOIN sales ON sales.product_id > 99"
    assert mysql_run(sql) == [(0,)]
    with pytest.raises(SQLRejected, match="FULL JOIN"):
        check_sql(sql, shop("mysql"))


UNTOUCHED = (
    "SELECT name  FROM products -- spaces and comments stay\nWHERE price > 3 ;",
    "select COUNT ( * ) from sales",
    "SELECT name FROM products ORDER BY price DESC LIMIT 5",
    "SELECT name FROM products ORDER BY price",
    "SELECT a.name, SUM(b.quantity) total FROM products a, sales b WHERE a.product_id != b.sale_id "
    "GROUP BY a.name HAVING SUM(b.quantity) > 3",
)


@pytest.mark.parametrize("sql", UNTOUCHED)
@pytest.mark.parametrize("dialect", ["sqlite", "duckdb", "mysql", "postgres", "snowflake"])
def test_what_is_spelled_alike_keeps_every_byte(sql: str, dialect: str) -> None:
    assert translate(sql, write=dialect) == (sql, ())


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM",
        "not SQL at all",
        "",
        "SELECT 1; SELECT 2",
        "DELETE FROM products WHERE name ILIKE 'x'",
        "SELECT name FROM [products]",
        "PRAGMA table_info(products)",
    ],
)
def test_what_is_no_postgresql_query_is_left_for_the_check(sql: str) -> None:
    assert translate(sql, write="sqlite") == (sql, ())


def test_spellings_that_the_tree_hides_are_rewritten() -> None:
    assert "NOW" not in translate("SELECT NOW()", write="sqlite")[0]
    assert "::" not in translate("SELECT name::text FROM products", write="sqlite")[0]
    assert translate("SELECT name::text, NOW() FROM products", write="duckdb")[1] == ()


def test_the_note_says_what_changed() -> None:
    _, notes = translate("SELECT name FROM products WHERE name ILIKE 'x'", write="sqlite")
    assert notes == ("The SQL was rewritten from PostgreSQL for SQLite (ILIKE became LIKE).",)


def test_what_sqlite_cannot_format_is_refused_by_name_not_written_wrong() -> None:
    written, _ = translate("SELECT TO_CHAR(sale_date, 'Mon YYYY') FROM sales", write="sqlite")
    assert "TO_CHAR" in written
    duck, _ = translate("SELECT TO_CHAR(sale_date, 'Mon YYYY') FROM sales", write="duckdb")
    assert "%b %Y" in duck


MYSQL = {
    "SELECT DATE_TRUNC('month', sale_date) FROM sales": "DATE(DATE_FORMAT(sale_date, '%Y-%m-01'))",
    "SELECT sale_date - DATE '2024-01-01' FROM sales": "DATEDIFF(sale_date,",
    "SELECT sale_date + 7 FROM sales": "sale_date + INTERVAL 7 DAY",
    "SELECT COUNT(DISTINCT name) FILTER (WHERE price > 1) FROM products": "COUNT(DISTINCT CASE",
    "SELECT ROUND(price::numeric, 2) FROM products": "DECIMAL(38, 10)",
    "SELECT EXTRACT(DOW FROM sale_date) FROM sales": "DAYOFWEEK(sale_date) - 1",
    "SELECT name FROM products ORDER BY price DESC NULLS FIRST": "price IS NULL DESC, price DESC",
    "SELECT payload ->> 'a' FROM events": "JSON_UNQUOTE(JSON_EXTRACT(payload, '$.a'))",
    "SELECT name FROM products OFFSET 3": "LIMIT 18446744073709551615 OFFSET 3",
    "SELECT CURRENT_DATE - birthday FROM people": "DATEDIFF(CURRENT_DATE, birthday)",
    "SELECT sale_date + INTERVAL '1 day' * quantity FROM sales": "DAY",
}


@pytest.mark.parametrize(("sql", "part"), MYSQL.items())
def test_mysql_spellings(sql: str, part: str) -> None:
    written, notes = translate(sql, write="mysql")
    assert part in " ".join(written.split())
    assert notes


@pytest.mark.parametrize("write", ["sqlite", "duckdb", "mysql"])
def test_a_quote_of_another_dialect_is_left_to_the_check(write: str) -> None:
    """Found by fuzzing: PostgreSQL has no backtick, and to MySQL this one opens a name."""
    draft = "SELECT`(SELECT MAX(price) FROM products) AS spread"
    assert translate(draft, write=write)[0]
