"""MySQL's reader: on a real MariaDB, and against rows as MySQL documents them.

What the recorded rows hold up: the statements parse as MySQL, are few, and their rows become a
schema.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlglot
from schema_helpers import column, counted, names, table
from sqlalchemy import Engine, make_url, text

from sqlcoder_magic.connection import Session, open_database
from sqlcoder_magic.schema import mysql, read_schema
from sqlcoder_magic.types import ForeignKey

Engines = Callable[..., Engine]

SHOP = """
CREATE TABLE customers (
    id BIGINT UNSIGNED PRIMARY KEY COMMENT 'the number', name VARCHAR(40) NOT NULL,
    email VARCHAR(80) UNIQUE, mood ENUM('sad', 'it''s ok'),
    loud VARCHAR(40) AS (UPPER(name)) STORED, half INT AS (id / 2) VIRTUAL,
    made TIMESTAMP DEFAULT CURRENT_TIMESTAMP) COMMENT 'who buys';
CREATE TABLE orders (year INT, no INT, code INT, part INT, PRIMARY KEY (year, no),
    UNIQUE (code, part));
CREATE TABLE `order lines` (y INT, n INT, FOREIGN KEY (y, n) REFERENCES orders (year, no));
CREATE VIEW named AS SELECT name FROM customers;
INSERT INTO customers (id, name) VALUES (1, 'Ada'), (2, 'Bob');
ANALYZE TABLE customers
"""


@pytest.fixture
def engine(mariadb_fresh_url: str, engines: Engines) -> Engine:
    return engines(mariadb_fresh_url)


def run(engine: Engine, script: str) -> None:
    with engine.begin() as connection:
        for statement in script.split(";"):
            connection.exec_driver_sql(statement.replace("%", "%%"))


def test_everything_is_read_in_few_statements(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(engine, SHOP)
    with counted(monkeypatch) as sent:
        schema = read_schema(engine)
    reading = [sql for sql in sent if sql is not mysql._FINGERPRINT and "SHOW" not in sql]
    assert len(reading) <= 6
    assert schema.notes == ()
    assert names(schema) == ["customers", "named", "order lines", "orders"]
    customers = table(schema, "customers")
    assert customers.comment == "who buys"
    assert customers.primary_key == ("id",)
    assert customers.unique_keys == (("email",),)
    assert customers.rows == 2
    assert customers.kind == "table"
    assert [c.type for c in customers.columns][:2] == ["bigint(20) unsigned", "varchar(40)"]
    assert column(schema, "customers", "id").comment == "the number"
    assert column(schema, "customers", "mood").samples == ("sad", "it's ok")
    assert [c.name for c in customers.columns if c.generated] == ["loud", "half"]
    assert not column(schema, "customers", "name").nullable
    assert table(schema, "named").kind == "view"
    assert table(schema, "named").comment == ""
    assert table(schema, "named").rows is None
    assert table(schema, "orders").unique_keys == (("code", "part"),)
    assert table(schema, "order lines").foreign_keys == (
        ForeignKey(("y", "n"), "orders", ("year", "no")),
    )


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE more (a INT)",
        "DROP TABLE `order lines`",
        "ALTER TABLE orders ADD COLUMN b INT",
        "ALTER TABLE customers DROP COLUMN half",
        "ALTER TABLE customers CHANGE name full_name VARCHAR(40)",
        "ALTER TABLE orders MODIFY part BIGINT",
        "ALTER TABLE orders COMMENT 'new'",
        "ALTER TABLE orders MODIFY part INT COMMENT 'new'",
        "CREATE OR REPLACE VIEW named AS SELECT id, name FROM customers",
        "DROP VIEW named",
        "RENAME TABLE orders TO bills",
        "ALTER TABLE `order lines` DROP FOREIGN KEY `order lines_ibfk_1`",
        "CREATE UNIQUE INDEX parts ON orders (part)",
        "DROP TABLE `order lines`; CREATE TABLE `order lines` (y INT, n INT)",
    ],
)
@pytest.mark.parametrize("quick", [True, False])
def test_changes_are_noticed(
    engine: Engine, change: str, quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(engine, SHOP.replace(", loud VARCHAR(40) AS (UPPER(name)) STORED", "")
        .replace("loud VARCHAR(40) AS (UPPER(name)) STORED, ", ""))  # fmt: skip
    before = read_schema(engine)
    assert read_schema(engine) is before
    if not quick:
        monkeypatch.setattr(mysql, "_STATUS", "SHOW GLOBAL STATUS LIKE 'Threads_running'")
    run(engine, change)
    assert read_schema(engine) != before


def test_asking_again_costs_no_checksum(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    run(engine, SHOP)
    before = read_schema(engine)
    run(engine, "INSERT INTO customers (id, name) VALUES (9, 'x')")
    with counted(monkeypatch) as sent:
        assert read_schema(engine) is before
    assert len(sent) <= 3
    assert mysql._FINGERPRINT not in sent


def test_the_counters_are_not_believed_while_something_runs(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_database(engine).session() as session:
        assert mysql.glance(session) is not None
        for name, value in (("read_only", "ON"), ("wsrep_on", "ON"), ("innodb_read_only", "1")):
            monkeypatch.setattr(mysql, "_SERVER", f"SELECT '{name}', '{value}'")
            assert mysql.glance(session) is None
        monkeypatch.undo()
        busy = f"SELECT * FROM ({_as_rows(session)}) x UNION SELECT 'Threads_running', '2'"
        monkeypatch.setattr(mysql, "_STATUS", busy)
        assert mysql.glance(session) is None
        monkeypatch.setattr(mysql, "_STATUS", busy.replace("'2'", "'1'"))
        assert mysql.glance(session) is not None


def _as_rows(session: Session) -> str:
    counted = [row for row in session.fetch(mysql._STATUS) if row[0] != "Threads_running"]
    return " UNION ".join(f"SELECT '{name}', '{value}'" for name, value in counted)


def test_a_broken_view_is_a_note(engine: Engine) -> None:
    run(engine, SHOP)
    run(engine, "CREATE TABLE gone (a INT); CREATE VIEW broken AS SELECT a FROM gone")
    run(engine, "DROP TABLE gone")
    schema = read_schema(engine)
    assert "customers" in names(schema)
    broken = [t for t in schema.tables if t.name == "broken"]
    assert not broken
    assert schema.notes
    assert "1 table left out" in schema.notes[0]
    assert "broken" in schema.notes[0]


def test_no_rights_is_a_sentence(engine: Engine, mariadb_root_url: str, engines: Engines) -> None:
    run(engine, SHOP)
    database = engine.url.database
    root = engines(mariadb_root_url, isolation_level="AUTOCOMMIT")
    with root.connect() as connection:
        connection.execute(text("CREATE USER clerk@localhost IDENTIFIED BY 'clerk-pw'"))
        try:
            connection.execute(text(f"GRANT SELECT (year) ON {database}.orders TO clerk@localhost"))
            clerk = engines(
                make_url(mariadb_root_url).set(
                    username="clerk", password="clerk-pw", database=database
                )
            )
            schema = read_schema(clerk)
            assert names(schema) == ["orders"]
            assert [c.name for c in schema.tables[0].columns] == ["year"]
            clerk.dispose()
        finally:
            connection.execute(text("DROP USER clerk@localhost"))


# ---------------------------------------------------------------- recorded rows

ROWS: dict[str, list[tuple[Any, ...]]] = {
    "information_schema.tables": [
        ("shop", "customers", "BASE TABLE", "who buys", 7),
        ("shop", "lines", "BASE TABLE", "", None),
        ("shop", "named", "VIEW", "VIEW", None),
        ("shop", "orders", "SYSTEM VERSIONED", None, 0),
    ],
    "information_schema.columns": [
        ("shop", "customers", "id", "bigint(20) unsigned", "NO", "the number", ""),
        ("shop", "customers", "mood", "enum('sad','it''s ok')", "YES", "", ""),
        ("shop", "lines", "y", "int", "YES", "", ""),
        ("shop", "lines", "n", b"int", "YES", "", ""),
        ("shop", "lines", "stock", "int", "YES", "", ""),
        ("shop", "named", "name", "text", "YES", "", ""),
        ("shop", "orders", "year", "int", "NO", "", ""),
        ("shop", "orders", "no", "int", "NO", "", ""),
    ],
    "information_schema.key_column_usage": [
        ("shop", "customers", "PRIMARY", "id", None, None, None),
        ("shop", "lines", "fk", "y", "shop", "orders", "year"),
        ("shop", "lines", "fk", "n", "shop", "orders", "no"),
        ("shop", "lines", "far", "stock", "warehouse", "stock", "id"),
        ("shop", "orders", "PRIMARY", "year", None, None, None),
        ("shop", "orders", "PRIMARY", "no", None, None, None),
    ],
    "information_schema.statistics": [
        ("shop", "customers", "u", "mood"),
        ("shop", "lines", "term", None),
        ("shop", "lines", "term", "y"),
    ],
    "": [("shop",)],
}


class RecordingSession(Session):
    """Answers each of the reader's statements from ROWS, and keeps what was sent."""

    sent: list[str]

    def fetch(self, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        self.sent.append(sql)
        return next(rows for source, rows in ROWS.items() if source in sql)


@pytest.fixture
def session() -> RecordingSession:
    made = RecordingSession(None, owned=True)
    made.sent = []
    return made


def test_rows_become_a_schema(session: RecordingSession) -> None:
    schema = mysql.read(session).to_schema("mysql")
    assert len(session.sent) <= 6
    assert [t.full_name for t in schema.tables] == ["customers", "lines", "named", "orders"]
    assert table(schema, "customers").comment == "who buys"
    assert table(schema, "named").comment == ""
    assert column(schema, "customers", "id").type == "bigint(20) unsigned"
    assert column(schema, "customers", "id").comment == "the number"
    assert column(schema, "customers", "mood").samples == ("sad", "it's ok")
    assert column(schema, "lines", "n").type == "int"
    assert table(schema, "customers").unique_keys == (("mood",),)
    assert table(schema, "customers").rows == 7
    assert table(schema, "lines").unique_keys == ()
    assert table(schema, "orders").primary_key == ("year", "no")
    assert table(schema, "lines").foreign_keys == (
        ForeignKey(("y", "n"), "orders", ("year", "no")),
    )


def test_the_statements_are_mysql(session: RecordingSession) -> None:
    mysql.read(session)
    mysql.fingerprint(session)
    for sql in session.sent:
        (parsed,) = sqlglot.parse(sql, read="mysql")
        assert parsed is not None
        assert parsed.key == "select"
