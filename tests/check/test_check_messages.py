"""What a refusal says: the rule, the spot with a caret, the nearest real names, what to do."""

from __future__ import annotations

import pytest
from check_shop import shop

from sqlcoder_magic.check import check_sql
from sqlcoder_magic.check.index import index_of
from sqlcoder_magic.check.names import edit_distance, key, nearest, singular
from sqlcoder_magic.check.refusal import rejected
from sqlcoder_magic.errors import SQLRejected
from sqlcoder_magic.types import CheckedSQL, Column, Schema, Table


def refusal(sql: str, schema: Schema) -> SQLRejected:
    with pytest.raises(SQLRejected) as caught:
        check_sql(sql, schema)
    return caught.value


def table(name: str, *columns: str, namespace: str = "") -> Table:
    return Table(name, namespace, tuple(Column(c, "TEXT", True) for c in columns), (), ())


def test_the_spot_is_shown_under_the_line() -> None:
    error = refusal("SELECT name,\n       pric\nFROM products", shop("postgres"))
    assert (error.rule, error.line, error.column) == ("columns", 2, 8)
    assert str(error) == (
        "No table of the query has a column pric. (line 2, column 8)\n"
        "           pric\n"
        "           ^\n"
        "Nearest: `price`."
    )


def test_an_unknown_table_names_the_nearest() -> None:
    assert "Nearest: `products`" in refusal("SELECT * FROM product", shop("sqlite")).fix
    assert "`sales`" in refusal("SELECT * FROM sale", shop("sqlite")).fix


def test_a_column_of_another_table_names_its_tables() -> None:
    error = refusal("SELECT p.city FROM products p", shop("duckdb"))
    assert "products has no column city" in error.message
    assert "`customers` and `active_customers` have a column city" in error.fix


def test_an_unknown_alias_names_those_in_sight() -> None:
    error = refusal("SELECT x.name FROM products p JOIN sales s ON TRUE", shop("mysql"))
    assert "no table or alias x is in sight" in error.message
    assert "`p` and `s`" in error.fix


def test_a_misspelled_function_names_the_nearest() -> None:
    error = refusal("SELECT uper(name) FROM products", shop("postgres"))
    assert error.rule == "functions"
    assert "upper" in error.fix


def test_an_alias_in_having_is_explained() -> None:
    error = refusal("SELECT SUM(quantity) AS t FROM sales HAVING t > 1", shop("postgres"))
    assert "name given in SELECT" in error.message


def test_postgres_names_with_capitals_need_quotes() -> None:
    schema = Schema("postgres", (table("Pets", "PetID"),))
    assert '"Pets"' in refusal("SELECT 1 FROM Pets", schema).fix
    assert "in quotes" in refusal('SELECT PetID FROM "Pets"', schema).fix
    assert check_sql('SELECT "PetID" FROM "Pets"', schema).tables == ("Pets",)


def test_equal_names_in_two_namespaces() -> None:
    schema = Schema(
        "postgres", (table("t", "a", namespace="one"), table("t", "b", namespace="two"))
    )
    assert check_sql("SELECT b FROM two.t", schema).tables == ("two.t",)
    assert "`one.t` or `two.t`" in refusal("SELECT * FROM t", schema).fix
    assert refusal("SELECT a FROM two.t", schema).rule == "columns"
    both = check_sql("SELECT one.t.a, two.t.b FROM one.t, two.t", schema)
    assert both.tables == ("one.t", "two.t")


def test_the_default_namespace_may_be_written_out() -> None:
    schema = Schema("postgres", (table("t", "a"), table("t", "b", namespace="two")))
    assert check_sql("SELECT a FROM public.t", schema).tables == ("t",)
    assert refusal("SELECT a FROM three.t", schema).rule == "tables"


def test_a_table_named_with_a_dot_opens_no_other() -> None:
    schema = Schema("postgres", (table("a.b", "x"),))
    assert check_sql('SELECT x FROM "a.b"', schema).tables == ("a.b",)
    assert refusal("SELECT x FROM a.b", schema).rule == "tables"


