"""Every gold query of a development set passes the check; run only where its path is given.

SQLCODER_MAGIC_DEV_DATA is the path of a `text2sql_*.json.xz`: {"schemas": {db: {"tables": [...]}},
"questions": [{"db", "sql", "sql_sqlite"}]}.
"""

from __future__ import annotations

import json
import lzma
import os
from pathlib import Path

import pytest

from sqlcoder_magic.check import check_sql, translate
from sqlcoder_magic.errors import SQLRejected
from sqlcoder_magic.types import Column, Schema, Table

PATH = os.environ.get("SQLCODER_MAGIC_DEV_DATA", "")
pytestmark = pytest.mark.skipif(
    not PATH, reason="SQLCODER_MAGIC_DEV_DATA is not set: no development questions to check"
)


def _schemas(data: dict, dialect: str) -> dict[str, Schema]:
    def spelled(name: str) -> str:
        # The questions leave names unquoted, which PostgreSQL reads in lower case.
        return name.lower() if dialect == "postgres" else name

    def table(raw: dict) -> Table:
        columns = tuple(Column(spelled(c["name"]), c["type"], True) for c in raw["columns"])
        return Table(spelled(raw["name"]), "", columns, (), ())

    return {
        name: Schema(dialect, tuple(table(raw) for raw in schema["tables"]))
        for name, schema in data["schemas"].items()
    }


@pytest.mark.parametrize(
    ("key", "dialect"), [("sql_sqlite", "sqlite"), ("sql", "postgres"), ("sql", "sqlite")]
)
def test_every_gold_query_passes(key: str, dialect: str) -> None:
    data = json.loads(lzma.decompress(Path(PATH).read_bytes()))
    schemas = _schemas(data, dialect)
    refused = []
    for question in data["questions"]:
        sql = question[key]
        if key == "sql":
            sql, _ = translate(sql, write=dialect)
        try:
            check_sql(sql, schemas[question["db"]])
        except SQLRejected as error:
            refused.append(f"{error.rule}: {sql}\n{error}")
    assert data["questions"]
    assert refused == []
