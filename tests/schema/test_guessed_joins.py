"""Joins guessed from names and types: the sure ones, marked; and none where two would do."""

from __future__ import annotations

import pytest

from sqlcoder_magic.prompt import schema_text
from sqlcoder_magic.schema import guess_notes, with_guessed_joins
from sqlcoder_magic.types import Column, ForeignKey, Schema, Table


def table(name: str, columns: str, key: str = "", unique: str = "", namespace: str = "") -> Table:
    """`table("orders", "id INT, customer_id INT", "id")`."""
    made = [Column(*column.strip().split(" ", 1), nullable=True) for column in columns.split(",")]
    return Table(
        name,
        namespace,
        tuple(made),
        (key,) if key else (),
        (),
        unique_keys=((unique,),) if unique else (),
    )


def guesses(*tables: Table) -> set[str]:
    schema = with_guessed_joins(Schema("postgres", tables))
    return {
        f"{t.full_name}.{key.columns[0]} = {key.other_table}.{key.other_columns[0]}"
        for t in schema.tables
        for key in t.foreign_keys
        if key.guessed
    }


CUSTOMERS = table("customers", "id INT, name TEXT", "id")
SURE = {
    "the table's name and id": (
        (CUSTOMERS, table("orders", "id INT, customer_id BIGINT", "id")),
        "orders.customer_id = customers.id",
    ),
    "the key has the column's own name": (
        (
            table("Customer", "CustomerId INTEGER, Name TEXT", "CustomerId"),
            table("Invoice", "InvoiceId INTEGER, CustomerId INTEGER", "InvoiceId"),
        ),
        "Invoice.CustomerId = Customer.CustomerId",
    ),
    "abbreviated": (
        (CUSTOMERS, table("ord", "id INT, cust_id INT", "id")),
        "ord.cust_id = customers.id",
    ),
    "a code, of text": (
        (
            table("ref_template_types", "template_type_code CHAR(15)", "template_type_code"),
            table("templates", "id INT, template_type_code VARCHAR(15)", "id"),
        ),
        "templates.template_type_code = ref_template_types.template_type_code",
    ),
    "in one piece": (
        (table("student", "stuid INT, sex TEXT", "stuid"), table("has_pet", "stuid INT")),
        "has_pet.stuid = student.stuid",
    ),
    "a prefix of both tables": (
        (
            table("shop_customer", "id INT", "id"),
            table("crm_customer", "id INT", "id"),
            table("shop_order", "id INT, customer_id INT", "id"),
        ),
        "shop_order.customer_id = shop_customer.id",
    ),
    "a role": (
        (
            table("addresses", "address_id INT, street TEXT", "address_id"),
            table("students", "student_id INT, current_address_id INT", "student_id"),
        ),
        "students.current_address_id = addresses.address_id",
    ),
    "a unique key": (
        (
            table("airports", "id INT, airport_code CHAR(3)", "id", "airport_code"),
            table("gates", "id INT, airport_code CHAR(3)", "id"),
        ),
        "gates.airport_code = airports.airport_code",
    ),
    "no key at all, as in files": (
        (table("customers", "id BIGINT"), table("orders", "id BIGINT, customer_id BIGINT")),
        "orders.customer_id = customers.id",
    ),
    "the same schema before another": (
        (
            table("customers", "id INT", "id", namespace="crm"),
            table("customers", "id INT", "id", namespace="shop"),
            table("orders", "id INT, customer_id INT", "id", namespace="shop"),
        ),
        "shop.orders.customer_id = shop.customers.id",
    ),
}  # fmt: skip


@pytest.mark.parametrize("why", SURE)
def test_what_names_and_types_give_away(why: str) -> None:
    tables, join = SURE[why]
    assert guesses(*tables) == {join}


UNSURE = {
    "another type": (CUSTOMERS, table("orders", "id INT, customer_id TEXT", "id")),
    "the target is no key": (
        table("customers", "number INT, id INT", "number"),
        table("orders", "id INT, customer_id INT", "id"),
    ),
    "two tables would do": (
        table("customers", "id INT", "id", namespace="a"),
        table("customers", "id INT", "id", namespace="b"),
        table("orders", "id INT, customer_id INT", "id", namespace="c"),
    ),
    "the same key in two tables": (
        table("profile", "account_id INT", "account_id"),
        table("settings", "account_id INT", "account_id"),
    ),
    "a name that says nothing": (
        table("a", "id INT, code TEXT", "id", "code"),
        table("b", "id INT, code TEXT, name TEXT", "id", "code"),
    ),
    "the table's own key": (
        table("items", "id INT", "id"),
        table("order_items", "order_item_id INT, price INT", "order_item_id"),
    ),
    "two things in one name": (
        table("students", "student_id INT", "student_id"),
        table("courses", "course_id INT", "course_id"),
        table("grades", "id INT, student_course_id INT", "id"),
    ),
    "itself": (table("employees", "employee_id INT, boss_employee_id INT", "employee_id"),),
    "a compound key": (
        Table("lines", "", (Column("line_id", "INT", False),), ("line_id", "n"), ()),
        table("notes", "id INT, line_id INT", "id"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("why", UNSURE)
def test_no_guess_where_it_would_be_one(why: str) -> None:
    assert guesses(*UNSURE[why]) == set()


def test_a_declared_key_is_left_alone() -> None:
    declared = ForeignKey(("customer_id",), "people", ("id",))
    orders = table("orders", "id INT, customer_id INT", "id")
    orders = Table(orders.name, "", orders.columns, ("id",), (declared,))
    schema = Schema("postgres", (CUSTOMERS, table("people", "id INT", "id"), orders))
    assert with_guessed_joins(schema).tables[2].foreign_keys == (declared,)


def test_a_guess_reads_like_a_declared_key_and_is_told() -> None:
    orders = table("orders", "id INT, customer_id INT", "id")
    schema = with_guessed_joins(Schema("postgres", (CUSTOMERS, orders)))
    text = schema_text(schema, "defog")
    assert "-- orders.customer_id can be joined with customers.id" in text
    assert guess_notes(schema) == ("Guessed joins: orders.customer_id → customers.id.",)
    assert guess_notes(Schema("postgres", (CUSTOMERS,))) == ()
    shown = Schema("postgres", schema.tables[1:])
    assert guess_notes(shown) == ()  # its other table is not in the prompt


def test_the_guesses_are_kept_as_long_as_their_schema() -> None:
    orders = table("orders", "id INT, customer_id INT", "id")
    schema = Schema("postgres", (CUSTOMERS, orders))
    assert with_guessed_joins(schema) is with_guessed_joins(schema)
    again = Schema("postgres", (CUSTOMERS, orders))
    assert with_guessed_joins(again) is not with_guessed_joins(schema)


@pytest.mark.parametrize("name", ["", "_", "__id", "💡_id", "id", "\n"])
def test_hostile_names_are_no_trouble(name: str) -> None:
    odd = Table(name, "", (Column(name, "INT", True),), (name,), ())
    assert guesses(odd, CUSTOMERS, odd) == set()
