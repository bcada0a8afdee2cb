"""Nearest names for an honest no, and doubts about an answer to a question from elsewhere."""

from __future__ import annotations

import pytest

from sqlcoder_magic.sample import QUESTIONS, path_of
from sqlcoder_magic.schema import doubts, nearest_note, only_reads_note, read_schema
from sqlcoder_magic.types import Column, Schema, Table

PATHS = {question.db: path_of(question) for question in QUESTIONS}


@pytest.fixture(scope="module")
def shop() -> Schema:
    return read_schema(f"sqlite:///{PATHS['shop']}")


@pytest.mark.parametrize(
    ("question", "near"),
    [
        ("What was the supply price of the flights?", "product_suppliers (supply_price)"),
        ("List the adress of each pilot", "customers (address)"),
        ("Which clients complained?", "customers"),
        ("How many salespeople were fired?", "salespeople"),
    ],
)
def test_the_nearest_are_named(shop: Schema, question: str, near: str) -> None:
    note = nearest_note(shop, question)
    assert note.startswith("Nearest to your words: ")
    assert near in note


def test_where_nothing_is_near_the_tables_are_listed(shop: Schema) -> None:
    assert nearest_note(shop, "Hello?").startswith(
        "Nothing in the schema is near your words. It has products, customers, salespeople, sales"
    )
    many = Schema(
        "sqlite", tuple(Table(f"t{i}", "", (Column("x", "INT", True),), (), ()) for i in range(9))
    )
    assert nearest_note(many, "Hello?").endswith("It has t0, t1, t2, t3, t4, t5 and 3 more.")


def test_no_question_of_our_own_is_doubted() -> None:
    for question in QUESTIONS:
        schema = read_schema(f"sqlite:///{PATHS[question.db]}")
        assert doubts(schema, question.question) == (), question.id


@pytest.mark.parametrize(
    "question", ["Wie viele Kunden gibt es?", "有多少客户？", "Tell me a joke."]
)
def test_a_question_without_a_known_word_is_doubted(shop: Schema, question: str) -> None:
    (doubt,) = doubts(shop, question)
    assert doubt.startswith("No word of the question is in the schema")


@pytest.mark.parametrize(
    "question",
    [
        "¿Cuántos clientes viven en Nueva York?",  # a client is a customer, so it shares a word
        "Combien de clients à New York ?",
        "Welche Region hat die meisten sales und products?",
        "Quanti clienti e prodotti ci sono per region?",
    ],
)
def test_another_language_is_doubted_though_it_shares_a_word(shop: Schema, question: str) -> None:
    (doubt,) = doubts(shop, question)
    assert doubt.startswith("The question seems not to be in English")


def test_a_name_from_another_language_is_no_other_language(shop: Schema) -> None:
    assert doubts(shop, "How many customers live in Los Angeles?") == ()


@pytest.mark.parametrize(
    "question",
    [
        "Delete all customers from Chicago.",
        "Please drop the sales table",
        "Set the price of all products to 0.",
        "insert a new customer",
    ],
)
def test_a_wish_to_write_is_told_that_nothing_is_written(shop: Schema, question: str) -> None:
    assert only_reads_note(question) == (
        "Questions only read: nothing in the database is changed.",
    )
    assert doubts(shop, question) == ()


@pytest.mark.parametrize(
    "question", ["Update me on the sales", "Set-price of products", "What was the drop in sales?"]
)
def test_words_that_only_look_like_a_write(shop: Schema, question: str) -> None:
    assert only_reads_note(question) == doubts(shop, question) == ()
