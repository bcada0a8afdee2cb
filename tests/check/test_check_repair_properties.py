"""Repair over many statements: a right one stays, a broken one comes back or is left, none crashes.

The right ones are the golds of the project's own questions, with their databases.
"""

from __future__ import annotations

import json
import lzma
import os
import random
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from check_mutations import mutant
from check_shop import DIALECTS, good_statements, shop
from sqlglot import exp, parse_one

from sqlcoder_magic.check import check_sql, repair, translate
from sqlcoder_magic.errors import SQLRejected
from sqlcoder_magic.sample import QUESTIONS, path_of
from sqlcoder_magic.schema import read_schema
from sqlcoder_magic.types import Column, ForeignKey, Schema, Table

DEV_DATA = os.environ.get("SQLCODER_MAGIC_DEV_DATA", "")
_CHOICE = random.Random(7)


@pytest.fixture(scope="module")
def golds() -> list[tuple[Path, Schema, str]]:
    """(database, its schema, a right statement), for every question and alternative."""
    schemas: dict[Path, Schema] = {}
    found = []
    for question in QUESTIONS:
        path = path_of(question)
        if path not in schemas:
            schemas[path] = read_schema(f"sqlite:///{path}")
        found += [(path, schemas[path], sql) for sql in question.sql_sqlite]
    return found


def rows(path: Path, sql: str) -> list[str]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return sorted(map(repr, connection.execute(sql).fetchall()))


def test_the_golds_of_the_own_questions_stay_to_the_letter(golds) -> None:
    assert len(golds) > 60
    assert [sql for _, schema, sql in golds if repair(sql, schema).sql != sql] == []


# --- one break a statement -----------------------------------------------------------------------


def misspelled(tree: exp.Expr) -> exp.Expr | None:
    """A letter of a column doubled."""
    columns = [c for c in tree.find_all(exp.Column) if not c.is_star and len(c.name) > 4]
    if not columns:
        return None
    column = _CHOICE.choice(columns)
    at = _CHOICE.randrange(1, len(column.name))
    column.set("this", exp.to_identifier(column.name[:at] + column.name[at - 1 :]))
    return tree


def without_underscore(tree: exp.Expr) -> exp.Expr | None:
    """A column in another style: saleDate."""
    columns = [c for c in tree.find_all(exp.Column) if "_" in c.name]
    if not columns:
        return None
    column = _CHOICE.choice(columns)
    first, *others = column.name.split("_")
    column.set("this", exp.to_identifier(first + "".join(word.title() for word in others)))
    return tree


def plural_table(tree: exp.Expr) -> exp.Expr | None:
    """A table in the other number: sale, or saless."""
    table = _CHOICE.choice(list(tree.find_all(exp.Table)))
    if not table.alias:
        return None
    table.set("this", exp.to_identifier(table.name.removesuffix("s")))
    return tree


def wrong_alias(tree: exp.Expr) -> exp.Expr | None:
    """A column outside JOIN conditions, written with another alias of its query."""
    choices = [
        (column, join.this.alias)
        for column in tree.find_all(exp.Column)
        if column.table and column.find_ancestor(exp.Join) is None
        for select in [column.find_ancestor(exp.Select)]
        if select is not None
        for join in select.args.get("joins") or []
        if join.this.alias and join.this.alias != column.table
    ]
    if not choices:
        return None
    column, alias = _CHOICE.choice(choices)
    column.set("table", exp.to_identifier(alias))
    return tree


def dropped_join(tree: exp.Expr) -> exp.Expr | None:
    """The last table of a FROM taken out, its columns left."""
    selects = [s for s in tree.find_all(exp.Select) if len(s.args.get("joins") or []) > 0]
    if not selects:
        return None
    select = _CHOICE.choice(selects)
    if select.args["joins"][-1].side:
        return None
    select.args["joins"].pop()
    return tree


Break = Callable[[exp.Expr], exp.Expr | None]


