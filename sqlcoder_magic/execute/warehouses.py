"""Engines that no test could start: what their documentation gives, as data, one value an engine.

Nothing here was ever sent to a real server: the tests record what a driver would be handed. So
these engines stay locked until a user lifts that with `allow_unverified_engine`, and every answer
from one carries `unverified_note`. `warehouse_guard.py` does what is written here.

Not here: PostgreSQL, MySQL, MariaDB, SQLite and DuckDB, whose guards are tried on real engines.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlcoder_magic.connection import Database
from sqlcoder_magic.errors import EngineNotGuardedError
from sqlcoder_magic.execute.base import not_guarded

TAG = "sqlcoder_magic"


@dataclass(frozen=True)
class Warehouse:
    """One engine. In every text `{seconds}`, `{milliseconds}` and `{session}` are filled in.

    `drivers` are the modules of the DB-API connections that this was written for; `attributes`
    are set on that connection, then `before` is sent. Where `probe` is not empty it is a write
    that must fail with `refusal` in its error, and `again` is sent after it. `after` is sent at
    the end. `cancel` names what has a `cancel()`: "cursor", "connection" or "job"; or it is SQL
    that a second session sends, about the session that `whoami` asked for. `explain` stands
    before a query to ask for its plan alone, after `explain_first` was sent. `layer` completes
    the user's note: what holds off a write, and what does not.
    """

    name: str
    pages: tuple[str, ...]
    drivers: tuple[str, ...]
    cancel: str
    layer: str
    attributes: tuple[tuple[str, object], ...] = ()
    before: tuple[str, ...] = ()
    probe: str = ""
    refusal: str = ""
    again: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    whoami: str = ""
    explain: str = ""
    explain_first: tuple[str, ...] = ()


_NOTHING = "it has no read-only mode, so that it refuses a write could not be shown."

WAREHOUSES = {
    "snowflake": Warehouse(
        "Snowflake",
        pages=(
            "docs.snowflake.com/en/sql-reference/parameters",
            "docs.snowflake.com/en/sql-reference/transactions",
            "docs.snowflake.com/user-guide/querying-cancel-statements",
            "docs.snowflake.com/en/sql-reference/sql/explain",
        ),
        drivers=("snowflake",),
        before=(
            "ALTER SESSION SET STATEMENT_TIMEOUT_IN_SECONDS = {seconds}, "
            f"LOCK_TIMEOUT = 5, MULTI_STATEMENT_COUNT = 1, QUERY_TAG = '{TAG}'",
            "BEGIN TRANSACTION",
        ),
        after=("ROLLBACK",),
        whoami="SELECT CURRENT_SESSION()",
        cancel="SELECT SYSTEM$CANCEL_ALL_QUERIES({session})",
        explain="EXPLAIN USING JSON ",
        layer="it has no read-only mode: changed rows would be rolled back, changed tables not.",
    ),
    "bigquery": Warehouse(
        "BigQuery",
        pages=(
            "cloud.google.com/bigquery/docs/reference/rest/v2/Job (dryRun, maximumBytesBilled, "
            "jobTimeoutMs, labels, statementType)",
            "cloud.google.com/python/docs/reference/bigquery/latest: Client.query, QueryJobConfig",
        ),
        drivers=("google",),
        cancel="job",
        layer="that the statement only reads is what its own dry run says.",
    ),
    "mssql": Warehouse(
        "SQL Server",
        pages=(
            "learn.microsoft.com/sql/t-sql/statements/set-lock-timeout-transact-sql",
            "learn.microsoft.com/sql/t-sql/statements/set-showplan-xml-transact-sql",
            "github.com/mkleehammer/pyodbc/wiki: Connection (autocommit, timeout), Cursor.cancel",
        ),
        drivers=("pyodbc",),
        attributes=(("autocommit", False), ("timeout", "{seconds}")),
        before=("SET LOCK_TIMEOUT 5000",),
        after=("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION",),
        cancel="cursor",
        explain_first=("SET SHOWPLAN_XML ON",),
        layer="it has no read-only mode: what a statement changes would be rolled back.",
    ),
    "oracle": Warehouse(
        "Oracle",
        pages=(
            "docs.oracle.com, SQL Language Reference: SET TRANSACTION, EXPLAIN PLAN",
            "docs.oracle.com, Error Messages: ORA-01456",
            "python-oracledb.readthedocs.io: Connection (autocommit, call_timeout, module, cancel)",
        ),
        drivers=("oracledb",),
        attributes=(("autocommit", False), ("call_timeout", "{milliseconds}"), ("module", TAG)),
        before=("ROLLBACK", "SET TRANSACTION READ ONLY"),
        # EXPLAIN PLAN inserts into PLAN_TABLE, a temporary table that every user may write to.
        probe="EXPLAIN PLAN SET STATEMENT_ID = 'nl2sql_preflight' FOR SELECT 1 FROM dual",
        refusal="ORA-01456",
        again=("ROLLBACK", "SET TRANSACTION READ ONLY"),
        after=("ROLLBACK",),
        cancel="connection",
        layer="its read-only transaction refused a write just now; it would not refuse DDL.",
    ),
    "trino": Warehouse(
        "Trino",
        pages=(
            "trino.io/docs/current/admin/properties-query-management.html: query_max_run_time",
            "trino.io/docs/current/sql/set-session.html",
            "trino.io/docs/current/sql/explain.html: TYPE IO, FORMAT JSON",
            "github.com/trinodb/trino-python-client: Cursor.cancel",
        ),
        drivers=("trino",),
        before=("SET SESSION query_max_run_time = '{seconds}s'",),
        cancel="cursor",
        explain="EXPLAIN (TYPE IO, FORMAT JSON) ",
        layer=_NOTHING,
    ),
    "hive": Warehouse(
        "Spark",
        pages=(
            "spark.apache.org/docs/latest/configuration.html: "
            "spark.sql.thriftServer.queryTimeout, spark.job.description",
            "spark.apache.org/docs/latest/sql-ref-syntax-qry-explain.html: EXPLAIN COST",
            "github.com/dropbox/PyHive: Cursor.cancel",
        ),
        drivers=("pyhive",),
        before=(
            "SET spark.sql.thriftServer.queryTimeout = {seconds}s",
            f"SET spark.job.description = {TAG}",
        ),
        cancel="cursor",
        explain="EXPLAIN COST ",
        layer=_NOTHING,
    ),
    "redshift": Warehouse(
        "Redshift",
        pages=(
            "docs.aws.amazon.com/redshift/latest/dg/r_BEGIN.html: READ ONLY",
            "docs.aws.amazon.com/redshift/latest/dg/r_statement_timeout.html",
            "docs.aws.amazon.com/redshift/latest/dg/r_query_group.html",
            "docs.aws.amazon.com/redshift/latest/dg/r_CANCEL.html",
            "docs.aws.amazon.com/redshift/latest/dg/r_EXPLAIN.html",
        ),
        drivers=("redshift_connector",),
        attributes=(("autocommit", True),),  # otherwise the driver begins a writable transaction
        before=(
            "SET statement_timeout TO {milliseconds}",
            f"SET query_group TO '{TAG}'",
            "BEGIN READ ONLY",
        ),
        probe="CREATE TABLE nl2sql_preflight (x INTEGER)",
        refusal="read-only",
        again=("ROLLBACK", "BEGIN READ ONLY"),
        after=("ROLLBACK",),
        whoami="SELECT pg_backend_pid()",
        cancel="CANCEL {session}",
        explain="EXPLAIN ",
        layer="its read-only transaction refused a write just now.",
    ),
    "databricks": Warehouse(
        "Databricks",
        pages=(
            "docs.databricks.com/sql/language-manual/parameters/statement_timeout.html",
            "docs.databricks.com/aws/en/sql/language-manual/"
            "sql-ref-syntax-aux-conf-mgmt-set-query-tags",
            "docs.databricks.com/sql/language-manual/sql-ref-syntax-qry-explain.html",
            "docs.databricks.com/dev-tools/python-sql-connector.html: Cursor.cancel",
        ),
        drivers=("databricks",),
        before=(
            "SET STATEMENT_TIMEOUT = {seconds}",
            f"SET QUERY_TAGS['application'] = '{TAG}'",
        ),
        cancel="cursor",
        explain="EXPLAIN COST ",
        layer=_NOTHING,
    ),
}


def unverified_note(database: Database) -> tuple[str, ...]:
    """What every answer from such an engine has to say; nothing for the proven ones."""
    known = WAREHOUSES.get(database.engine_name)
    if known is None:
        return ()
    return (f"The guard for {known.name} has never been tried against a real one: {known.layer}",)


def locked(known: Warehouse) -> EngineNotGuardedError:
    """The refusal where the user has not lifted the lock."""
    return not_guarded(
        known.name,
        "its guard has only been tried against a recording driver, never against a real one",
        fix="Read it, and if it is right run it yourself in a `%%sql` cell; or lift this with "
        "--allow-unverified-engine (%config NL2SQL.allow_unverified_engine = True).",
    )
