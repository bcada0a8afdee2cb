"""Plans on real engines: what they say, that nothing is run for them, and the guard around them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from sqlcoder_magic.errors import EngineNotGuardedError, QueryTimeoutError, RunError, Stopped
from sqlcoder_magic.execute import explain as explain_module
from sqlcoder_magic.execute import explain_sql
from sqlcoder_magic.execute.collect import Rows
from sqlcoder_magic.types import CheckedSQL, Plan

# SQLAlchemy's name of an engine -> sqlglot's.
DIALECTS = {"sqlite": "sqlite", "duckdb": "duckdb", "postgresql": "postgres"}
JOIN = (
    "SELECT name, COUNT(*) AS n FROM nl2sql_sales JOIN nl2sql_products "
    "ON nl2sql_products.id = nl2sql_sales.product_id GROUP BY name ORDER BY n DESC"
)
ENDLESS = {
    "sqlite": "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) "
    "SELECT COUNT(*) FROM r",
    "duckdb": "SELECT COUNT(*) FROM range(100000000) a, range(100000000) b",
    "postgres": "SELECT COUNT(*) FROM generate_series(1, 1000000000000) g",
    "mysql": "SELECT COUNT(*) FROM nl2sql_sales a, nl2sql_sales b, nl2sql_sales c, "
    "nl2sql_sales d, nl2sql_sales e",
}


def dialect_of(engine: Engine) -> str:
    return DIALECTS.get(engine.dialect.name, "mysql")


def _url(name: str, request: pytest.FixtureRequest, tmp_path: Any) -> str:
    if name in ("sqlite", "duckdb"):
        return f"{name}:///{tmp_path}/shop.db"
    return str(request.getfixturevalue(f"{name}_url"))


@pytest.fixture(params=["sqlite", "duckdb", "postgres", "mariadb"])
def engine(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Engine]:
    engine = create_engine(_url(request.param, request, tmp_path))
    with engine.begin() as connection:
        for table in ("nl2sql_sales", "nl2sql_products"):
            connection.execute(text(f"DROP TABLE IF EXISTS {table}"))
        connection.execute(text("CREATE TABLE nl2sql_products (id INTEGER, name VARCHAR(20))"))
        connection.execute(text("CREATE TABLE nl2sql_sales (id INTEGER, product_id INTEGER)"))
        connection.execute(
            text("INSERT INTO nl2sql_products VALUES (:i, :n)"),
            [{"i": i, "n": f"p{i}"} for i in range(10)],
        )
        connection.execute(
            text("INSERT INTO nl2sql_sales VALUES (:i, :p)"),
            [{"i": i, "p": i % 10} for i in range(500)],
        )
        table = "TABLE " if request.param == "mariadb" else ""
        connection.execute(text(f"ANALYZE {table}nl2sql_sales"))
    yield engine
    engine.dispose()


@pytest.fixture
def checked(engine: Engine, unchecked: Any) -> Callable[[str], CheckedSQL]:
    """A text on which only the guard looks."""
    return lambda sql: unchecked(dialect_of(engine), sql, "nl2sql_sales", "nl2sql_products")


def test_a_plan_names_its_tables_and_what_it_expects(engine: Engine, checked: Any) -> None:
    plan = explain_sql(checked(JOIN), engine)
    assert "nl2sql_sales" in plan.text and "nl2sql_products" in plan.text
    assert (plan.rows is None) == (dialect_of(engine) == "sqlite")
    assert plan.bytes is None


def test_the_estimate_is_of_the_largest_step_not_of_the_result(
    engine: Engine, checked: Any
) -> None:
    product = "SELECT COUNT(*) FROM nl2sql_sales a, nl2sql_sales b, nl2sql_sales c"
    plan = explain_sql(checked(product), engine)
    if dialect_of(engine) == "sqlite":
        assert plan.rows is None and plan.text.count("SCAN") == 3
    else:
        assert plan.rows is not None and plan.rows >= 10**8 * 0.9


@pytest.mark.parametrize("before", ["", "\n-- why\n", "/* a */ "])
def test_comments_and_semicolons_do_not_disturb(engine: Engine, checked: Any, before: str) -> None:
    assert explain_sql(checked(f"{before}SELECT id FROM nl2sql_sales;"), engine).text


def test_a_text_that_is_an_explain_gives_its_own_plan(engine: Engine, checked: Any) -> None:
    plan = explain_sql(checked("EXPLAIN SELECT id FROM nl2sql_sales"), engine)
    assert plan.text and plan.rows is None


def test_nothing_is_run_for_it(engine: Engine, checked: Any) -> None:
    """With ANALYZE in its place the same statement ends at the time limit."""
    assert explain_sql(checked(ENDLESS[dialect_of(engine)]), engine, timeout_s=20).text


def test_it_takes_only_checked_sql(engine: Engine) -> None:
    with pytest.raises(TypeError, match="check_sql"):
        explain_sql("SELECT 1", engine)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "sql",
    ["DELETE FROM nl2sql_sales", "ANALYZE DELETE FROM nl2sql_sales", "SELECT 1; DROP TABLE x"],
)
def test_with_the_check_off_the_guard_still_holds(engine: Engine, checked: Any, sql: str) -> None:
    """EXPLAIN ANALYZE, or a second statement after the plan: planned at most, never done."""
    with suppress(RunError):
        explain_sql(checked(sql), engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM nl2sql_sales")).scalar() == 500


def test_the_error_of_the_database_is_told(engine: Engine, checked: Any) -> None:
    with pytest.raises(RunError, match="absent"):
        explain_sql(checked("SELECT absent FROM nl2sql_sales"), engine)


def test_the_connection_is_as_it_was(engine: Engine, checked: Any) -> None:
    with engine.connect() as connection:
        connection.execute(text("INSERT INTO nl2sql_products VALUES (99, 'mine')"))
        if dialect_of(engine) == "mysql":  # no read-only transaction within one of the user's
            with pytest.raises(EngineNotGuardedError):
                explain_sql(checked(JOIN), connection)
        else:
            assert explain_sql(checked(JOIN), connection).text
        assert connection.in_transaction()
        count = "SELECT COUNT(*) FROM nl2sql_products WHERE id = 99"
        assert connection.execute(text(count)).scalar() == 1
        connection.rollback()
        assert connection.execute(text(count)).scalar() == 0
        connection.execute(text("INSERT INTO nl2sql_products VALUES (98, 'writable')"))
        connection.rollback()


# ---------------------------------------------------------------- on PostgreSQL alone

ANALYZE = "EXPLAIN (ANALYZE, FORMAT JSON) "  # runs the query; this package never sends it


@pytest.fixture
def running(
    postgres_url: str, unchecked: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Plan]]:
    """`running(sql)` asks for a plan that runs the query."""
    monkeypatch.setitem(explain_module._PREFIXES, "postgresql", ANALYZE)
    engine = create_engine(postgres_url)
    yield lambda sql, **more: explain_sql(unchecked("postgres", sql), engine, **more)
    engine.dispose()


def test_it_ends_at_the_time_limit(running: Any) -> None:
    with pytest.raises(QueryTimeoutError):
        running(ENDLESS["postgres"], timeout_s=0.5)


def test_ctrl_c_stops_it(running: Any, ctrl_c: Any) -> None:
    started = time.monotonic()
    with ctrl_c(lambda: time.monotonic() > started + 0.5), pytest.raises(Stopped):
        running(ENDLESS["postgres"])


def test_a_plan_that_writes_is_refused_or_rolled_back(running: Any, postgres_url: str) -> None:
    """PostgreSQL lets EXPLAIN ANALYZE CREATE TABLE AS through in a read-only transaction."""
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept AS SELECT 1 AS one"))
    with pytest.raises(RunError, match="read-only transaction"):
        running("DELETE FROM kept")
    running("CREATE TABLE copied AS SELECT 1 AS one")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT to_regclass('copied')")).scalar() is None
        assert connection.execute(text("SELECT COUNT(*) FROM kept")).scalar() == 1
    engine.dispose()


# ---------------------------------------------------------------- the words of other engines


def rows_of(value: Any) -> Rows:
    return Rows(("plan",), [(value,)])


def test_mysqls_own_words() -> None:
    """MySQL 8.0's example of a join, from its manual's page on EXPLAIN output, shortened."""
    table = {"access_type": "ALL", "rows_examined_per_scan": 100, "filtered": "10.00"}
    loop = [
        {"table": {"table_name": "t1", **table, "rows_produced_per_join": 10}},
        {"table": {"table_name": "t2", **table, "rows_produced_per_join": 100, "key": "k"}},
    ]
    block = {"query_block": {"ordering_operation": {"nested_loop": loop}}}
    plan = explain_module._mysql(rows_of(json.dumps(block)))
    assert plan.rows == 100
    assert plan.text.splitlines() == [
        "ordering operation",
        "  ALL on t1  (~10 rows)",
        "  ALL on t2 using k  (~100 rows)",
    ]


def test_a_partitioned_table_has_its_plan_on_mysql() -> None:
    table = {"table_name": "t", "partitions": ["p0", "p1"], "access_type": "ALL", "rows": 500}
    block = {"query_block": {"nested_loop": [{"table": {**table, "filtered": 100}}]}}
    plan = explain_module._mysql(rows_of(json.dumps(block)))
    assert plan.text == "ALL on t  (~500 rows)" and plan.rows == 500


def test_redshifts_words() -> None:
    lines = [
        ("XN HashAggregate  (cost=131.97..133.41 rows=576 width=17)",),
        ("  ->  XN Seq Scan on event  (cost=0.00..87.98 rows=8798 width=17)",),
    ]
    plan = explain_module._redshift(Rows(("QUERY PLAN",), lines))
    assert plan.rows == 8798 and "Seq Scan on event" in plan.text


def test_snowflakes_words() -> None:
    answer = {
        "GlobalStats": {"partitionsTotal": 2, "partitionsAssigned": 2, "bytesAssigned": 1024},
        "Operations": [[{"id": 0, "operation": "Result"}, {"operation": "TableScan",
                         "objects": ["DB.PUBLIC.Z1"]}]],
    }  # fmt: skip
    plan = explain_module._snowflake(rows_of(json.dumps(answer)))
    assert plan == Plan("Result\nTableScan DB.PUBLIC.Z1", None, 1024)


def test_trinos_words() -> None:
    answer = {
        "inputTableColumnInfos": [
            {
                "table": {"catalog": "c", "schemaTable": {"schema": "tiny", "table": "nation"}},
                "estimate": {"outputRowCount": 25.0, "outputSizeInBytes": 2734.0},
            }
        ],
        "estimate": {"outputRowCount": "NaN", "outputSizeInBytes": 225.0},
    }
    plan = explain_module._trino(rows_of(json.dumps(answer)))
    assert plan == Plan("Output\n  tiny.nation  (~25 rows)", 25, 225)


def test_sparks_words() -> None:
    text = (
        "== Optimized Logical Plan ==\n"
        "Aggregate [k], Statistics(sizeInBytes=1.5 KiB, rowCount=30)\n"
        "+- Relation t, Statistics(sizeInBytes=2.0 MiB, rowCount=1.00E+5)\n"
    )
    plan = explain_module._spark(rows_of(text))
    assert (plan.rows, plan.bytes) == (100_000, 2 * 2**20)


def test_sql_servers_words() -> None:
    text = (
        '<RelOp NodeId="0" PhysicalOp="Sort" EstimateRows="12.5"><RelOp NodeId="1" '
        'PhysicalOp="Table Scan" EstimateRows="1.2e+006"></RelOp></RelOp>'
    )
    plan = explain_module._sql_server(rows_of(text))
    assert plan.rows == 1_200_000 and plan.text.startswith("Sort  (~12 rows)")
