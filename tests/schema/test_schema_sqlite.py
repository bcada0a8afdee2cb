"""SQLite's reader on real databases."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from schema_helpers import column, counted, names, table
from sqlalchemy import Engine, text
from sqlalchemy.pool import StaticPool

from sqlcoder_magic.connection import open_database
from sqlcoder_magic.errors import DatabaseConnectionError, OptionError, SchemaError
from sqlcoder_magic.schema import inspector, read_schema
from sqlcoder_magic.types import ForeignKey

Make = Callable[[str], Engine]

SHOP = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL, note);
CREATE TABLE lines (
    order_id INT, "no" INT, customer INTEGER REFERENCES CUSTOMERS,
    total DECIMAL(8, 2) GENERATED ALWAYS AS (order_id * 2) STORED,
    twice INT AS ("no" * 2),
    PRIMARY KEY ("no", order_id)) WITHOUT ROWID;
CREATE TABLE parts (o INT, n INT, FOREIGN KEY (N, o) REFERENCES lines);
CREATE VIEW big AS SELECT id, name, upper(name) AS loud FROM customers;
"""


def test_columns_types_keys_and_views(sqlite_engine: Make) -> None:
    schema = read_schema(sqlite_engine(SHOP))
    assert schema.dialect == "sqlite"
    assert names(schema) == ["customers", "lines", "parts", "big"]
    customers = table(schema, "customers")
    assert [(c.name, c.type, c.nullable) for c in customers.columns] == [
        ("id", "INTEGER", False),
        ("name", "VARCHAR(20)", False),
        ("note", "", True),
    ]
    assert customers.primary_key == ("id",)
    assert [c.name for c in table(schema, "big").columns] == ["id", "name", "loud"]


def test_compound_keys_stay_whole_and_in_their_order(sqlite_engine: Make) -> None:
    schema = read_schema(sqlite_engine(SHOP))
    lines = table(schema, "lines")
    assert lines.primary_key == ("no", "order_id")
    assert lines.foreign_keys == (ForeignKey(("customer",), "customers", ("id",)),)
    assert table(schema, "parts").foreign_keys == (
        ForeignKey(("n", "o"), "lines", ("no", "order_id")),
    )


def test_generated_columns_are_there(sqlite_engine: Make) -> None:
    schema = read_schema(sqlite_engine(SHOP))
    assert column(schema, "lines", "total").type == "DECIMAL(8, 2)"
    assert column(schema, "lines", "twice").type == "INT"


def test_kinds_unique_keys_generated_columns_and_estimates(sqlite_engine: Make) -> None:
    schema = read_schema(
        sqlite_engine(
            f"""{SHOP} CREATE TABLE u (a INT UNIQUE, b INT, c INT, "d e" TEXT, UNIQUE (b, c));
            CREATE UNIQUE INDEX made ON u ("d e", a); CREATE INDEX plain ON u (c);
            CREATE UNIQUE INDEX few ON u (c) WHERE a > 1; CREATE UNIQUE INDEX terms ON u (b + 1);
            INSERT INTO u VALUES (1, 1, 1, 'x'), (2, 2, 2, 'y'); CREATE TABLE empty (a INT);
            INSERT INTO customers (name) VALUES ('Ada'); ANALYZE"""
        )
    )
    assert table(schema, "u").unique_keys == (("a",), ("b", "c"), ("d e", "a"))
    assert table(schema, "lines").unique_keys == ()
    assert [c.name for c in table(schema, "lines").columns if c.generated] == ["total", "twice"]
    assert {t.name: t.kind for t in schema.tables if t.kind != "table"} == {"big": "view"}
    assert table(schema, "u").rows == 2
    assert table(schema, "customers").rows == 1
    assert table(schema, "big").rows is None
    assert "sqlite_stat1" not in names(schema)


def test_two_foreign_keys_keep_the_order_of_the_ddl(sqlite_engine: Make) -> None:
    schema = read_schema(
        sqlite_engine(
            "CREATE TABLE a (i INT PRIMARY KEY); CREATE TABLE b (i INT PRIMARY KEY);"
            "CREATE TABLE c (x REFERENCES b, y REFERENCES a, z REFERENCES gone);"
        )
    )
    assert [key.other_table for key in table(schema, "c").foreign_keys] == ["b", "a"]


