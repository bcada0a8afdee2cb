"""What a question mentions: which pieces of it are looked for, where, and where it is put."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlcoder_magic.check import check_sql
from sqlcoder_magic.schema import found_notes, lookups, with_found
from sqlcoder_magic.schema.values import MOST_CANDIDATES, MOST_COLUMNS, candidates
from sqlcoder_magic.types import Column, Schema, Table

PEOPLE = Table(
    "people",
    "",
    (
        Column("id", "INTEGER", False),
        Column("biography_text", "TEXT", True),
        Column("name", "VARCHAR(40)", True),
        Column("city", "TEXT", True, samples=("Rome",)),
    ),
    ("id",),
    (),
)


@pytest.mark.parametrize(
    ("question", "piece"),
    [
        ("How many customers live in New York?", "New York"),
        ("Who wrote 'The Old Man and the Sea'?", "The Old Man and the Sea"),
        ('Who wrote "it\'s"?', "it's"),
        ("orders that are cancelled", "cancelled"),
        ("sales of laptops", "laptop"),
        ("What does SKU-1003 cost?", "SKU-1003"),
        ("staff of the Bank of America", "Bank of America"),
        ("Straße in Köln", "Köln"),
        ("AT&T's phones", "AT&T's"),
        ("goods that are out of stock", "out of stock"),
    ],
)
def test_pieces_that_may_be_values(question: str, piece: str) -> None:
    assert piece in candidates(question)


def test_words_that_only_ask_are_no_values() -> None:
    assert candidates("How many are there of each?") == []
    assert lookups(Schema("sqlite", (PEOPLE,)), "How many are there of each?") == []


def test_what_is_quoted_or_capital_comes_first() -> None:
    found = candidates("total of sales for 'north' in New York by month and by year and by day")
    assert found[:2] == ["north", "New York"]
    assert len(candidates("a1 " * 500)) <= MOST_CANDIDATES


def test_only_text_columns_the_likeliest_first() -> None:
    (lookup,) = lookups(Schema("sqlite", (PEOPLE,)), "Which city has Ann?")
    assert lookup.columns == ("city", "name", "biography_text")
    assert lookup.table == "people"


def test_the_columns_are_bounded() -> None:
    wide = Table("w", "", tuple(Column(f"c{i}", "TEXT", True) for i in range(500)), (), ())
    found = lookups(Schema("sqlite", (wide, PEOPLE)), "Where is Ann?")
    assert sum(len(lookup.columns) for lookup in found) == MOST_COLUMNS


@pytest.mark.parametrize("dialect", ["sqlite", "postgres", "duckdb", "mysql"])
@given(question=st.text(max_size=80))
def test_every_lookup_passes_the_check(dialect: str, question: str) -> None:
    schema = Schema(dialect, (PEOPLE,))
    for lookup in lookups(schema, f"x' OR 1=1 -- {question}"):
        assert check_sql(lookup.sql, schema).tables == ("people",)


def test_what_was_found_comes_before_other_samples() -> None:
    schema = Schema("sqlite", (PEOPLE,))
    found = {("people", "city"): ("Oslo", "Bern", "Kiel"), ("people", "name"): ()}
    shown = with_found(schema, found)
    assert shown.tables[0].columns[3].samples == ("Oslo", "Bern", "Kiel")
    assert shown.tables[0].columns[2] == PEOPLE.columns[2]
    assert found_notes({("people", "city"): ("Oslo",)}) == (
        "Values that the question mentions: people.city = 'Oslo'.",
    )
    assert found_notes({}) == ()


def test_an_enum_keeps_all_its_values() -> None:
    many = Column("state", "TEXT", True, samples=("a", "b", "c", "d", "e"))
    schema = Schema("sqlite", (Table("t", "", (many,), (), ()),))
    shown = with_found(schema, {("t", "state"): ("e",)})
    assert shown.tables[0].columns[0].samples == ("e", "a", "b", "c", "d")
