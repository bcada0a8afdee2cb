"""A suite of four questions over one small database, as a file and as a value."""

from __future__ import annotations

import json
import lzma
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sqlcoder_magic.evals.suites import Suite, file_suite

QUESTIONS: list[dict[str, Any]] = [
    {
        "db": "zoo",
        "question": "How many animals are there?",
        "sql": "SELECT COUNT(*) FROM animal",
    },
    {
        "db": "zoo",
        "question": "List the names and weights of the animals, the heaviest first.",
        "sql": "SELECT name, weight FROM animal ORDER BY weight DESC NULLS FIRST",
        "sql_sqlite": "SELECT name, weight FROM animal ORDER BY weight DESC",
    },
    {
        "db": "zoo",
        "question": "How many animals live in each house?",
        "sql": "SELECT h.name, COUNT(*) FROM animal a JOIN house h ON h.id = a.house_id GROUP BY 1",
    },
    {
        "db": "zoo",
        "question": "Which animals are heavier than the average?",
        "sql": "SELECT name FROM animal WHERE weight > (SELECT AVG(weight) FROM animal)",
    },
]
SCHEMA = {
    "tables": [
        {
            "name": "house",
            "columns": [
                {"name": "id", "type": "INT", "primary_key": 1, "samples": []},
                {"name": "name", "type": "TEXT", "primary_key": 0, "samples": ["North", "South"]},
            ],
        },
        {
            "name": "animal",
            "columns": [
                {"name": "id", "type": "INT", "primary_key": 1, "samples": []},
                {"name": "name", "type": "TEXT", "primary_key": 0, "samples": []},
                {"name": "weight", "type": "REAL", "primary_key": 0, "samples": []},
                {"name": "house_id", "type": "INT", "primary_key": 0, "samples": []},
            ],
        },
    ],
    "joins": [["animal", "house_id", "house", "id"]],
}


@pytest.fixture
def zoo_file(tmp_path: Path) -> Path:
    """`zoo.json.xz` beside `dev_databases/zoo.sqlite`."""
    folder = tmp_path / "dev_databases"
    folder.mkdir()
    with closing(sqlite3.connect(folder / "zoo.sqlite")) as connection:
        connection.executescript(
            "CREATE TABLE house (id INT PRIMARY KEY, name TEXT);"
            "CREATE TABLE animal (id INT PRIMARY KEY, name TEXT, weight REAL, house_id INT);"
            "INSERT INTO house VALUES (1, 'North'), (2, 'South');"
            "INSERT INTO animal VALUES (1, 'Lion', 190, 1), (2, 'Owl', 2, 1), (3, 'Bear', 300, 2);"
        )
    path = tmp_path / "zoo.json.xz"
    data = {"schemas": {"zoo": SCHEMA}, "questions": QUESTIONS}
    path.write_bytes(lzma.compress(json.dumps(data).encode()))
    return path


@pytest.fixture
def zoo(zoo_file: Path) -> Suite:
    return file_suite(zoo_file, zoo_file.parent / "dev_databases")
