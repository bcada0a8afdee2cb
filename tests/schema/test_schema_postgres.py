"""PostgreSQL's reader on a real server."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from schema_helpers import column, counted, names, table
from sqlalchemy import Engine, make_url, text

from sqlcoder_magic.errors import LostConnectionError, SchemaError
from sqlcoder_magic.schema import read_schema, schema_age_s
from sqlcoder_magic.types import ForeignKey

Engines = Callable[..., Engine]

SHOP = """
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN feeling AS mood;
CREATE TABLE customers (
    id bigint PRIMARY KEY, name varchar(40) NOT NULL, mood mood, moods mood[], felt feeling,
    born timestamp(0) without time zone, loud text GENERATED ALWAYS AS (upper(name)) STORED);
CREATE TABLE orders (
    no int, year int, customer bigint REFERENCES customers, PRIMARY KEY (year, no));
CREATE TABLE lines (
    y int, n int, price numeric(8, 2), FOREIGN KEY (y, n) REFERENCES orders (year, no));
CREATE VIEW big AS SELECT id, name FROM customers;
CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS n FROM orders;
CREATE SCHEMA far;
CREATE TABLE far.customers (id int PRIMARY KEY);
CREATE TABLE far.pets (owner int REFERENCES far.customers, keeper bigint REFERENCES customers);
COMMENT ON TABLE customers IS 'who buys';
COMMENT ON COLUMN customers.name IS 'it''s the full name';
COMMENT ON VIEW big IS 'a view';
INSERT INTO customers (id, name) VALUES (1, 'Ada'), (2, 'Ada'), (3, 'Bob');
"""


@pytest.fixture
def engine(postgres_url: str, engines: Engines) -> Engine:
    return engines(postgres_url)


def run(engine: Engine, script: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(script)


def test_everything_is_read_in_few_statements(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(engine, SHOP)
    with counted(monkeypatch) as sent:
        schema = read_schema(engine)
    assert len(sent) <= 6
    assert schema.dialect == "postgres"
    assert set(names(schema)) == {
        *("customers", "orders", "lines", "big", "totals", "far.customers", "far.pets")
    }
    customers = table(schema, "customers")
    assert customers.comment == "who buys"
    assert [(c.name, c.type) for c in customers.columns] == [
        ("id", "bigint"),
        ("name", "character varying(40)"),
        ("mood", "mood"),
        ("moods", "mood[]"),
        ("felt", "feeling"),
        ("born", "timestamp(0) without time zone"),
        ("loud", "text"),
    ]
    assert column(schema, "customers", "name").comment == "it's the full name"
    assert not column(schema, "customers", "name").nullable
    assert table(schema, "big").comment == "a view"


def test_keys_stay_whole(engine: Engine) -> None:
    run(engine, SHOP)
    schema = read_schema(engine)
    assert table(schema, "orders").primary_key == ("year", "no")
    assert table(schema, "lines").foreign_keys == (
        ForeignKey(("y", "n"), "orders", ("year", "no")),
    )
    assert set(table(schema, "far.pets").foreign_keys) == {
        ForeignKey(("owner",), "far.customers", ("id",)),
        ForeignKey(("keeper",), "customers", ("id",)),
    }


def test_kinds_unique_keys_and_generated_columns(engine: Engine) -> None:
    run(
        engine,
        f"""{SHOP} ALTER TABLE orders ADD CONSTRAINT once UNIQUE (customer, no);
        CREATE UNIQUE INDEX names ON customers (name, id) INCLUDE (born);
        CREATE UNIQUE INDEX few ON customers (mood) WHERE born IS NULL;
        CREATE UNIQUE INDEX terms ON customers (id, lower(name));
        CREATE UNIQUE INDEX again ON orders (year, no);
        CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER down FOREIGN DATA WRAPPER nowhere;
        CREATE FOREIGN TABLE distant (a text) SERVER down""",
    )
    schema = read_schema(engine)
    assert table(schema, "orders").unique_keys == (("customer", "no"),)
    assert table(schema, "customers").unique_keys == (("name", "id"),)
    assert [c.name for c in table(schema, "customers").columns if c.generated] == ["loud"]
    kinds = {t.full_name: t.kind for t in schema.tables if t.kind != "table"}
    assert kinds == {"big": "view", "totals": "materialized view", "distant": "foreign table"}


def test_a_foreign_server_that_is_down_is_a_note(engine: Engine) -> None:
    run(
        engine,
        """CREATE TABLE here (a text); INSERT INTO here VALUES ('x');
        CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER down FOREIGN DATA WRAPPER nowhere;
        CREATE FOREIGN TABLE distant (a text) SERVER down""",
    )
    assert names(read_schema(engine)) == ["distant", "here"]
    schema = read_schema(engine, samples_per_column=1)
    assert column(schema, "here", "a").samples == ("x",)
    assert schema.notes == ("No sample values from distant (ObjectNotInPrerequisiteState).",)


def test_row_estimates_are_the_statistics(engine: Engine) -> None:
    run(
        engine,
        f"""{SHOP} CREATE TABLE parts (a int) PARTITION BY RANGE (a);
        CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
        CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (20);
        INSERT INTO parts SELECT generate_series(0, 14)""",
    )
    assert {t.rows for t in read_schema(engine).tables} == {None}
    run(engine, "ANALYZE customers; ANALYZE parts_1; ANALYZE parts_2")
    schema = read_schema(engine, refresh=True)
    assert table(schema, "customers").rows == 3
    assert table(schema, "parts").rows == 15
    assert table(schema, "big").rows is None
    assert table(schema, "orders").rows is None


def test_enums_are_samples_without_asking(engine: Engine) -> None:
    run(engine, SHOP)
    schema = read_schema(engine)
    for name in ("mood", "moods", "felt"):
        assert column(schema, "customers", name).samples == ("sad", "ok", "happy")
    assert column(schema, "customers", "name").samples == ()


def test_samples_when_asked(engine: Engine) -> None:
    run(engine, SHOP)
    schema = read_schema(engine, samples_per_column=1)
    assert column(schema, "customers", "name").samples == ("Ada",)
    assert schema.notes == ()


def test_partitions_are_folded_into_their_parent(engine: Engine) -> None:
    run(
        engine,
        """CREATE TABLE days (id int PRIMARY KEY);
        CREATE TABLE sales (day date NOT NULL, id int REFERENCES days, PRIMARY KEY (day, id))
            PARTITION BY RANGE (day);
        CREATE TABLE sales_1 PARTITION OF sales FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
        CREATE TABLE sales_2 PARTITION OF sales FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')
            PARTITION BY RANGE (id);
        CREATE TABLE sales_2a PARTITION OF sales_2 DEFAULT;
        CREATE TABLE notes (day date, id int, FOREIGN KEY (day, id) REFERENCES sales)""",
    )
    schema = read_schema(engine)
    assert names(schema) == ["days", "notes", "sales"]
    assert table(schema, "sales").primary_key == ("day", "id")
    assert table(schema, "sales").foreign_keys == (ForeignKey(("id",), "days", ("id",)),)
    assert table(schema, "notes").foreign_keys == (
        ForeignKey(("day", "id"), "sales", ("day", "id")),
    )


def test_the_search_path_decides_about_namespaces(engine: Engine) -> None:
    run(engine, SHOP)
    with engine.connect() as connection:
        connection.execute(text("SET search_path = far, public"))
        assert set(names(read_schema(connection))) == {
            *("customers", "pets", "orders", "lines", "big", "totals", "public.customers")
        }
        connection.execute(text("SET search_path = public"))
        assert "far.customers" in names(read_schema(connection))


def test_odd_names(engine: Engine) -> None:
    odd = 'we"ird 😀\n; -- %s {x} %'
    quoted = '"' + odd.replace('"', '""') + '"'
    with engine.begin() as connection:
        raw = connection.connection.driver_connection
        raw.execute(
            f"CREATE SCHEMA {quoted}; CREATE TABLE {quoted}.{quoted} ({quoted} text PRIMARY KEY);"
            f"INSERT INTO {quoted}.{quoted} VALUES ('v');"
            'CREATE TABLE "Order" (a int); CREATE TABLE "order" (b int)'
        )
    schema = read_schema(engine, samples_per_column=1)
    assert set(names(schema)) == {"Order", "order", f"{odd}.{odd}"}
    assert column(schema, f"{odd}.{odd}", odd).samples == ("v",)
    assert schema.notes == ()
    assert names(read_schema(engine, tables=["Order"])) == ["Order"]


def test_temporary_tables_are_seen_by_their_session_alone(engine: Engine) -> None:
    run(engine, SHOP)
    with engine.connect() as connection:
        connection.execute(text("CREATE TEMP TABLE scratch (a int)"))
        assert "scratch" in names(read_schema(connection))
        assert "scratch" not in " ".join(names(read_schema(engine)))


def test_what_may_not_be_read_is_a_note(
    engine: Engine, postgres_url: str, engines: Engines
) -> None:
    url = make_url(postgres_url)
    role = f"clerk_{url.database}"
    run(
        engine,
        f"""{SHOP} CREATE ROLE {role} LOGIN; GRANT SELECT ON orders TO {role};
        GRANT SELECT (id, name) ON customers TO {role}; GRANT SELECT ON far.pets TO {role}""",
    )
    clerk = engines(url.set(username=role))
    try:
        schema = read_schema(clerk, samples_per_column=1)
        assert names(schema) == ["customers", "orders"]
        assert [c.name for c in table(schema, "customers").columns] == ["id", "name"]
        assert column(schema, "customers", "name").samples == ("Ada",)
        assert schema.notes == (
            "5 tables left out, because you may not read them: "
            "far.customers, far.pets, big, lines, totals.",
        )
    finally:
        clerk.dispose()
        run(engine, f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_no_rights_at_all_is_a_sentence(
    engine: Engine, postgres_url: str, engines: Engines
) -> None:
    url = make_url(postgres_url)
    role = f"guest_{url.database}"
    run(engine, f"{SHOP} CREATE ROLE {role} LOGIN")
    guest = engines(url.set(username=role))
    try:
        with pytest.raises(SchemaError, match="7 tables left out, because you may not") as caught:
            read_schema(guest)
        assert caught.value.fix.startswith("Ask for the right to read them")
    finally:
        guest.dispose()
        run(engine, f"DROP ROLE {role}")


def test_sampling_that_fails_is_a_note_and_spoils_nothing(engine: Engine) -> None:
    run(
        engine,
        """CREATE TABLE a (x text); INSERT INTO a VALUES ('ok');
        CREATE VIEW bad AS SELECT (1 / (x = 'nope')::int)::text AS y FROM a;
        CREATE TABLE z (x text); INSERT INTO z VALUES ('fine')""",
    )
    with engine.connect() as connection:
        connection.execute(text("INSERT INTO z VALUES ('fine')"))
        for database in (connection, engine):
            schema = read_schema(database, samples_per_column=1)
            assert column(schema, "a", "x").samples == ("ok",)
            assert column(schema, "z", "x").samples == ("fine",)
            assert schema.notes == ("No sample values from bad (DivisionByZero).",)
        assert connection.execute(text("SELECT count(*) FROM z")).scalar() == 2


def state(connection: object) -> int:
    return int(connection.connection.driver_connection.info.transaction_status)  # type: ignore[attr-defined]


def test_the_users_transaction_stays_as_it_was(engine: Engine) -> None:
    run(engine, SHOP)
    with engine.connect() as connection:
        assert state(connection) == 0
        read_schema(connection, samples_per_column=1)
        assert state(connection) == 0
        connection.execute(text("INSERT INTO customers (id, name) VALUES (9, 'Zoe')"))
        connection.execute(text("CREATE TABLE fresh (a int)"))
        assert "fresh" in names(read_schema(connection, samples_per_column=1))
        assert state(connection) == 2
        connection.rollback()
        assert connection.execute(text("SELECT count(*) FROM customers")).scalar() == 3
        connection.rollback()
        assert "fresh" not in names(read_schema(connection))


def test_rows_of_any_shape(engine: Engine) -> None:
    from psycopg.rows import dict_row

    run(engine, SHOP)
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        before, raw.row_factory = raw.row_factory, dict_row
        assert "customers" in names(read_schema(connection, samples_per_column=1))
        raw.row_factory = before


def test_autocommit(engine: Engine) -> None:
    run(engine, SHOP)
    automatic = engine.execution_options(isolation_level="AUTOCOMMIT")
    with automatic.connect() as connection:
        schema = read_schema(connection, samples_per_column=1)
        assert column(schema, "customers", "name").samples == ("Ada",)
        assert connection.connection.driver_connection.autocommit
        assert state(connection) == 0


def test_a_failed_transaction_is_named_and_left_alone(engine: Engine) -> None:
    run(engine, SHOP)
    with engine.connect() as connection:
        with pytest.raises(Exception, match="nowhere"):
            connection.execute(text("SELECT * FROM nowhere"))
        with pytest.raises(SchemaError, match="failed transaction") as caught:
            read_schema(connection)
        assert "Roll back first" in caught.value.fix
        assert state(connection) == 3
        connection.rollback()
        assert "customers" in names(read_schema(connection))


def test_a_connection_that_was_cut(engine: Engine) -> None:
    run(engine, SHOP)
    with engine.connect() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar()
        with engine.connect() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        with pytest.raises(LostConnectionError, match="was lost"):
            read_schema(connection)
        connection.invalidate()


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE more (a int)",
        "DROP TABLE lines",
        "ALTER TABLE lines ADD COLUMN b int",
        "ALTER TABLE lines RENAME n TO m",
        "ALTER TABLE customers ALTER name TYPE varchar(50)" + " /* of a plain column */",
        "COMMENT ON COLUMN lines.n IS 'new'",
        "COMMENT ON TABLE lines IS NULL; COMMENT ON TABLE customers IS NULL",
        "ALTER TYPE mood ADD VALUE 'calm'",
        "ALTER TABLE lines DROP CONSTRAINT lines_y_n_fkey",
        "ALTER TABLE lines SET SCHEMA far",
        "ALTER TABLE lines DROP COLUMN price",
        "ALTER TABLE lines RENAME TO rows",
        "ALTER TABLE lines ADD UNIQUE (y, n)",
        "CREATE OR REPLACE VIEW big AS SELECT id, born FROM customers",
        "ALTER SCHEMA far RENAME TO near",
        "ALTER TYPE mood RENAME TO feels",
        "DROP TABLE lines; CREATE TABLE lines (y int, n int)",
        "REVOKE ALL ON lines FROM CURRENT_USER; COMMENT ON TABLE lines IS 'x'",
    ],
)
def test_changes_are_noticed(engine: Engine, change: str) -> None:
    run(engine, SHOP.replace(", loud text GENERATED ALWAYS AS (upper(name)) STORED", "")
        .replace("CREATE VIEW big AS SELECT id, name", "CREATE VIEW big AS SELECT id"))  # fmt: skip
    before = read_schema(engine)
    assert read_schema(engine) is before
    run(engine, change)
    assert read_schema(engine) != before


def test_data_does_not_make_it_stale(engine: Engine) -> None:
    run(engine, SHOP)
    before = read_schema(engine)
    run(engine, "INSERT INTO customers (id, name) VALUES (7, 'x')")
    assert read_schema(engine) is before
    assert (schema_age_s(engine) or 0) > 0
