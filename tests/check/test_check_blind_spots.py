"""What parsers miss and engines do: each statement first does its harm, then is refused.

The engines run here without any lock, as a user's own connection would.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import duckdb
import pytest
import sqlglot
from check_shop import shop
from playground import ENGINES
from servers import NoServerError

from sqlcoder_magic.check import check_sql
from sqlcoder_magic.errors import SQLRejected
from sqlcoder_magic.types import Column, Schema, Table


def refuse(sql: str, dialect: str) -> None:
    with pytest.raises(SQLRejected):
        check_sql(sql, shop(dialect))


POSTGRES_READS_A_FILE = (
    "SELECT ('PG_VERSION'::text).pg_read_file",
    "SELECT (t.a).pg_read_file FROM (SELECT 'PG_VERSION'::text AS a) t",
    "SELECT g.pg_read_file FROM unnest(ARRAY['PG_VERSION']) AS g",
    "SELECT g.pg_read_file FROM unnest(ARRAY['PG_VERSION']) AS g(x)",
    "SELECT pg_read_file.pg_read_file FROM unnest(ARRAY['PG_VERSION']) AS pg_read_file(x)",
    "SELECT * FROM ROWS FROM (pg_read_file('PG_VERSION')) AS t",
    "SELECT * FROM pg_read_file('PG_VERSION')",
    "SELECT * FROM generate_series(1, 1) g, LATERAL pg_read_file('PG_VERSION') f",
    "SELECT U&\"pg_read_f\\0069le\"('PG_VERSION')",
    "SELECT \"pg_read_file\"('PG_VERSION')",
    "SELECT pg_read_file/**/('PG_VERSION')",
    "SELECT x FROM (VALUES (pg_read_file('PG_VERSION'))) AS v(x)",
)


@pytest.mark.parametrize("sql", POSTGRES_READS_A_FILE)
def test_postgres_reads_a_file_of_the_server(sql: str, postgres_run) -> None:
    assert "18" in str(postgres_run(sql)[0][-1])
    refuse(sql, "postgres")


def test_postgres_explain_analyze_runs_the_query(postgres_run) -> None:
    postgres_run("SELECT set_config('shop.x', 'before', false)")
    sql = "EXPLAIN ANALYZE SELECT set_config('shop.x', 'after', false)"
    postgres_run(sql)
    assert postgres_run("SELECT current_setting('shop.x')") == [("after",)]
    refuse(sql, "postgres")


def test_postgres_a_cte_deletes(postgres_run) -> None:
    sql = "WITH d AS (DELETE FROM events RETURNING *) SELECT * FROM d"
    postgres_run("INSERT INTO events (id) VALUES (7) RETURNING id")
    assert len(postgres_run(sql)) == 1
    assert postgres_run("SELECT COUNT(*) FROM events") == [(0,)]
    refuse(sql, "postgres")


def test_postgres_nested_comments_are_read_whole(postgres_run) -> None:
    sql = "SELECT 1 /* /* */ , 2 */"
    assert postgres_run(sql) == [(1,)]
    refuse(sql, "postgres")


SQLITE_SHOWS_THE_CATALOGUE = (
    "SELECT sql FROM sqlite_master WHERE name = 'products'",
    "SELECT name FROM 'sqlite_master' WHERE name = 'products'",
    "SELECT name FROM [pragma_table_info]('products')",
    "SELECT name FROM pragma_table_list WHERE name = 'products'",
)


@pytest.mark.parametrize("sql", SQLITE_SHOWS_THE_CATALOGUE)
def test_sqlite_reads_what_is_no_table_of_the_schema(sql: str, sqlite_run) -> None:
    assert sqlite_run(sql)
    refuse(sql, "sqlite")


def test_sqlite_in_followed_by_a_name_reads_a_table(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "x.db")
    connection.execute("CREATE TABLE secrets (pin TEXT)")
    connection.execute("INSERT INTO secrets VALUES ('1234')")
    for sql in ("SELECT '1234' IN secrets", "SELECT '1234' IN \"secrets\""):
        assert connection.execute(sql).fetchall() == [(1,)]
        refuse(sql, "sqlite")
    connection.close()


def test_sqlite_ends_a_nested_comment_early(sqlite_run) -> None:
    sql = "SELECT 1 /* /* */ , 2 -- */"
    assert sqlite_run(sql) == [(1, 2)]
    refuse(sql, "sqlite")


def test_sqlite_writes_files(tmp_path: Path) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for number, form in enumerate(("ATTACH '{}' AS x", "VACUUM INTO '{}'")):
        path = tmp_path / f"written{number}.db"
        sql = form.format(path)
        connection.execute(sql)
        if sql.startswith("ATTACH"):
            connection.execute("CREATE TABLE x.t (a)")
        assert path.exists()
        refuse(sql, "sqlite")
    connection.close()


def duckdb_reads_a_file(path: Path) -> list[str]:
    return [
        f"SELECT * FROM '{path}'",
        f'SELECT * FROM "{path}"',
        f"FROM '{path}'",
        f"WITH x AS (FROM '{path}') FROM x",
        f"SELECT * FROM read_text('{path}')",
        f"SELECT * FROM query('SELECT * FROM ''{path}''')",
        f"SELECT * FROM query_table('{path}')",
        f"SUMMARIZE '{path}'",
        f"SELECT * FROM histogram_values('{path}', pin)",
        f"SELECT * FROM products, '{path}' LIMIT 1",
        f"SELECT (SELECT max(pin) FROM '{path}')",
        f"PIVOT '{path}' ON pin USING count(*)",
    ]


def test_duckdb_reads_files(duckdb_run, tmp_path: Path) -> None:
    path = tmp_path / "secrets.csv"
    path.write_text("pin\n1234\n", encoding="utf-8")
    for sql in duckdb_reads_a_file(path):
        assert duckdb_run(sql), sql
        refuse(sql, "duckdb")


def test_duckdb_runs_sql_in_a_string(duckdb_run) -> None:
    serialized = duckdb_run("SELECT json_serialize_sql('SELECT 42 AS x')")[0][0]
    sql = f"SELECT * FROM json_execute_serialized_sql('{serialized}')"
    assert duckdb_run(sql) == [(42,)]
    refuse(sql, "duckdb")


def test_duckdb_reads_variables_of_the_kernel() -> None:
    import pandas as pd

    secret_frame = pd.DataFrame({"pin": [1234]})
    sql = "SELECT pin FROM secret_frame"
    assert duckdb.connect().execute(sql).fetchall() == [(int(secret_frame["pin"][0]),)]
    refuse(sql, "duckdb")


# A name that a CTE gives hides the table of that name only where DuckDB lets the CTE be seen.
DUCKDB_READS_ANOTHER_TABLE = (
    "WITH RECURSIVE planted AS (SELECT * FROM planted) SELECT * FROM planted",
    "WITH RECURSIVE planted AS (SELECT s FROM planted UNION SELECT s FROM planted) "
    "SELECT * FROM planted",
    "WITH RECURSIVE planted AS (SELECT (SELECT s FROM planted) AS s) SELECT * FROM planted",
    "WITH RECURSIVE planted AS (WITH x AS (SELECT * FROM planted) SELECT * FROM x) "
    "SELECT * FROM planted",
    "WITH RECURSIVE planted AS (SELECT 'k' AS s UNION BY NAME SELECT s FROM planted) "
    "SELECT * FROM planted",
    "WITH RECURSIVE planted AS (SELECT s FROM planted EXCEPT SELECT 'k') SELECT * FROM planted",
)


@pytest.mark.parametrize("sql", DUCKDB_READS_ANOTHER_TABLE)
def test_a_recursive_cte_reads_the_table_of_its_name(sql: str) -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE planted AS SELECT 'secret' AS s")
        assert ("secret",) in connection.execute(sql).fetchall()
    refuse(sql, "duckdb")


@pytest.mark.parametrize("dialect", ["duckdb", "postgres", "sqlite", "mysql", "tsql"])
def test_a_recursive_cte_still_recurs(dialect: str) -> None:
    word = "" if dialect == "tsql" else "RECURSIVE "
    check_sql(
        f"WITH {word}n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i FROM n",
        shop(dialect),
    )


@pytest.mark.parametrize(
    "call", ["bitstring('1', 2000000000)", "list_resize([1], 900000000)", "array_resize([1], 9e8)"]
)
def test_duckdb_makes_no_huge_value_by_a_number(call: str) -> None:
    refuse(f"SELECT {call}", "duckdb")
    check_sql("SELECT bitstring('1', 8), list_resize([1], 3), array_resize([1], 3)", shop("duckdb"))


@pytest.mark.parametrize("dialect", ["sqlite", "postgres", "mysql", "tsql", "oracle", "trino"])
def test_no_table_hides_in_braces_of_which_the_parser_drops_a_part(dialect: str) -> None:
    refuse("SELECT MAP {(SELECT 1 FROM planted): 2}", dialect)
    check_sql("SELECT '{\"a\": 1}' AS j", shop(dialect))


@pytest.mark.parametrize("sql", ["SELECT {(SELECT 1): 2}", "SELECT (SELECT 1) {'a': 1}"])
def test_what_the_parser_drops_at_duckdbs_braces_duckdb_does_not_read(sql: str) -> None:
    with duckdb.connect() as connection, pytest.raises(duckdb.ParserException):
        connection.execute(sql)


# ---------------------------------------------------------------- where names are not the same


def test_duckdb_tells_names_apart_that_python_folds_into_one() -> None:
    with duckdb.connect() as connection:
        for cte, table in (("ÄRGER", "ärger"), ("K\u212a", "kk"), ("ΣΣ", "σς")):
            connection.execute(f"CREATE TABLE \"{table}\" AS SELECT 'secret' AS s")
            sql = f'WITH "{cte}" AS (SELECT \'s\' AS s) SELECT s FROM "{table}"'
            assert connection.execute(sql).fetchall() == [("secret",)]
            refuse(sql, "duckdb")
    check_sql('WITH "ärger" AS (SELECT 1 AS s) SELECT s FROM "ärger"', shop("duckdb"))


def test_mariadb_tells_names_apart_that_python_folds_into_one(mysql_run) -> None:
    mysql_run("CREATE TABLE `σς` AS SELECT 'secret' AS s")
    sql = "WITH `ΣΣ` AS (SELECT 's' AS s) SELECT s FROM `σς`"
    assert mysql_run(sql) == [("secret",)]
    mysql_run("DROP TABLE `σς`")
    refuse(sql, "mysql")


def test_a_lock_alone_tells_them_apart_as_well() -> None:
    from sqlcoder_magic.execute.base import spellings

    assert "ärger" not in spellings(["ÄRGER"])
    assert "sales" in spellings(["main.SALES"])


MARIADB_ENDS = (  # a segmentation fault of 10.11.19
    "SELECT nosuch.lower.quantity FROM sales JOIN products USING (product_id)",
    "SELECT name.lower.quantity FROM sales JOIN products USING (product_id)",
    "SELECT 1 FROM sales NATURAL JOIN products ORDER BY name.lower.quantity",
    "SELECT DATE_FORMAT(sale_date, '%W', a.b.c) FROM sales JOIN products USING (product_id)",
)


@pytest.mark.parametrize("sql", MARIADB_ENDS)
def test_no_qualified_name_that_is_not_there_reaches_mariadb(sql: str) -> None:
    refuse(sql, "mysql")


def test_a_qualified_name_is_let_through_to_the_letter_alone() -> None:
    schema = Schema("mysql", (Table("Pets", "Zoo", (Column("id", "int", True),), (), ()),))
    check_sql("SELECT Zoo.Pets.id FROM Zoo.Pets JOIN Zoo.Pets b USING (id)", schema)
    for sql in (
        "SELECT zoo.Pets.id FROM Zoo.Pets JOIN Zoo.Pets b USING (id)",
        "SELECT Zoo.pets.id FROM Zoo.Pets JOIN Zoo.Pets b USING (id)",
        "SELECT Zoo.Pets.id FROM Zoo.Pets a JOIN Zoo.Pets b USING (id)",
        "SELECT Zoo.Pets.id FROM Zoo.Pets pets JOIN Zoo.Pets b USING (id)",
    ):
        with pytest.raises(SQLRejected):
            check_sql(sql, schema)


@pytest.mark.slow
def test_mariadb_ends_and_the_playground_sees_it() -> None:
    """A server that has the fault mended says that the column is unknown, and goes on."""
    try:
        with ENGINES["mariadb"]() as play:
            assert play.harmful(["SELECT 1", "SHUTDOWN"]) == ["SHUTDOWN"]
            with pytest.raises(Exception, match=r"Lost connection|Unknown column") as raised:
                play.run(MARIADB_ENDS[0])
            ended = "Lost" in str(raised.value)
            assert play.fingerprint_or_gone().startswith("gone") is ended
    except NoServerError as error:
        pytest.skip(str(error))


# ---------------------------------------------------------------- what the parser drops

SURPLUS = (
    ("sqlite", "SELECT mod(1, 2, (SELECT 1 FROM planted))"),
    ("postgres", "SELECT to_char(now(), 'YYYY', (SELECT 1 FROM planted))"),
    ("postgres", "SELECT to_char(now(), 'YYYY', (TABLE planted))"),
    ("duckdb", "SELECT decode('a', (SELECT s FROM planted))"),
    ("duckdb", "FROM sales SELECT decode('a', (FROM planted))"),
    ("duckdb", "FROM sales SELECT decode('a', (FROM 'x.csv'))"),
    ("mysql", "SELECT DATE_FORMAT(NOW(), '%W', (SELECT s FROM planted))"),
    ("mysql", "SELECT DATE_FORMAT(NOW(), '%W', @@hostname)"),
    ("mysql", "SELECT DATE_FORMAT(NOW(), '%W', @x := 'de_DE')"),
)


@pytest.mark.parametrize(("dialect", "sql"), SURPLUS)
def test_a_surplus_argument_hides_nothing(dialect: str, sql: str) -> None:
    tree = sqlglot.parse_one(sql, read=dialect)
    assert "planted" not in repr(tree) and "x.csv" not in repr(tree) and "host" not in repr(tree)
    with pytest.raises(SQLRejected) as caught:
        check_sql(sql, shop(dialect))
    assert caught.value.rule == "whole"


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        ("mysql", "SELECT DATE_FORMAT(sale_date, '%W', 'de_DE') FROM sales"),
        (
            "postgres",
            "SELECT TRIM(LEADING '0' FROM '007'), EXTRACT(YEAR FROM sale_date) FROM sales",
        ),
        ("duckdb", "FROM sales SELECT sum(quantity)"),
        ("duckdb", "SELECT 'a' IS DISTINCT FROM 'b', (FROM sales SELECT max(quantity))"),
        ("sqlite", "SELECT substr(name, 1, 2) FROM (SELECT name FROM products)"),
    ],
)
def test_what_only_looks_surplus_is_let_through(dialect: str, sql: str) -> None:
    check_sql(sql, shop(dialect))


# ---------------------------------------------------------------- everyday PIVOTs and types


@pytest.mark.parametrize(
    "sql",
    [
        "WITH m AS (SELECT * FROM sales) PIVOT m ON product_id USING sum(quantity)",
        "WITH m AS (SELECT * FROM sales) SELECT * FROM (PIVOT m ON product_id USING sum(quantity))",
        "WITH m AS (SELECT * FROM sales), d AS (PIVOT m ON product_id IN (1, 2) USING "
        "sum(quantity)) FROM d",
        "WITH d AS (PIVOT sales ON product_id USING sum(quantity)) FROM d",
        "PIVOT sales ON product_id IN (SELECT product_id FROM products) USING sum(quantity)",
    ],
)
def test_duckdb_pivots_of_everyday_are_let_through(sql: str, duckdb_run) -> None:
    assert duckdb_run(sql)
    check_sql(sql, shop("duckdb"))


def test_a_column_lends_its_type_to_casts() -> None:
    columns = tuple(Column(t, t, True) for t in ("mood", 'zoo."Size"[]', "numeric(10,2)"))
    schema = Schema("postgres", (Table("t", "", columns, (), ()),))
    check_sql("SELECT 'a'::mood, 'b'::\"Size\", 'c'::zoo.\"Size\", '{a}'::mood[]", schema)
    check_sql("SELECT 'a'::citext, '{1}'::_int4, 'a'::\"char\", 'a'::pg_catalog.text", schema)
    with pytest.raises(SQLRejected):
        check_sql("SELECT 'a'::anger", schema)


def test_postgres_words_in_quotes_are_names() -> None:
    check_sql('SELECT u.id FROM "user" u', shop("postgres"))
    check_sql("SELECT name AS user FROM customers", shop("postgres"))