def broken(
    golds: list[tuple[Path, Schema, str]], how: Break
) -> Iterator[tuple[Path, Schema, str, str]]:
    """(database, schema, gold, gold with one break that the check refuses)."""
    for path, schema, gold in golds:
        for _ in range(2):
            tree = how(parse_one(gold, read="sqlite"))
            if tree is None:
                continue
            draft = tree.sql("sqlite")
            try:
                check_sql(draft, schema)
            except SQLRejected:
                yield path, schema, gold, draft


# How many of the breaks come back with the gold's rows, and how many with others, at most.
@pytest.mark.parametrize(
    ("how", "least", "most_wrong"),
    [
        (misspelled, 0.98, 0.0),
        (without_underscore, 1.0, 0.0),
        (plural_table, 1.0, 0.0),
        (wrong_alias, 0.75, 0.02),
        (dropped_join, 0.95, 0.02),
    ],
)
def test_one_break_is_mended(golds, how: Break, least: float, most_wrong: float) -> None:
    seen = right = wrong = 0
    for path, schema, gold, draft in broken(golds, how):
        mended = repair(draft, schema)
        seen += 1
        assert bool(mended.notes) == (mended.sql != draft)
        if not mended.notes:
            continue
        check_sql(mended.sql, schema)
        same = rows(path, mended.sql) == rows(path, gold)
        right, wrong = right + same, wrong + (not same)
    assert seen > 20
    assert right / seen >= least and wrong / seen <= most_wrong, (right, wrong, seen)


def stuttered(sql: str, choice: random.Random) -> str:
    """The text with a letter of one word doubled."""
    spots = [m.start() for m in re.finditer(r"(?<=[a-z])[a-z](?=[a-z])", sql)]
    at = choice.choice(spots) if spots else 0
    return sql[: at + 1] + sql[at:]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_text_crashes_repair_or_slips_through(dialect: str) -> None:
    """What comes back changed has a note and no lost name; once mended it stays."""
    choice, schema = random.Random(dialect), shop(dialect)
    texts = [mutant(dialect, choice) for _ in range(200)]
    texts += [stuttered(sql, choice) for sql in good_statements(dialect)]
    changed = 0
    for sql in texts:
        mended = repair(sql, schema)
        assert bool(mended.notes) == (mended.sql != sql)
        if not mended.notes:
            continue
        changed += 1
        try:
            check_sql(mended.sql, schema)
        except SQLRejected as error:
            assert error.rule not in ("columns", "parse"), mended
        assert repair(mended.sql, schema).notes == ()
    assert changed > 20


# --- development questions ---------------------------------------------------------------------


def _dev_schema(entry: dict) -> Schema:
    def table(raw: dict) -> Table:
        columns = tuple(
            Column(c["name"], c["type"], True, samples=tuple(c.get("samples", ()))[:3])
            for c in raw["columns"]
        )
        keys = sorted((c["primary_key"], c["name"]) for c in raw["columns"] if c["primary_key"])
        joins = (j for j in entry["joins"] if j[0] == raw["name"])
        return Table(
            raw["name"],
            "",
            columns,
            tuple(name for _, name in keys),
            tuple(ForeignKey((own,), other, (theirs,)) for _, own, other, theirs in joins),
        )

    return Schema("sqlite", tuple(map(table, entry["tables"])))


@pytest.mark.skipif(
    not DEV_DATA, reason="SQLCODER_MAGIC_DEV_DATA is not set: no development questions to check"
)
def test_the_golds_of_the_development_questions_stay() -> None:
    """But for a text whose spelling the data does not have: a fault of the gold."""
    data = json.loads(lzma.decompress(Path(DEV_DATA).read_bytes()))
    schemas = {name: _dev_schema(entry) for name, entry in data["schemas"].items()}
    changed = []
    for question in data["questions"]:
        for sql in (question["sql_sqlite"], translate(question["sql"], write="sqlite")[0]):
            schema = schemas[question["db"]]
            notes = repair(sql, schema).notes
            changed += [sql] if repair(sql, schema, without={"spelling"}).notes else []
            assert len(notes) <= 2
    assert data["questions"] and changed == []