def test_a_broken_view_costs_a_note_not_the_rest(sqlite_engine: Make) -> None:
    schema = read_schema(
        sqlite_engine(
            SHOP + "CREATE VIEW broken AS SELECT nope FROM nowhere;"
            "CREATE VIEW fine AS SELECT 1 AS one;"
        )
    )
    assert names(schema) == ["customers", "lines", "parts", "big", "fine"]
    assert table(schema, "lines").primary_key == ("no", "order_id")
    assert schema.notes == ("1 view left out, because SQLite cannot read them: broken.",)


def test_internal_and_shadow_tables_are_left_out(sqlite_engine: Make) -> None:
    schema = read_schema(
        sqlite_engine(
            "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, x UNIQUE);"
            "CREATE VIRTUAL TABLE documents USING fts5(title, body);"
        )
    )
    assert names(schema) == ["t", "documents"]
    assert [c.name for c in table(schema, "documents").columns] == ["title", "body"]


@pytest.mark.parametrize(
    "name",
    [
        'with "quotes"',
        "it's",
        "two words",
        "select",
        "😀 emoji",
        "line\nbreak",
        "semi;colon--",
        "100%s {x}",
        "back`tick[x]",
        "dot.ted",
        "ünïcode",
    ],
)
def test_odd_names_come_through_unchanged(sqlite_engine: Make, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    engine = sqlite_engine(
        f"CREATE TABLE {quoted} ({quoted} TEXT PRIMARY KEY);"
        f"CREATE TABLE other (x TEXT REFERENCES {quoted});"
        f"INSERT INTO {quoted} VALUES ('v')"
    )
    schema = read_schema(engine, samples_per_column=1)
    assert schema.tables[0].full_name == name
    assert schema.tables[0].columns[0].name == name
    assert schema.tables[0].columns[0].samples == ("v",)
    assert table(schema, "other").foreign_keys == (ForeignKey(("x",), name, (name,)),)
    assert read_schema(engine, tables=[name]).tables[0].name == name


def test_attached_and_temporary_databases(engines: Callable[..., Engine]) -> None:
    engine = engines("sqlite://", poolclass=StaticPool)
    with engine.connect() as connection:
        connection.connection.driver_connection.executescript(
            """CREATE TABLE t (a INT); CREATE TABLE both (a INT);
            ATTACH ':memory:' AS "other ""one"; CREATE TABLE "other ""one".t (b INT PRIMARY KEY);
            CREATE TABLE "other ""one".u (b INT REFERENCES T);
            CREATE TEMP TABLE scratch (c INT); CREATE TEMP TABLE "BOTH" (d INT)"""
        )
    schema = read_schema(engine)
    assert {(t.namespace, t.name) for t in schema.tables} == {
        ("", "t"),
        ("main", "both"),
        ("", "BOTH"),
        ("", "scratch"),
        ('other "one', "t"),
        ('other "one', "u"),
    }
    assert table(schema, 'other "one.u').foreign_keys == (
        ForeignKey(("b",), 'other "one.t', ("b",)),
    )


def test_the_inspector_reads_the_same(sqlite_engine: Make) -> None:
    engine = sqlite_engine(
        "CREATE TABLE a (id INTEGER PRIMARY KEY, n VARCHAR(20) NOT NULL);"
        "CREATE TABLE b (x INTEGER, y INTEGER REFERENCES a (id), PRIMARY KEY (x, y));"
        "CREATE VIEW v AS SELECT id FROM a;"
    )
    database = open_database(engine)
    with database.session() as session:
        other = inspector.read(session).to_schema("sqlite")
    ours = read_schema(engine)
    for mine in ours.tables:
        theirs = table(other, mine.full_name)
        assert [(c.name, c.type) for c in mine.columns] == [
            (c.name, c.type) for c in theirs.columns
        ]
        assert (mine.primary_key, mine.foreign_keys) == (theirs.primary_key, theirs.foreign_keys)
    assert len(other.tables) == len(ours.tables)


def test_ten_thousand_tables_take_few_statements(
    sqlite_engine: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    ddl = "BEGIN;" + "".join(
        f"CREATE TABLE t{i} (id INTEGER PRIMARY KEY, before INT REFERENCES t{max(i - 1, 0)});"
        for i in range(10_000)
    )
    engine = sqlite_engine(ddl + "COMMIT;")
    with counted(monkeypatch) as sent:
        schema = read_schema(engine)
    assert len(schema.tables) == 10_000
    assert schema.tables[9_999].foreign_keys == (ForeignKey(("before",), "t9998", ("id",)),)
    assert len(sent) <= 10  # five of them look whether anything changed
    with counted(monkeypatch) as sent:
        assert read_schema(engine) is schema
    assert len(sent) <= 3


def test_one_table_of_many_columns(sqlite_engine: Make) -> None:
    engine = sqlite_engine(f"CREATE TABLE wide ({', '.join(f'c{i} TEXT' for i in range(1600))})")
    schema = read_schema(engine, samples_per_column=2)
    assert len(schema.tables[0].columns) == 1600
    assert schema.notes == ()


def test_the_users_session_stays_as_it_was(sqlite_engine: Make) -> None:
    engine = sqlite_engine(SHOP)
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        raw.row_factory = lambda cursor, row: {"everything": row}
        raw.text_factory = bytes
        connection.execute(text("INSERT INTO customers VALUES (1, 'Ada', NULL)"))
        assert raw.in_transaction
        schema = read_schema(connection, samples_per_column=1)
        assert column(schema, "customers", "name").samples == ("Ada",)
        assert raw.in_transaction
        assert raw.text_factory is bytes
        assert raw.execute("SELECT 1").fetchone() == {"everything": (1,)}
        raw.row_factory, raw.text_factory = None, str
        connection.rollback()
        assert connection.execute(text("SELECT count(*) FROM customers")).scalar() == 0


def test_an_open_transaction_on_a_static_pool_survives(engines: Callable[..., Engine]) -> None:
    engine = engines("sqlite://", poolclass=StaticPool)
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE t (a TEXT)"))
        connection.commit()
        connection.execute(text("INSERT INTO t VALUES ('x')"))
        read_schema(engine, samples_per_column=1)
        assert connection.connection.driver_connection.in_transaction
        connection.commit()
        assert connection.execute(text("SELECT count(*) FROM t")).scalar() == 1


def test_no_tables_is_a_sentence_with_a_fix(sqlite_engine: Make) -> None:
    with pytest.raises(SchemaError, match="no tables") as caught:
        read_schema(sqlite_engine(""))
    assert "sample" in caught.value.fix


def test_a_missing_file_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(DatabaseConnectionError):
        read_schema(f"sqlite:///{tmp_path}/nothing.db")
    assert not (tmp_path / "nothing.db").exists()


def test_a_file_that_is_no_database_is_a_sentence(
    tmp_path: Path, engines: Callable[..., Engine]
) -> None:
    path = tmp_path / "letter.db"
    path.write_text("Dear customer, " * 100)
    with pytest.raises(SchemaError, match="cannot be read: file is not a database") as caught:
        read_schema(engines(f"sqlite:///{path}"))
    assert caught.value.__context__ is None


def test_broken_utf8_in_a_comment_does_not_stop_reading(
    tmp_path: Path, engines: Callable[..., Engine]
) -> None:
    path = tmp_path / "latin1.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (a TEXT -- caf\N{LATIN SMALL LETTER E WITH ACUTE}\n)")
    connection.execute("PRAGMA writable_schema = on")
    connection.execute(
        "UPDATE sqlite_master SET sql = CAST(? AS TEXT)",
        ["CREATE TABLE t (a TEXT -- café\n)".encode("latin-1")],
    )
    connection.commit()
    connection.close()
    schema = read_schema(engines(f"sqlite:///{path}"))
    assert column(schema, "t", "a").comment == "caf\N{REPLACEMENT CHARACTER}"


def test_too_many_samples_are_refused(sqlite_engine: Make) -> None:
    with pytest.raises(OptionError, match="0, 1, 2 or 3"):
        read_schema(sqlite_engine(SHOP), samples_per_column=4)
