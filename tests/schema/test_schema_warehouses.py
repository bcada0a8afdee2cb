"""The warehouses' readers against rows of the documented layout: none of these engines runs here.

What this holds up: each statement parses in its dialect, they are few, their rows become a
schema, and what a server refuses is a note or is read by the inspector.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import sqlglot
from schema_helpers import column, table

from sqlcoder_magic.connection import Session
from sqlcoder_magic.schema import catalogues, inspector
from sqlcoder_magic.schema.catalogues import Catalogue
from sqlcoder_magic.schema.found import Found
from sqlcoder_magic.schema.reading import _reader_for
from sqlcoder_magic.schema.warehouses import CATALOGUES
from sqlcoder_magic.types import ForeignKey

DIALECTS = {"mssql": "tsql", "trino": "trino"}  # SQLAlchemy's name -> sqlglot's, where they differ

TABLES = [
    ("shop", "big", "view", None, None),
    ("shop", "customers", "table", "who buys", 7),
    ("shop", "lines", "table", None, -1),
    ("shop", "orders", "table", "", None),
    ("far", "customers", "materialized view", None, "12"),
]
COLUMNS = [
    ("shop", "big", "name", "TEXT", "YES", None, "NEVER"),
    ("shop", "customers", "id", "NUMBER(38,0)", "NO", "the number", "NO"),
    ("shop", "customers", "mood", "ENUM('sad', 'ok')", 1, None, 0),
    ("shop", "customers", "twice", "INT", True, None, "ALWAYS"),
    ("shop", "lines", "y", "INT", "Y", None, False),
    ("shop", "lines", "n", "INT", "Y", None, False),
    ("shop", "orders", "year", "INT", 0, None, None),
    ("shop", "orders", "no", "INT", 0, None, None),
    ("shop", "forgotten", "no", "INT", 0, None, None),
    ("far", "customers", "id", "INT", 0, None, None),
]
KEYS = [
    ("shop", "customers", "pk", "YES", "id"),
    ("shop", "customers", "u", 0, "mood"),
    ("shop", "customers", "u", 0, "twice"),
    ("shop", "orders", "pk", True, "year"),
    ("shop", "orders", "pk", True, "no"),
]
REFERENCES = [
    ("shop", "lines", "fk", "y", "shop", "orders", "year"),
    ("shop", "lines", "fk", "n", "shop", "orders", "no"),
    ("shop", "lines", "elsewhere", "n", "shop", "not there", "no"),
]
SHOWN = {  # in the order that Snowflake's documentation gives
    "SHOW PRIMARY KEYS": [
        ("now", "db", "shop", "orders", "no", 2, "pk", "false", None),
        ("now", "db", "shop", "orders", "year", 1, "pk", "false", None),
        ("now", "db", "shop", "customers", "id", 1, "pk", "false", None),
    ],
    "SHOW UNIQUE KEYS": [
        ("now", "db", "shop", "customers", "twice", 2, "u", "false", None),
        ("now", "db", "shop", "customers", "mood", 1, "u", "false", None),
    ],
    "SHOW IMPORTED KEYS": [
        ("now", "db", "shop", "orders", "no", "db", "shop", "lines", "n", 2, "", "", "fk", "pk"),
        ("now", "db", "shop", "orders", "year", "db", "shop", "lines", "y", 1, "", "", "fk", "pk"),
    ],
}


class Recording(Session):
    """Answers the statements of one catalogue, and keeps what was sent; some are refused."""

    def __init__(self, catalogue: Catalogue, refused: tuple[str, ...] = ()) -> None:
        dialect = SimpleNamespace(dataset_id="shop")
        alchemy: Any = SimpleNamespace(dialect=dialect)
        self.rolled_back = 0
        super().__init__(SimpleNamespace(rollback=self._rollback), owned=True, alchemy=alchemy)
        self.sent: list[str] = []
        references = catalogue.references
        answers = [
            (catalogue.here, [("shop",)]),
            (catalogue.tables, TABLES),
            (catalogue.columns, COLUMNS),
            *[(statement.sql, KEYS) for statement in catalogue.keys],
            *([(references.sql, REFERENCES)] if references else []),
            (catalogue.sizes, [("shop", "orders", 30), ("shop", "nowhere", 1)]),
            (catalogue.fingerprint, [("shop", 1)]),
        ]
        self.answers = {sql.replace("{place}", "`shop`"): rows for sql, rows in answers}
        self.refused = refused

    def _rollback(self) -> None:
        self.rolled_back += 1

    def fetch(self, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        self.sent.append(sql)
        if any(part in sql for part in self.refused):
            raise PermissionError("not for you")
        shown = [rows for start, rows in SHOWN.items() if sql.startswith(start)]
        return shown[0] if shown else self.answers[sql]


@pytest.mark.parametrize("engine", CATALOGUES)
def test_rows_become_a_schema(engine: str) -> None:
    session = Recording(CATALOGUES[engine])
    schema = _reader_for(engine).read(session).to_schema(engine)
    assert len(session.sent) <= 6
    assert schema.notes == ()
    assert [t.full_name for t in schema.tables] == [
        *("big", "customers", "lines", "orders", "far.customers")
    ]
    assert table(schema, "customers").comment == "who buys"
    assert table(schema, "customers").rows == 7
    assert table(schema, "lines").rows is None
    assert table(schema, "big").kind == "view"
    assert table(schema, "far.customers").kind == "materialized view"
    assert table(schema, "far.customers").rows == 12
    assert column(schema, "customers", "id").comment == "the number"
    assert not column(schema, "customers", "id").nullable
    assert column(schema, "customers", "mood").samples == ("sad", "ok")
    assert column(schema, "customers", "mood").nullable
    assert [c.name for c in table(schema, "customers").columns if c.generated] == ["twice"]
    if CATALOGUES[engine].keys:
        assert table(schema, "customers").primary_key == ("id",)
        assert table(schema, "customers").unique_keys == (("mood", "twice"),)
        assert table(schema, "orders").primary_key == ("year", "no")
        assert table(schema, "lines").foreign_keys == (
            ForeignKey(("y", "n"), "orders", ("year", "no")),
        )
    assert table(schema, "orders").rows == (30 if engine == "redshift" else None)


@pytest.mark.parametrize("engine", CATALOGUES)
def test_the_statements_are_of_their_dialect_and_only_read(engine: str) -> None:
    session = Recording(CATALOGUES[engine])
    reader = _reader_for(engine)
    reader.read(session)
    if reader.fingerprint:
        assert reader.fingerprint(session) == "[('shop', 1)]"
    for sql in session.sent:
        (parsed,) = sqlglot.parse(sql, read=DIALECTS.get(engine, engine))
        assert parsed is not None
        assert parsed.key == ("show" if sql.startswith("SHOW") else "select")


@pytest.mark.parametrize("engine", ["mssql", "oracle", "redshift", "databricks"])
def test_keys_that_are_refused_are_a_note(engine: str) -> None:
    catalogue = CATALOGUES[engine]
    assert catalogue.references is not None
    refused = (catalogue.keys[0].sql, catalogue.references.sql)
    session = Recording(catalogue, refused=refused)
    schema = _reader_for(engine).read(session).to_schema(engine)
    assert len(schema.tables) == 5
    assert schema.notes == (
        "The keys could not be read (PermissionError).",
        "The foreign keys could not be read (PermissionError).",
    )
    assert session.rolled_back == 2


@pytest.mark.parametrize("engine", CATALOGUES)
def test_the_inspector_reads_where_the_catalogue_does_not_answer(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Found()
    monkeypatch.setattr(inspector, "read", lambda _: asked)
    session = Recording(CATALOGUES[engine], refused=("SELECT",))
    assert _reader_for(engine).read(session) is asked


def test_bigquery_without_a_dataset_is_read_by_the_inspector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = Found()
    monkeypatch.setattr(inspector, "read", lambda _: asked)
    session = Recording(CATALOGUES["bigquery"])
    session.alchemy.dialect.dataset_id = None  # type: ignore[union-attr]
    assert catalogues.read(session, CATALOGUES["bigquery"]) is asked
    assert session.sent == []


def test_a_connection_of_the_users_is_not_rolled_back() -> None:
    session = Recording(CATALOGUES["mssql"], refused=("sys.indexes",))
    session.owned = False
    assert _reader_for("mssql").read(session).notes
    assert session.rolled_back == 0
