"""Engines that no test can start: locked by default, and what a driver would be handed.

These tests show what is sent, in which order, and what is done with the answers. They do not
show that a real server behaves as its documentation says; the user's note says so too.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from recording_driver import Error, Recorder, recording_engine
from sqlalchemy import Engine
from sqlalchemy.pool import StaticPool

from sqlcoder_magic.errors import (
    EngineNotGuardedError,
    QueryTimeoutError,
    RunError,
    Stopped,
    TooCostlyError,
)
from sqlcoder_magic.execute import explain_sql, run_sql
from sqlcoder_magic.execute.warehouses import WAREHOUSES

DIALECT = {"mssql": "tsql", "hive": "spark"}  # SQLAlchemy's name -> sqlglot's, where they differ
SQL = "SELECT '100%' LIKE '%s', ':name', '?', 5 % 3 FROM sales"
NAMES = [name for name in WAREHOUSES if name != "bigquery"]
READ_ONLY = Error("ORA-01456: may not perform insert; ERROR: transaction is read-only")
# What each engine answers to this package's own statements.
REPLIES: list[tuple[str, Any]] = [
    ("nl2sql_preflight", READ_ONLY),
    ("CURRENT_SESSION|pg_backend_pid", [("4711",)]),
    ("FROM sales", [(1, "a"), (2, "b")]),
]
# Everything that is sent for one run, in order, with a time limit of 7.6 s.
EXPECTED = {
    "snowflake": [
        "SELECT CURRENT_SESSION()",
        "ALTER SESSION SET STATEMENT_TIMEOUT_IN_SECONDS = 8, LOCK_TIMEOUT = 5, "
        "MULTI_STATEMENT_COUNT = 1, QUERY_TAG = 'sqlcoder_magic'",
        "BEGIN TRANSACTION",
        SQL,
        "ROLLBACK",
    ],
    "mssql": ["SET LOCK_TIMEOUT 5000", SQL, "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION"],
    "oracle": [
        "ROLLBACK",
        "SET TRANSACTION READ ONLY",
        "EXPLAIN PLAN SET STATEMENT_ID = 'nl2sql_preflight' FOR SELECT 1 FROM dual",
        "ROLLBACK",
        "SET TRANSACTION READ ONLY",
        SQL,
        "ROLLBACK",
    ],
    "trino": ["SET SESSION query_max_run_time = '8s'", SQL],
    "hive": [
        "SET spark.sql.thriftServer.queryTimeout = 8s",
        "SET spark.job.description = sqlcoder_magic",
        SQL,
    ],
    "redshift": [
        "SELECT pg_backend_pid()",
        "SET statement_timeout TO 7600",
        "SET query_group TO 'sqlcoder_magic'",
        "BEGIN READ ONLY",
        "CREATE TABLE nl2sql_preflight (x INTEGER)",
        "ROLLBACK",
        "BEGIN READ ONLY",
        SQL,
        "ROLLBACK",
    ],
    "databricks": [
        "SET STATEMENT_TIMEOUT = 8",
        "SET QUERY_TAGS['application'] = 'sqlcoder_magic'",
        SQL,
    ],
}
ATTRIBUTES = {
    "mssql": [("autocommit", False), ("timeout", 8)],
    "oracle": [("autocommit", False), ("call_timeout", 7600), ("module", "sqlcoder_magic")],
    "redshift": [("autocommit", True)],
}


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(replies=list(REPLIES))


@pytest.fixture
def engine_of(recorder: Recorder) -> Callable[..., Engine]:
    def make(name: str, driver: str = "", **options: Any) -> Engine:
        return recording_engine(name, recorder, driver or WAREHOUSES[name].drivers[0], **options)

    return make


@pytest.fixture
def checked_for(unchecked: Any) -> Callable[..., Any]:
    return lambda name, sql=SQL: unchecked(DIALECT.get(name, name), sql, "sales")


@pytest.mark.parametrize("name", WAREHOUSES)
def test_it_is_locked_until_the_user_lifts_it(
    name: str, recorder: Recorder, engine_of: Any, checked_for: Any
) -> None:
    for call in (run_sql, explain_sql):
        with pytest.raises(EngineNotGuardedError, match="shown, not run") as caught:
            call(checked_for(name), engine_of(name))
        assert WAREHOUSES[name].name in caught.value.message
        assert "recording driver" in caught.value.message
        assert "--allow-unverified-engine" in caught.value.fix and "%%sql" in caught.value.fix
    assert recorder.opened == 0


@pytest.mark.parametrize("name", NAMES)
def test_what_is_sent(name: str, recorder: Recorder, engine_of: Any, checked_for: Any) -> None:
    frame = run_sql(checked_for(name), engine_of(name), timeout_s=7.6, allow_unverified_engine=True)
    assert frame.values.tolist() == [[1, "a"], [2, "b"]]
    assert recorder.sent == EXPECTED[name]
    assert recorder.of("set") == ATTRIBUTES.get(name, [])
    assert not recorder.of("commit")
    (note,) = frame.attrs["notes"]
    assert WAREHOUSES[name].name in note and "never been tried against a real one" in note


@pytest.mark.parametrize("name", WAREHOUSES)
def test_every_engine_names_the_pages_it_is_made_from(name: str) -> None:
    known = WAREHOUSES[name]
    assert known.pages and known.drivers and known.layer.endswith(".")
    assert known.cancel in ("cursor", "connection", "job") or "{session}" in known.cancel
    assert ("{session}" in known.cancel) == bool(known.whoami)
    assert bool(known.probe) == bool(known.refusal)


@pytest.mark.parametrize("name", NAMES)
def test_the_connection_is_not_the_users(
    name: str, recorder: Recorder, engine_of: Any, checked_for: Any
) -> None:
    """It leaves the pool and is closed, so nothing that was set on it meets the user again."""
    engine = engine_of(name)
    run_sql(checked_for(name), engine, allow_unverified_engine=True)
    assert recorder.opened == len(recorder.of("close")) == 1
    with engine.connect():
        assert recorder.opened == 2


@pytest.mark.parametrize("name", WAREHOUSES)
def test_the_users_only_connection_is_left_alone(
    name: str, recorder: Recorder, engine_of: Any, checked_for: Any
) -> None:
    with engine_of(name).connect() as connection:
        for only in (connection, engine_of(name, poolclass=StaticPool)):
            with pytest.raises(EngineNotGuardedError, match="the only one") as caught:
                run_sql(checked_for(name), only, allow_unverified_engine=True)
            assert "engine or URL" in caught.value.fix
    assert recorder.sent == [] and recorder.of("set") == []


@pytest.mark.parametrize(
    "name, driver", [("redshift", "psycopg2"), ("mssql", "pymssql"), ("trino", "pyhive")]
)
def test_another_driver_is_refused(
    name: str, driver: str, recorder: Recorder, engine_of: Any, checked_for: Any
) -> None:
    with pytest.raises(EngineNotGuardedError, match=driver):
        run_sql(checked_for(name), engine_of(name, driver), allow_unverified_engine=True)
    assert recorder.sent == []


@pytest.mark.parametrize("name", ["oracle", "redshift"])
@pytest.mark.parametrize("answer", [[], Error("ORA-01031: insufficient privileges")])
def test_no_run_where_the_write_was_not_refused_as_read_only(
    name: str, answer: Any, recorder: Recorder, engine_of: Any, checked_for: Any
) -> None:
    recorder.replies[0] = ("nl2sql_preflight", answer)
    with pytest.raises(EngineNotGuardedError, match="did not refuse"):
        run_sql(checked_for(name), engine_of(name), allow_unverified_engine=True)
    assert SQL not in recorder.sent and recorder.sent[-1] == "ROLLBACK"


@pytest.mark.parametrize("name", NAMES)
def test_no_run_where_the_session_cannot_be_set_up(
    name: str, recorder: Recorder, engine_of: Any, checked_for: Any
) -> None:
    recorder.replies.insert(0, (r"^(SET|ALTER SESSION|BEGIN)", Error("unknown setting")))
    with pytest.raises(RunError, match="unknown setting"):
        run_sql(checked_for(name), engine_of(name), allow_unverified_engine=True)
    assert SQL not in recorder.sent


@pytest.mark.parametrize("name", NAMES)
def test_the_drivers_error_is_a_sentence_without_the_password(
    name: str, recorder: Recorder, engine_of: Any, checked_for: Any
) -> None:
    recorder.replies[2] = ("FROM sales", Error("no table sales for app:hunter2@host"))
    with pytest.raises(RunError, match="no table sales") as caught:
        run_sql(checked_for(name), engine_of(name), allow_unverified_engine=True)
    assert "hunter2" not in str(caught.value) and caught.value.__cause__ is None


@pytest.mark.parametrize(
    "said",
    [
        "Statement reached its statement timeout of 8 second(s) and was canceled.",
        "DPY-4024: call timeout of 7600 ms exceeded",
        "Query exceeded maximum time limit of 8.00s: EXCEEDED_TIME_LIMIT",
        "('HYT00', '[HYT00] Query timeout expired')",
    ],
)
def test_the_servers_own_time_limit_is_told_as_ours(
    said: str, recorder: Recorder, engine_of: Any, checked_for: Any
) -> None:
    recorder.replies[2] = ("FROM sales", Error(said))
    with pytest.raises(QueryTimeoutError):
        run_sql(checked_for("trino"), engine_of("trino"), allow_unverified_engine=True)


CANCELS = {
    "snowflake": "SELECT SYSTEM$CANCEL_ALL_QUERIES(4711)",
    "redshift": "CANCEL 4711",
    "oracle": "connection",
}


def _endless(recorder: Recorder) -> None:
    """The query ends when it is cancelled, whichever way."""
    over = threading.Event()

    def wait() -> list[tuple[Any, ...]]:
        assert over.wait(20), "nobody cancelled"
        raise Error("cancelled")

    def end() -> list[tuple[Any, ...]]:
        over.set()
        return []

    recorder.replies[2] = ("FROM sales", wait)
    recorder.replies.insert(0, ("CANCEL", end))
    recorder.cancelled = over.set


@pytest.mark.parametrize("name", NAMES)
def test_the_time_limit_cancels(
    name: str, recorder: Recorder, engine_of: Any, checked_for: Any
) -> None:
    _endless(recorder)
    with pytest.raises(QueryTimeoutError):
        run_sql(checked_for(name), engine_of(name), timeout_s=0.3, allow_unverified_engine=True)
    how = CANCELS.get(name, "cursor")
    assert how in recorder.of("cancel") or how in recorder.sent


@pytest.mark.parametrize("name", ["trino", "redshift"])
def test_ctrl_c_cancels(
    name: str, recorder: Recorder, engine_of: Any, checked_for: Any, ctrl_c: Any
) -> None:
    _endless(recorder)
    with ctrl_c(lambda: SQL in recorder.sent), pytest.raises(Stopped):
        run_sql(checked_for(name), engine_of(name), allow_unverified_engine=True)
    how = CANCELS.get(name, "cursor")
    assert how in recorder.of("cancel") or how in recorder.sent


@pytest.mark.parametrize("name", ["trino", "oracle", "redshift"])
def test_a_cancel_that_fails_is_not_passed_off_as_one(
    name: str, recorder: Recorder, engine_of: Any, checked_for: Any
) -> None:
    over = threading.Event()

    def wait() -> list[tuple[Any, ...]]:
        over.wait(20)
        return []

    def fail() -> None:
        raise Error("not allowed to cancel")

    recorder.replies[2] = ("FROM sales", wait)
    recorder.replies.insert(0, ("CANCEL", Error("not allowed to cancel")))
    recorder.cancelled = fail
    try:
        with pytest.raises(QueryTimeoutError) as caught:
            run_sql(checked_for(name), engine_of(name), timeout_s=0.2, allow_unverified_engine=True)
    finally:
        over.set()
    assert "has not confirmed it" in caught.value.fix


# ---------------------------------------------------------------- plans

PLANS = {
    "snowflake": (["EXPLAIN USING JSON " + SQL], [('{"GlobalStats": {"bytesAssigned": 9}}',)]),
    "mssql": (["SET SHOWPLAN_XML ON", SQL], [('<RelOp PhysicalOp="Scan" EstimateRows="3">',)]),
    "trino": (["EXPLAIN (TYPE IO, FORMAT JSON) " + SQL], [('{"estimate": {}}',)]),
    "hive": (["EXPLAIN COST " + SQL], [("Relation, Statistics(sizeInBytes=1 KiB)",)]),
    "redshift": (["EXPLAIN " + SQL], [("XN Seq Scan on sales  (rows=3 width=4)",)]),
    "databricks": (["EXPLAIN COST " + SQL], [("Relation, Statistics(sizeInBytes=1 KiB)",)]),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_is_asked_for_in_the_same_session(
    name: str, recorder: Recorder, engine_of: Any, checked_for: Any
) -> None:
    asks, answer = PLANS[name]
    recorder.replies[2] = ("FROM sales", answer)
    plan = explain_sql(
        checked_for(name), engine_of(name), timeout_s=7.6, allow_unverified_engine=True
    )
    expected = list(EXPECTED[name])
    place = expected.index(SQL)
    expected[place : place + 1] = asks
    assert recorder.sent == expected
    assert plan.text


def test_oracles_plan_would_be_a_write(
    recorder: Recorder, engine_of: Any, checked_for: Any
) -> None:
    with pytest.raises(RunError, match="no plan to show"):
        explain_sql(checked_for("oracle"), engine_of("oracle"), allow_unverified_engine=True)
    assert SQL not in " ".join(recorder.sent)


# ---------------------------------------------------------------- BigQuery: jobs, not statements


class Client:
    """Stands for google.cloud.bigquery.Client; `dry` is what a dry run answers."""

    def __init__(self) -> None:
        self.jobs: list[tuple[str, dict[str, Any]]] = []
        self.dry = {"statement_type": "SELECT", "total_bytes_processed": 1000}
        self.over: threading.Event | None = None
        self.cancelled = 0

    def query(self, sql: str, *, job_config: Any) -> Any:
        self.jobs.append((sql, vars(job_config)))
        return SimpleNamespace(**self.dry, result=self._result, cancel=self._cancel)

    def _result(self) -> Any:
        if self.over is not None and self.over.wait(20):
            raise Error("cancelled")
        rows = [SimpleNamespace(values=lambda i=i: (i, "x")) for i in (1, 2)]

        class Rows(list[Any]):
            schema = (SimpleNamespace(name="id"), SimpleNamespace(name="name"))

        return Rows(rows)

    def _cancel(self) -> None:
        self.cancelled += 1
        if self.over is not None:
            self.over.set()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    """The client behind the recording connection, and a module with its QueryJobConfig."""
    for name in ("google", "google.cloud", "google.cloud.bigquery"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    module = sys.modules["google.cloud.bigquery"]
    monkeypatch.setattr(module, "QueryJobConfig", SimpleNamespace, raising=False)
    made = Client()
    monkeypatch.setattr("recording_driver.Connection._client", made, raising=False)
    return made


@pytest.fixture
def bigquery(engine_of: Any, client: Client) -> Engine:
    engine: Engine = engine_of("bigquery")
    return engine


def test_bigquery_is_asked_what_it_would_read_first(
    bigquery: Engine, client: Client, checked_for: Any
) -> None:
    frame = run_sql(checked_for("bigquery"), bigquery, timeout_s=7.6, allow_unverified_engine=True)
    assert frame.values.tolist() == [[1, "x"], [2, "x"]] and list(frame) == ["id", "name"]
    dry = {"use_legacy_sql": False, "dry_run": True, "use_query_cache": False}
    real = {
        "use_legacy_sql": False,
        "maximum_bytes_billed": 10 * 2**30,
        "job_timeout_ms": 7600,
        "labels": {"application": "sqlcoder_magic"},
    }
    assert client.jobs == [(SQL, dry), (SQL, real)]
    assert "dry run" in frame.attrs["notes"][0]


@pytest.mark.parametrize("kind", ["INSERT", "CREATE_TABLE_AS_SELECT", "SCRIPT", None])
def test_what_bigquery_does_not_call_a_select_is_not_run(
    kind: Any, bigquery: Engine, client: Client, checked_for: Any
) -> None:
    client.dry["statement_type"] = kind
    with pytest.raises(EngineNotGuardedError, match=str(kind)):
        run_sql(checked_for("bigquery"), bigquery, allow_unverified_engine=True)
    assert len(client.jobs) == 1


def test_more_bytes_than_allowed_are_not_billed(
    bigquery: Engine, client: Client, checked_for: Any
) -> None:
    with pytest.raises(TooCostlyError, match="1,000 bytes; the limit is 999") as caught:
        run_sql(
            checked_for("bigquery"), bigquery, allow_unverified_engine=True, max_bytes_billed=999
        )
    assert "max_bytes_billed" in caught.value.fix and len(client.jobs) == 1


def test_bigquerys_plan_is_its_dry_run(bigquery: Engine, client: Client, checked_for: Any) -> None:
    plan = explain_sql(checked_for("bigquery"), bigquery, allow_unverified_engine=True)
    assert plan.bytes == 1000 and plan.rows is None and "1,000 bytes" in plan.text
    assert [config.get("dry_run") for _, config in client.jobs] == [True]


def test_a_bigquery_job_is_cancelled(bigquery: Engine, client: Client, checked_for: Any) -> None:
    client.over = threading.Event()
    with pytest.raises(QueryTimeoutError):
        run_sql(checked_for("bigquery"), bigquery, timeout_s=0.3, allow_unverified_engine=True)
    assert client.cancelled