def test_a_table_without_known_columns_lets_any_pass() -> None:
    schema = Schema("postgres", (table("strange"),))
    assert check_sql("SELECT whatever, s.other FROM strange s", schema).tables == ("strange",)


def test_case_does_not_matter_where_the_engine_does_not_see_it() -> None:
    for dialect in ("sqlite", "duckdb", "mysql"):
        schema = Schema(dialect, (table("Pets", "PetID"),))
        assert check_sql("SELECT p.petid, PETS.PetId FROM pets p, PETS", schema).tables == ("Pets",)


def test_the_tables_read_are_in_the_seal_with_ctes_left_out() -> None:
    sql = (
        "WITH x AS (SELECT product_id FROM sales) SELECT * FROM x JOIN products USING (product_id)"
    )
    checked = check_sql(sql, shop("postgres"))
    assert isinstance(checked, CheckedSQL)
    assert checked.tables == ("sales", "products")


def test_allowed_functions_are_let_through_by_name() -> None:
    schema = shop("postgres")
    sql = "SELECT net_price(price) FROM products"
    assert refusal(sql, schema).rule == "functions"
    assert check_sql(sql, schema, allowed_functions=["Net_Price"]).sql == sql


def test_a_sqlite_string_in_double_quotes_is_noted() -> None:
    checked = check_sql('SELECT 1 FROM products WHERE name = "Pen"', shop("sqlite"))
    assert checked.notes == ('SQLite reads "Pen" as text: no column has that name.',)


def test_size_and_depth_are_capped_before_parsing() -> None:
    schema = shop("postgres")
    assert refusal("SELECT 1 " + "x" * 20_000, schema).rule == "size"
    assert refusal("SELECT " + "(" * 101 + "1" + ")" * 101, schema).rule == "size"
    assert refusal("SELECT " + "NOT " * 4_000 + "TRUE", schema).rule in ("size", "parse")
    assert refusal("SELECT " + "- " * 9_000 + "1", schema).rule in ("size", "parse")
    many = "SELECT 1 FROM products WHERE " + " OR ".join(["price = 1"] * 900)
    assert check_sql(many, schema).tables == ("products",)
    assert check_sql("SELECT " + "(" * 30 + "1" + ")" * 30, schema).tables == ()


def test_invisible_characters_are_shown_escaped() -> None:
    error = refusal("SELECT 'a\u202eb' FROM products", shop("postgres"))
    assert "\\u202e" in str(error)
    assert "\u202e" not in str(error)
    assert "\x1b" not in str(refusal("SELECT '\x1b[31m'", shop("postgres")))


def test_a_long_line_is_cut_around_the_spot() -> None:
    sql = "SELECT " + "price, " * 50 + "pric FROM products"
    lines = str(refusal(sql, shop("postgres"))).splitlines()
    assert len(lines[1]) <= 110
    assert lines[1][lines[2].index("^") :].startswith("pric ")


def test_a_refusal_without_a_spot_has_no_caret() -> None:
    error = rejected("size", "Too long.", sql="SELECT 1")
    assert (error.line, error.column, str(error)) == (0, 0, "Too long.")


def test_an_index_is_kept_while_its_schema_lives() -> None:
    schema = shop("sqlite")
    assert index_of(schema) is index_of(schema)
    assert index_of(shop("sqlite")) is not index_of(schema)


def test_nearest_names() -> None:
    names = ("customers", "cities", "product_suppliers", "Sale_Date", "sales")
    assert nearest("customer", names)[0] == "customers"
    assert nearest("city", names)[0] == "cities"
    assert nearest("saledate", names)[0] == "Sale_Date"
    assert nearest("suppliers", names) == ("product_suppliers",)
    assert nearest("zzzz", names) == ()
    assert nearest("sales", names, count=1) == ("sales",)
    assert [singular(w) for w in ("cities", "boxes", "sales", "address", "status", "bus")] == [
        "city",
        "box",
        "sale",
        "address",
        "status",
        "bus",
    ]
    assert key("Order_Items") == key("orderitem")
    assert [edit_distance(*pair) for pair in (("abc", "abc"), ("abc", "acb"), ("", "ab"))] == [
        0,
        1,
        2,
    ]
