"""Suites in the layouts of sql-eval and Spider, and files that are not quite in them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sqlcoder_magic.errors import OptionError
from sqlcoder_magic.evals.runner import given_predictor, run_suite
from sqlcoder_magic.evals.suites import Suite, open_suite
from sqlcoder_magic.types import ForeignKey, Question

HEAD = "db_name,query_category,query,question,instructions\n"
ROWS = (
    'zoo,group_by,"SELECT {h.id, h.name}, COUNT(*) FROM animal a JOIN house h ON h.id = '
    'a.house_id GROUP BY {};",How many animals live in each house?,\n'
    "zoo,instruct,SELECT name FROM animal WHERE name ILIKE 'l%'; SELECT id FROM animal WHERE "
    'name ILIKE \'l%\',"Which animals begin with ""l""?",Match without case\n'
)


@pytest.fixture
def defog(zoo_file: Path) -> Path:
    path = zoo_file.parent / "questions_gen_postgres.csv"
    path.write_text(HEAD + ROWS)
    return path


def scored(suite: Suite, *drafts: str) -> list[bool]:
    ids = [item.id for item in suite.items]
    given = given_predictor(suite, dict(zip(ids, drafts, strict=True)))
    return [one.defog for one in run_suite(suite, given)]


def test_sql_evals_columns_alternatives_and_instructions(defog: Path) -> None:
    suite = open_suite(str(defog), str(defog.parent / "dev_databases"))
    grouped, instructed = suite.items
    assert (suite.name, suite.check) == ("questions_gen_postgres", False)
    assert (grouped.id, grouped.category, grouped.hardness) == ("zoo-0000", "group_by", "medium")
    assert len(grouped.golds_postgres) == 3, "id, name, and both"
    assert grouped.golds_postgres[0].startswith("SELECT h.id, COUNT(*)")
    assert instructed.instructions == "Match without case"
    assert instructed.question == 'Which animals begin with "l"?'
    assert all("ILIKE" not in sql for sql in instructed.golds), "translated for SQLite"
    assert [table.name for table in suite.schemas["zoo"].tables] == ["house", "animal"]


def test_any_alternative_of_sql_eval_is_right(defog: Path) -> None:
    suite = open_suite(str(defog), str(defog.parent / "dev_databases"))
    counted = "FROM animal a JOIN house h ON h.id = a.house_id GROUP BY h.id, h.name"
    assert scored(suite, f"SELECT h.name, COUNT(*) {counted}", "SELECT id FROM animal LIMIT 1") == [
        True,
        True,
    ]
    assert scored(suite, f"SELECT COUNT(*), h.id, h.name {counted}", "SELECT 2") == [True, False]


def test_the_instructions_reach_the_model(defog: Path) -> None:
    suite = open_suite(str(defog), str(defog.parent / "dev_databases"))
    asked: list[Question] = []
    inner = given_predictor(suite, {item.id: "SELECT 1" for item in suite.items})

    def predict(question: Question, schema: object) -> object:
        asked.append(question)
        return inner(question, schema)  # type: ignore[arg-type]

    run_suite(suite, predict)  # type: ignore[arg-type]
    assert [question.instructions for question in asked] == ["", "Match without case"]


def test_golds_in_sqlites_dialect(defog: Path) -> None:
    defog.write_text(
        "db_name,db_type,query_category,query,question\n"
        "zoo,sqlite,where,SELECT name FROM animal WHERE weight > 9.5e1;,Which are heavy?\n"
    )
    (item,) = open_suite(str(defog), str(defog.parent / "dev_databases")).items
    assert item.golds == ("SELECT name FROM animal WHERE weight > 9.5e1",)
    assert item.golds_postgres == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", None),
        ("a,b\n1,2\n", "KeyError"),
        (HEAD + "zoo,where\n", "NoneType"),
        (HEAD.replace("\n", ",db_type\n") + "zoo,where,SELECT 1,Q?,,tsql\n", "written for tsql"),
        (HEAD + "nowhere,where,SELECT 1,Q?,\n", r"nowhere\.sqlite"),
    ],
)
def test_a_csv_that_is_not_quite(defog: Path, content: str, message: str | None) -> None:
    defog.write_text(content)
    if message is None:
        assert open_suite(str(defog)).items == ()
        return
    with pytest.raises(OptionError, match=message):
        open_suite(str(defog), str(defog.parent / "dev_databases"))


# ---------------------------------------------------------------- Spider

TABLES = [
    {
        "db_id": "zoo",
        "table_names_original": ["House", "animal"],
        "column_names_original": [
            [-1, "*"],
            [0, "ID"],
            [0, "name"],
            [1, "id"],
            [1, "name"],
            [1, "weight"],
            [1, "house_id"],
        ],
        "column_types": ["text", "number", "text", "number", "text", "number", "number"],
        "primary_keys": [1, [3]],
        "foreign_keys": [[6, 1]],
    }
]


@pytest.fixture
def spider(zoo_file: Path) -> Path:
    """dev.json, tables.json, database/zoo/zoo.sqlite."""
    folder = zoo_file.parent / "spider"
    (folder / "database" / "zoo").mkdir(parents=True)
    shutil.copy(zoo_file.parent / "dev_databases" / "zoo.sqlite", folder / "database" / "zoo")
    (folder / "tables.json").write_text(json.dumps(TABLES))
    questions = [
        {"db_id": "zoo", "question": "How many animals?", "query": "SELECT count(*) FROM animal"},
        {"db_id": "zoo", "question": "Heaviest?", "query": "SELECT max(weight) FROM Animal ;"},
    ]
    (folder / "dev.json").write_text(json.dumps(questions))
    return folder / "dev.json"


def test_spiders_files(spider: Path) -> None:
    suite = open_suite(str(spider))
    assert [item.id for item in suite.items] == ["zoo-0000", "zoo-0001"]
    assert suite.items[1].golds == ("SELECT max(weight) FROM Animal",)
    assert [item.hardness for item in suite.items] == ["easy", "easy"]
    assert scored(suite, *(item.golds[0] for item in suite.items)) == [True, True]
    assert scored(suite, "SELECT 0", "SELECT 0") == [False, False]


def test_keys_that_the_database_does_not_declare_come_from_tables_json(spider: Path) -> None:
    house, animal = open_suite(str(spider)).schemas["zoo"].tables
    assert house.primary_key == animal.primary_key == ("id",)
    assert animal.foreign_keys == (ForeignKey(("house_id",), "house", ("id",)),)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("dev.json", "[", "not in the layout of Spider"),
        ("dev.json", '[{"db_id": "zoo"}]', "not in the layout of Spider: KeyError"),
        ("tables.json", "[]", "not in the layout of Spider: KeyError"),
        ("tables.json", '[{"db_id": "zoo"}]', "tables.json is not in the layout"),
    ],
)
def test_a_spider_that_is_not_quite(spider: Path, name: str, content: str, message: str) -> None:
    (spider.parent / name).write_text(content)
    with pytest.raises(OptionError, match=message):
        open_suite(str(spider))
