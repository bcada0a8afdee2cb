"""The questions: each gold runs on both engines, returns rows, and depends on no tie."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from contextlib import closing

import pytest
from sqlglot import exp, parse_one

from sqlcoder_magic.sample import DEMO_QUESTIONS, QUESTIONS, SampleQuestion, is_right, path_of
from sqlcoder_magic.sample.compare import Result, orders_rows, same
from sqlcoder_magic.sample.questions import CATEGORIES, gold_results

CITIES = (
    "Do we get more sales from customers in New York compared to customers in San Francisco? "
    "Give me the total sales for each city, and the difference between the two."
)
every_question = pytest.mark.parametrize("question", QUESTIONS, ids=lambda one: one.id)


def run(question: SampleQuestion, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path_of(question))) as connection:
        return connection.execute(sql).fetchall()


def test_there_are_enough_of_each_category() -> None:
    counts = Counter(question.category for question in QUESTIONS)
    assert set(counts) == set(CATEGORIES)
    assert min(counts.values()) >= 8
    assert len(QUESTIONS) >= 48
    assert {question.db for question in QUESTIONS} == {"shop", "clinic"}
    assert {question.hardness for question in QUESTIONS} == {"easy", "medium", "hard"}


def test_ids_and_texts_are_unique() -> None:
    assert len({question.id for question in QUESTIONS}) == len(QUESTIONS)
    assert len({question.question for question in QUESTIONS}) == len(QUESTIONS)
    assert all(question.id.startswith(f"{question.db}-") for question in QUESTIONS)


@every_question
def test_gold_returns_rows(question: SampleQuestion) -> None:
    assert len(question.sql) == len(question.sql_sqlite)
    for result in gold_results(question):
        assert result.rows
        assert all(cell is not None for row in result.rows for cell in row)


@every_question
def test_gold_is_right_and_another_answer_is_not(question: SampleQuestion) -> None:
    for gold in gold_results(question):
        assert is_right(question, gold.columns, gold.rows)
        assert not is_right(question, gold.columns, [*gold.rows, gold.rows[0], (None,) * 9][1:])
        assert not is_right(question, gold.columns, [])


@every_question
def test_gold_depends_on_no_tie(question: SampleQuestion) -> None:
    """With equal sort keys another order, or another row within the limit, would be right too."""
    for sql in question.sql_sqlite:
        if not orders_rows(sql):
            continue
        tree = parse_one(sql, read="sqlite")
        keys = [ordered.this.copy() for ordered in tree.args["order"].expressions]
        limit = tree.args.get("limit")
        count = int(limit.expression.name) + 1 if limit else None
        tree.set("limit", None)
        assert isinstance(tree, exp.Select)
        rows = run(question, tree.select(*keys).sql("sqlite"))[:count]
        values = [row[-len(keys) :] for row in rows]
        assert len(set(values)) == len(values)


def test_gold_is_the_same_on_postgresql(postgres_url: str) -> None:
    """The PostgreSQL gold, on the same rows in PostgreSQL, returns what SQLite's does."""
    import psycopg

    plain_url = postgres_url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(plain_url, autocommit=True) as server:
        for db in ("shop", "clinic"):
            server.execute(f"CREATE SCHEMA {db}")
            server.execute(f"SET search_path = {db}")
            of_db = [question for question in QUESTIONS if question.db == db]
            copy(of_db[0], server)
            for question in of_db:
                golds = zip(question.sql, gold_results(question), strict=True)
                for sql, expected in golds:
                    cursor = server.execute(sql)
                    names = tuple(column.name for column in cursor.description or ())
                    found = Result(names, tuple(cursor.fetchall()))
                    assert same(expected, found, ordered=orders_rows(sql)), sql


def copy(question: SampleQuestion, server: object) -> None:
    """The tables of a sample database, made in PostgreSQL."""
    for name, sql in run(
        question, "SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY rowid"
    ):
        server.execute(str(sql).replace(" REAL", " DOUBLE PRECISION"))  # type: ignore[attr-defined]
        rows = run(question, f"SELECT * FROM {name}")
        with server.cursor().copy(f"COPY {name} FROM STDIN") as stream:  # type: ignore[attr-defined]
            for row in rows:
                stream.write_row(row)


def test_the_demo_asks_three_easy_questions_and_the_one_about_two_cities() -> None:
    assert [question.hardness for question in DEMO_QUESTIONS] == ["easy", "easy", "easy", "hard"]
    assert all(question.db == "shop" for question in DEMO_QUESTIONS)
    assert DEMO_QUESTIONS[-1].question == CITIES


@pytest.mark.parametrize("what", ["s.quantity * p.price", "s.quantity", "1"])
def test_total_sales_may_be_read_in_three_ways(what: str) -> None:
    question = DEMO_QUESTIONS[-1]
    sums = ", ".join(
        f"SUM(CASE WHEN c.address LIKE '%, {city}, %' THEN {what} ELSE 0 END)"
        for city in ("San Francisco", "New York")
    )
    (row,) = run(
        question,
        f"SELECT {sums} FROM sales s JOIN products p USING (product_id) "
        "JOIN customers c USING (customer_id)",
    )
    west, east = (float(str(cell)) for cell in row)
    wide = [("New York leads", west, east, east - west)]
    assert is_right(question, ["note", "west", "east", "more"], wide)
    tall = [("New York", east, east - west), ("San Francisco", west, east - west)]
    assert is_right(question, ["city", "total", "more"], tall)
    assert not is_right(question, ["west", "east"], [(west, east)]), "the difference is missing"
    assert not is_right(question, ["west", "east", "more"], [(east, east, 0.0)])


def test_rows_of_pandas_are_compared_too() -> None:
    import pandas as pd

    question = DEMO_QUESTIONS[1]
    (gold,) = gold_results(question)
    frame = pd.DataFrame(gold.rows, columns=["name", "price"])
    assert is_right(question, list(frame.columns), list(frame.itertuples(index=False, name=None)))


@every_question
def test_the_question_names_what_is_wanted(question: SampleQuestion) -> None:
    """A question for a list of rows says which columns; otherwise several answers were right."""
    columns = len(gold_results(question)[0].columns)
    text = question.question.lower()
    assert re.search(r"[?.]$", text)
    asked = "give" in text or "list" in text or "what" in text or "how many" in text
    assert asked or columns == 1
