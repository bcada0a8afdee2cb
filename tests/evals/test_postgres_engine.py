"""A suite on PostgreSQL: loaded, read and judged there, and predictions that try to do harm."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import psycopg
import pytest

from sqlcoder_magic.errors import QueryTimeoutError, RunError
from sqlcoder_magic.evals.postgres import PostgresEngine, column_type, in_postgres, loaded
from sqlcoder_magic.evals.runner import given_predictor, run_suite
from sqlcoder_magic.evals.suites import Suite, open_suite
from sqlcoder_magic.sample import QUESTIONS


@pytest.fixture
def there(zoo: Suite, postgres_url: str) -> Iterator[tuple[PostgresEngine, Suite]]:
    with loaded(postgres_url, zoo) as found:
        yield found


def test_the_own_golds_are_right_on_postgresql(postgres_url: str) -> None:
    """Written in PostgreSQL, run there: 100 %, with the guard and without."""
    suite = open_suite("own")
    golds = {question.id: question.sql[0] for question in QUESTIONS}
    with loaded(postgres_url, suite) as (engine, over_there):
        for check in (True, False):
            given = given_predictor(over_there, golds)
            outcomes = run_suite(over_there, given, engine=engine, check=check)
            assert [(one.id, one.message) for one in outcomes if not one.strict] == []
        wrong = given_predictor(over_there, dict.fromkeys(golds, "SELECT 0"))
        outcomes = run_suite(over_there, wrong, engine=engine)
        assert sum(one.defog or one.strict for one in outcomes) == 0


def test_golds_written_for_sqlite_are_translated(
    there: tuple[PostgresEngine, Suite], zoo: Suite
) -> None:
    engine, suite = there
    assert suite.items[1].golds == (
        "SELECT name, weight FROM animal ORDER BY weight DESC NULLS FIRST",
    ), "its own PostgreSQL where there is one"
    predictions = {item.id: item.golds[0] for item in zoo.items}
    outcomes = run_suite(suite, given_predictor(suite, predictions), engine=engine)
    assert [(one.status, one.strict) for one in outcomes] == [("ran", True)] * 4
    odd = replace(zoo, items=(replace(zoo.items[0], golds=('SELECT COUNT(*) FROM "Animal"',)),))
    (item,) = in_postgres(odd).items
    assert item.golds == ('SELECT COUNT(*) FROM "animal"',), "names as they are there"


@pytest.mark.parametrize(
    "harm",
    [
        "DELETE FROM animal",
        "WITH d AS (DELETE FROM animal RETURNING *) SELECT * FROM d",
        "SELECT 1; DELETE FROM animal",
        "SELECT 1; COMMIT; DROP TABLE animal",
        "COPY animal TO PROGRAM 'true'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT * FROM pg_authid",
        "CREATE TABLE t (a int)",
    ],
)
def test_a_prediction_only_reads_these_tables(
    there: tuple[PostgresEngine, Suite], harm: str
) -> None:
    engine, _ = there
    with pytest.raises(RunError):
        engine.run("zoo", harm, timeout_s=5)
    count = engine.run("zoo", "SELECT COUNT(*) FROM animal", timeout_s=5)
    assert (count.columns, count.rows) == (("count",), ((3,),))


def test_a_query_without_end_is_stopped(there: tuple[PostgresEngine, Suite]) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT MAX(i) FROM n"
    with pytest.raises(QueryTimeoutError, match=r"0\.3 s"):
        there[0].run("zoo", endless, timeout_s=0.3)


def test_worker_processes_have_the_engine_too(
    there: tuple[PostgresEngine, Suite],
) -> None:
    engine, suite = there
    golds = given_predictor(suite, {item.id: item.golds[0] for item in suite.items})
    outcomes = run_suite(suite, golds, engine=engine, workers=1)
    assert all(one.strict for one in outcomes)


def test_everything_is_dropped_after_an_error(zoo: Suite, postgres_url: str) -> None:
    with pytest.raises(KeyboardInterrupt), loaded(postgres_url, zoo):
        raise KeyboardInterrupt
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        left = "SELECT COUNT(*) FROM pg_namespace WHERE nspname LIKE 'sqlcoder%'"
        assert connection.execute(left).fetchone() == (0,)


def test_odd_names_keys_and_values(zoo: Suite, postgres_url: str) -> None:
    with closing(sqlite3.connect(zoo.databases["zoo"])) as connection:
        connection.executescript(
            'CREATE TABLE "Odd ""name" ("a b" INTEGER, "Select" TEXT, d DATE, PRIMARY KEY ("a b"));'
            "INSERT INTO \"Odd \"\"name\" VALUES (NULL, CAST(x'6100' AS TEXT), '2024-02-30'),"
            " (NULL, 7, '2024-01-01');"
        )
    with loaded(postgres_url, zoo) as (engine, _):
        found = engine.run("zoo", 'SELECT "select", d FROM "odd ""name" ORDER BY 1', timeout_s=5)
    assert found.rows == (("7", "2024-01-01"), ("a", "2024-02-30"))


@pytest.mark.parametrize(
    ("declared", "values", "kind"),
    [
        ("INT", [1, None], "bigint"),
        ("INT", [], "bigint"),
        ("TEXT", [1, 2], "bigint"),
        ("INT", [1, ""], "text"),
        ("REAL", [1, 2.5], "double precision"),
        ("DECIMAL(10,2)", [1, 2.5], "numeric"),
        ("DECIMAL(10,2)", [1], "numeric"),
        ("INTEGER", [2**63 - 1], "bigint"),
        ("DATE", ["2024-01-31", None], "date"),
        ("DATE", ["2024-13-31"], "text"),
        ("TEXT", ["2024-01-31"], "text"),
        ("DATETIME", ["2024-01-31 10:00", "2024-01-31 10:00:01.5"], "timestamp"),
        ("BLOB", [b"x"], "bytea"),
        ("BLOB", [b"x", "y"], "text"),
        ("", [None], "text"),
    ],
)
def test_a_columns_type_holds_all_its_values(
    declared: str, values: list[object], kind: str
) -> None:
    assert column_type(declared, values) == kind
