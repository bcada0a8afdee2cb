"""Suites: the project's own, a file's, and files that are not one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sqlcoder_magic.errors import OptionError
from sqlcoder_magic.evals.suites import Suite, file_suite, open_suite
from sqlcoder_magic.sample import QUESTIONS
from sqlcoder_magic.types import Column, ForeignKey


@pytest.mark.parametrize(
    ("name", "databases"),
    [("sample", {"shop"}), ("clinic", {"clinic"}), ("own", {"shop", "clinic"})],
)
def test_own_suites(name: str, databases: set[str]) -> None:
    suite = open_suite(name)
    assert set(suite.databases) == set(suite.schemas) == databases
    assert len(suite.items) == sum(question.db in databases for question in QUESTIONS)
    assert suite.check
    for schema in suite.schemas.values():
        assert schema.dialect == "sqlite"
        assert all(column.comment for table in schema.tables for column in table.columns)
        assert any(table.foreign_keys for table in schema.tables)


def test_a_file(zoo: Suite) -> None:
    assert zoo.name == "zoo"
    assert not zoo.check
    assert [item.id for item in zoo.items] == ["zoo-0000", "zoo-0001", "zoo-0002", "zoo-0003"]
    assert [item.category for item in zoo.items] == ["other", "order_by", "table_join", "nested"]
    assert zoo.items[1].golds == ("SELECT name, weight FROM animal ORDER BY weight DESC",)
    house, animal = zoo.schemas["zoo"].tables
    assert house.columns[1] == Column("name", "TEXT", True, samples=("North", "South"))
    assert house.primary_key == ("id",)
    assert animal.foreign_keys == (ForeignKey(("house_id",), "house", ("id",)),)


def test_an_uncompressed_file_with_categories(zoo_file: Path, tmp_path: Path) -> None:
    question = {
        "db": "zoo",
        "question": "How many?",
        "sql": "SELECT COUNT(*) FROM animal; SELECT 3.0",
        "category": "instruct",
        "hardness": "hard",
    }
    schema = {"tables": [{"name": "animal", "columns": [{"name": "id", "type": "INT"}]}]}
    path = tmp_path / "plain.json"
    path.write_text(json.dumps({"schemas": {"zoo": schema}, "questions": [question]}))
    (item,) = open_suite(str(path)).items
    assert (item.category, item.hardness) == ("instruct", "hard")
    assert item.golds == ("SELECT COUNT(*) FROM animal", "SELECT 3.0")


def test_the_first_few_are_spread_over_the_suite(zoo: Suite) -> None:
    assert [item.id for item in zoo.first(2).items] == ["zoo-0000", "zoo-0002"]
    assert zoo.first(None) is zoo
    assert zoo.first(99) is zoo


def test_an_unknown_suite() -> None:
    with pytest.raises(OptionError, match="no suite and no file called 'spyder'") as caught:
        open_suite("spyder")
    assert "sample, clinic, own" in caught.value.fix


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"questions": [{}], "schemas": {}}', b"\xff\xfe", b'{"questions": 3}'],
)
@pytest.mark.parametrize("suffix", ["json", "json.xz"])
def test_a_file_that_is_not_a_suite(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(content)
    with pytest.raises(OptionError, match="is not a suite"):
        file_suite(path, tmp_path)


def test_databases_that_are_missing(zoo_file: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"zoo\.sqlite") as caught:
        open_suite(str(zoo_file), str(tmp_path / "elsewhere"))
    assert "--databases" in caught.value.fix
