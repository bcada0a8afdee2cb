"""Odd names from end to end: as the prompt shows them, they are checked, run, and come back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from schema_helpers import names
from sqlalchemy import Engine

from sqlcoder_magic import FakeModel, Settings, ask
from sqlcoder_magic.prompt import quote_name, quoted
from sqlcoder_magic.schema import read_schema

Engines = Callable[..., Engine]

ODD = [
    "plain",
    "two words",
    "select",
    "Order",
    "CamelCase",
    'with "quotes"',
    "it's",
    "😀 emoji",
    "ünïcode",
    "dot.ted",
    "semi;colon",
    "dash--dash",
    "100% {x} %s :y",
    "line\nbreak",
    "tab\there",
    "back`tick",
    "[brackets]",
    "back\\slash",
    "1st",
    "a" * 60,
]
ENGINES = ["sqlite", "postgresql", "duckdb", "mysql"]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, engines: Engines, tmp_path: Path) -> Engine:
    if request.param == "postgresql":
        return engines(request.getfixturevalue("postgres_url"))
    if request.param == "mysql":
        return engines(request.getfixturevalue("mariadb_fresh_url"))
    return engines(f"{request.param}:///{tmp_path / 'names.db'}")


def run(engine: Engine, *statements: str) -> None:
    """As they are: a `%` or a `:` in a name is no parameter."""
    with engine.begin() as connection:
        cursor = connection.connection.driver_connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        cursor.close()


def mark(engine: Engine, name: str) -> str:
    """The name in the engine's own quotes."""
    quote = "`" if engine.dialect.name == "mysql" else '"'
    return quote + name.replace(quote, quote * 2) + quote


def asked(engine: Engine, sql: str) -> tuple[list[str], list[list[object]]]:
    """The columns and rows that a model gets which writes this SQL."""
    model = FakeModel([sql])
    answer = ask("what is there?", engine, model, run=True, settings=Settings(timeout_s=60))
    assert answer.error is None, (sql, answer.sql, answer.error)
    assert answer.frame is not None
    return list(answer.frame.columns), answer.frame.values.tolist()


@pytest.mark.parametrize("name", ODD)
def test_a_table_and_its_column(engine: Engine, name: str) -> None:
    if engine.dialect.name == "mysql":
        name = name.replace("😀", "☺")  # its names may not leave the basic plane
    there = mark(engine, name)
    run(
        engine,
        f"CREATE TABLE {there} ({there} VARCHAR(20))",
        f"INSERT INTO {there} VALUES ('found')",
    )
    schema = read_schema(engine)
    assert names(schema) == [name]
    (table,) = schema.tables
    assert [column.name for column in table.columns] == [name]
    shown = quote_name(name, schema.dialect)
    model = FakeModel([f"SELECT t.{shown} FROM {quoted(table, schema.dialect)} AS t"])
    answer = ask("what is there?", engine, model, run=True, settings=Settings(timeout_s=60))
    text = model.prompts[0].text
    assert f"CREATE TABLE {quoted(table, schema.dialect)} (" in text
    assert f"  {shown} " in text
    assert answer.error is None, (answer.sql, answer.error)
    assert answer.frame is not None
    assert list(answer.frame.columns) == [name]
    assert answer.frame.values.tolist() == [["found"]]
    assert read_schema(engine, tables=[name]).tables == schema.tables


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_names_that_differ_by_case_alone(engine: Engine) -> None:
    run(
        engine,
        'CREATE TABLE orders ("Id" int, id int)',
        'CREATE TABLE "Orders" (id int)',
        "INSERT INTO orders VALUES (1, 2)",
        'INSERT INTO "Orders" VALUES (3)',
    )
    assert asked(engine, 'SELECT id FROM "Orders"') == (["id"], [[3]])
    assert asked(engine, 'SELECT "Id", id FROM orders') == (["Id", "id"], [[1, 2]])


@pytest.mark.parametrize("engine", ["postgresql", "duckdb"], indirect=True)
def test_several_schemas_with_the_same_names(engine: Engine) -> None:
    run(
        engine,
        'CREATE SCHEMA "Far away"',
        "CREATE SCHEMA near",
        'CREATE TABLE t (a int); CREATE TABLE "Far away".t (a int); CREATE TABLE near.t (a int)',
        "INSERT INTO t VALUES (1)",
        'INSERT INTO "Far away".t VALUES (2)',
        "INSERT INTO near.t VALUES (3)",
    )
    assert set(names(read_schema(engine))) == {"t", "Far away.t", "near.t"}
    assert asked(engine, "SELECT a FROM t")[1] == [[1]]
    assert asked(engine, 'SELECT a FROM "Far away".t')[1] == [[2]]
    both = "SELECT x.a AS one, y.a AS other FROM near.t AS x JOIN t AS y ON x.a > y.a"
    assert asked(engine, both) == (["one", "other"], [[3, 1]])


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_attached_databases_with_the_same_names(engine: Engine, tmp_path: Path) -> None:
    run(engine, "CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)")
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        raw.execute("ATTACH ? AS 'the other'", [str(tmp_path / "other.db")])
        raw.execute('CREATE TABLE "the other".t (a int)')
        raw.execute('INSERT INTO "the other".t VALUES (2)')
        raw.commit()
        assert names(read_schema(connection)) == ["t", "the other.t"]
        model = FakeModel(['SELECT a FROM "the other".t', "SELECT a FROM t"])
        for expected in (2, 1):
            answer = ask("which?", connection, model, run=True)
            assert answer.error is None, answer.error
            assert answer.frame is not None
            assert answer.frame.values.tolist() == [[expected]]


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_the_search_path_decides_which_one_is_meant(engine: Engine) -> None:
    run(
        engine,
        "CREATE SCHEMA far",
        "CREATE TABLE t (a int); CREATE TABLE far.t (a int)",
        "INSERT INTO t VALUES (1); INSERT INTO far.t VALUES (2)",
    )
    with engine.connect() as connection:
        connection.exec_driver_sql("SET search_path = far, public")
        connection.commit()
        model = FakeModel(["SELECT a FROM t", "SELECT a FROM public.t"])
        for expected in (2, 1):
            answer = ask("which?", connection, model, run=True)
            assert answer.error is None, answer.error
            assert answer.frame is not None
            assert answer.frame.values.tolist() == [[expected]]


@pytest.mark.parametrize(
    ("dialect", "plain", "in_quotes"),
    [
        ("postgres", "city", "City"),
        ("redshift", "city", "CITY"),
        ("oracle", "CITY", "city"),
        ("snowflake", "CITY", "City"),
        ("sqlite", "City", "two words"),
        ("tsql", "City", "select"),
    ],
)
def test_case_is_quoted_where_it_counts(dialect: str, plain: str, in_quotes: str) -> None:
    assert quote_name(plain, dialect) == plain
    assert quote_name(in_quotes, dialect) == f'"{in_quotes}"'


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_as_many_columns_as_postgresql_allows(engine: Engine) -> None:
    run(engine, f"CREATE TABLE wide ({', '.join(f'c{i} int' for i in range(1_600))})")
    schema = read_schema(engine)
    assert [c.name for c in schema.tables[0].columns] == [f"c{i}" for i in range(1_600)]
    model = FakeModel(["SELECT c1 FROM wide"])
    answer = ask("c1 of wide?", engine, model, run=True)
    assert answer.error is None
    assert answer.frame is not None
    assert list(answer.frame.columns) == ["c1"]
    assert any("column" in note for note in answer.notes)
