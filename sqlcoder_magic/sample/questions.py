"""Questions about the sample databases, with their known answers.

The questions lie in `questions.json`, one a JSON object; they are for measuring and for the
demo, never for training. `sql` is gold in PostgreSQL's dialect, as Defog writes its own;
`sql_sqlite` is there where SQLite spells it differently. A list holds alternatives: readings
of the question that are right as well.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlcoder_magic.sample.build import database_path
from sqlcoder_magic.sample.clinic import CLINIC
from sqlcoder_magic.sample.compare import Result, covers, order_counts, orders_rows
from sqlcoder_magic.sample.shop import SHOP

CATEGORIES = ("group_by", "order_by", "ratio", "table_join", "where", "date")
_DATABASES = {database.name: database for database in (SHOP, CLINIC)}


@dataclass(frozen=True)
class SampleQuestion:
    """A question about the database `db` ("shop" or "clinic") and its gold SQL.

    `category` is one of CATEGORIES, `hardness` easy, medium or hard. `sql` and `sql_sqlite`
    hold the same alternatives in PostgreSQL's and in SQLite's dialect.
    """

    id: str
    db: str
    category: str
    hardness: str
    question: str
    sql: tuple[str, ...]
    sql_sqlite: tuple[str, ...]


def _question(entry: dict[str, Any]) -> SampleQuestion:
    sql = _alternatives(entry.pop("sql"))
    sqlite = _alternatives(entry.pop("sql_sqlite", sql))
    return SampleQuestion(sql=sql, sql_sqlite=sqlite, **entry)


def _alternatives(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _read() -> tuple[SampleQuestion, ...]:
    text = Path(__file__).with_name("questions.json").read_text("utf-8")
    return tuple(_question(entry) for entry in json.loads(text))


QUESTIONS = _read()
# Three easy questions about the shop and a hard one, for showing what the thing does.
DEMO_QUESTIONS = tuple(
    next(question for question in QUESTIONS if question.id == name)
    for name in ("shop-where-1", "shop-order_by-1", "shop-table_join-3", "shop-table_join-6")
)


def path_of(question: SampleQuestion) -> Path:
    """The SQLite file that the question is about, built if it is not there yet."""
    return database_path(_DATABASES[question.db])


def gold_results(question: SampleQuestion) -> tuple[Result, ...]:
    """What each alternative of the gold returns on SQLite."""
    with closing(sqlite3.connect(f"{path_of(question).as_uri()}?mode=ro", uri=True)) as connection:
        return tuple(_run(connection, sql) for sql in question.sql_sqlite)


def _run(connection: sqlite3.Connection, sql: str) -> Result:
    cursor = connection.execute(sql)
    return Result(tuple(name for name, *_ in cursor.description), tuple(cursor.fetchall()))


def is_right(
    question: SampleQuestion, columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> bool:
    """True if these rows answer the question, by Defog's rule (see `compare`)."""
    found = Result(tuple(columns), tuple(tuple(row) for row in rows))
    order = order_counts(question.category, question.question)
    return any(
        covers(gold, found, ordered=order and orders_rows(sql))
        for gold, sql in zip(gold_results(question), question.sql_sqlite, strict=True)
    )
