"""Choosing the tables that a question needs."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
from schema_helpers import names, table

from sqlcoder_magic.schema import ranking, select_tables
from sqlcoder_magic.schema.selection import estimated_tokens
from sqlcoder_magic.schema.words import question_words, stem, words
from sqlcoder_magic.types import Column, ForeignKey, Schema, Table


def made(name: str, *columns: str, refers: str = "", comment: str = "") -> Table:
    """A table with an `id` and a foreign key to each table in `refers`."""
    others = refers.split()
    keys = tuple(ForeignKey((f"{other}_id",), other, ("id",)) for other in others)
    listed = ["id", *columns, *(f"{other}_id" for other in others)]
    return Table(
        name, "", tuple(Column(c, "TEXT", True) for c in listed), ("id",), keys, comment
    )  # fmt: skip


SHOP = Schema(
    "sqlite",
    (
        made("region", "label"),
        made("store", "label", refers="region"),
        made("cust", "fullName", "addr"),
        made("ord", "placed_on", refers="cust store"),
        made("ord_line", "qty", refers="ord prd"),
        made("prd", "title", "unitPrice"),
        made("weather", "celsius", comment="daily temperatures"),
        made("zodiac", "sign"),
        made("audit_log", "payload"),
    ),
    notes=("something was noticed",),
)


def flat(_: Table) -> int:
    return 10


def test_a_schema_that_fits_is_returned_unchanged() -> None:
    assert select_tables(SHOP, "anything", max_tokens=90, measure=flat) is SHOP
    total = sum(estimated_tokens(t) for t in SHOP.tables)
    assert select_tables(SHOP, "anything", max_tokens=total) is SHOP
    assert select_tables(SHOP, "anything", max_tokens=total - 1) is not SHOP


@pytest.mark.parametrize(
    ("question", "needed"),
    [
        ("How hot was it? Show all temperatures.", {"weather"}),
        ("What is the address of each customer?", {"cust"}),
        ("Unit price of every product", {"prd"}),
        ("Which zodiac signs are there?", {"zodiac"}),
        ("orders placed by clients", {"ord", "cust"}),
        ("Quantity ordered of each item", {"ord_line"}),
    ],
)
def test_words_find_tables(question: str, needed: set[str]) -> None:
    chosen = select_tables(SHOP, question, max_tokens=30, measure=flat)
    assert needed <= set(names(chosen))
    assert len(chosen.tables) <= 3


def test_tables_between_two_chosen_ones_come_along() -> None:
    chosen = select_tables(SHOP, "price by region", max_tokens=60, measure=flat)
    assert {"prd", "region", "ord_line", "ord", "store"} <= set(names(chosen))


def test_order_and_notes() -> None:
    chosen = select_tables(SHOP, "temperatures and products", max_tokens=20, measure=flat)
    assert names(chosen) == ["prd", "weather"]
    assert chosen.dialect == "sqlite"
    assert chosen.notes[0] == "something was noticed"
    assert "7 of 9 tables left out" in chosen.notes[1]
    assert "--tables" in chosen.notes[1]


def test_the_budget_is_kept() -> None:
    for budget in (0, 5, 10, 25, 40, 89):
        chosen = select_tables(SHOP, "customers and products", max_tokens=budget, measure=flat)
        assert sum(map(flat, chosen.tables)) <= budget


def test_a_question_without_known_words_gets_the_best_connected() -> None:
    chosen = select_tables(SHOP, "Zeig mir etwas", max_tokens=10, measure=flat)
    assert names(chosen) == ["ord"]


def test_samples_and_words_inside_words_count() -> None:
    cities = Column("place", "TEXT", True, samples=("New York", "San Francisco"))
    schema = Schema(
        "sqlite",
        (
            *SHOP.tables,
            Table("t1", "", (cities,), (), ()),
            Table("t2", "", (Column("shippingdate", "DATE", True),), (), ()),
        ),
    )
    assert names(select_tables(schema, "in San Francisco", max_tokens=10, measure=flat)) == ["t1"]
    chosen = select_tables(schema, "all shipping details", max_tokens=10, measure=flat)
    assert names(chosen) == ["t2"]


WIDE = Table(
    "wide",
    "",
    (
        *(Column(f"attribute_{i}", "TEXT", True) for i in range(1598)),
        Column("Birthday", "DATE", True),
        Column("id", "INT", False),
    ),
    ("id",),
    (ForeignKey(("attribute_7",), "region", ("id",)),),
)


def test_columns_are_cut_last_keeping_keys_and_what_is_asked() -> None:
    schema = Schema("sqlite", (*SHOP.tables, WIDE))
    chosen = select_tables(schema, "birthdays in wide by region", max_tokens=400)
    wide = table(chosen, "wide")
    kept = [c.name for c in wide.columns]
    assert {"Birthday", "id", "attribute_7"} <= set(kept)
    assert len(kept) < 1600
    assert wide.primary_key == ("id",)
    assert wide.foreign_keys == WIDE.foreign_keys
    assert kept == [c.name for c in WIDE.columns if c.name in kept]
    assert sum(map(estimated_tokens, chosen.tables)) <= 400
    assert any(f"{len(kept):,} of the 1,600 columns of wide" in note for note in chosen.notes)


def test_a_single_table_that_is_too_large() -> None:
    chosen = select_tables(Schema("sqlite", (WIDE,)), "birthdays", max_tokens=100)
    assert "Birthday" in [c.name for c in chosen.tables[0].columns]
    assert len(chosen.notes) == 1


def test_the_index_is_kept_as_long_as_its_schema() -> None:
    schema = Schema("sqlite", SHOP.tables)
    index = ranking.index_of(schema)
    assert ranking.index_of(schema) is index
    number = len(ranking._indexes)
    gone = weakref.ref(schema)
    del schema
    gc.collect()
    assert gone() is None
    assert len(ranking._indexes) == number - 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("custOrderQty", ["customer", "order", "quantity"]),
        ("HTTPServerID2", ["http", "server", "id", "2"]),
        ("product_suppliers", ["product", "supplier"]),
        ("Straße_größe", ["straße", "größe"]),
        ("", []),
    ],
)
def test_names_are_split(name: str, expected: list[str]) -> None:
    assert list(words(name)) == [stem(word) for word in expected]


@pytest.mark.parametrize(
    "alike",
    [
        "shipping shipments ship",
        "orders ordered order",
        "cities city",
        "people person persons",
        "categories category",
        "boxes box",
        "addresses address",
        "sold sales sale",
        "payments paid pay",
        "prices pricing price",
        "classes class",
        "branches branch",
        "movies movie",
    ],
)
def test_forms_of_a_word_have_one_stem(alike: str) -> None:
    assert len({stem(word) for word in alike.split()}) == 1


def test_different_words_keep_different_stems() -> None:
    distinct = ["customer", "order", "product", "price", "store", "region", "address", "status"]
    assert len({stem(word) for word in distinct}) == len(distinct)


def test_empty_words_say_nothing() -> None:
    assert question_words("How many of the ... are there, and which?") == {}


def test_of_a_thousand_tables_those_that_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recall that `benchmarks/schema_reading.py` prints, also for 10,000 tables."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    from warehouse import warehouse

    schema, questions = warehouse(1_000)
    found = 0
    for known in questions:
        chosen = select_tables(schema, known.question, max_tokens=4_000)
        assert sum(map(estimated_tokens, chosen.tables)) <= 4_000
        found += known.needed <= {table.full_name for table in chosen.tables}
    assert len(questions) >= 100 and found / len(questions) >= 0.98
