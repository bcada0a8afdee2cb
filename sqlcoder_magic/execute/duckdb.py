"""DuckDB, native or by duckdb-engine: a cursor of ours, a read-only transaction, its own parser.

A cursor is a second connection to the same database, in memory too; what is set on it is not
set on the user's. Before the text is sent, DuckDB's parser says what it is (one SELECT or
EXPLAIN) and what it reads (`json_serialize_sql`): only the checked tables and table functions
that read nothing outside; so a file or a DataFrame named like a table is refused here as well.

Not covered: `enable_external_access` holds for the whole instance and can never be switched on
again, so it is not touched on a database of the user; scalar functions are the check's part.
A PIVOT without IN is not a plain SELECT for the parser: there the check alone vouches for the
tables, as it does for where the name of a CTE means the CTE. Temporary tables and uncommitted
changes of the user's connection are not seen. A single huge value (rpad) ignores the interrupt
until it is made.
"""

from __future__ import annotations

import json
import re
from typing import Any

from sqlcoder_magic.connection import Session
from sqlcoder_magic.errors import RunError
from sqlcoder_magic.execute.base import (
    COMMENTS,
    Failure,
    Limits,
    lowered,
    spellings,
    unproven,
)
from sqlcoder_magic.types import CheckedSQL

_READ_ONLY = "BEGIN TRANSACTION READ ONLY"
_PROBE = "CREATE TABLE nl2sql_preflight (x INTEGER)"
_TABLE_FUNCTIONS = frozenset(
    {"range", "generate_series", "unnest", "json_each", "json_tree", "repeat", "repeat_row"}
)
_EXPLAIN = re.compile(
    COMMENTS + r"explain\s+(?:\(format\s+json\)\s+|(?!analy[sz]e\b|\())", re.I | re.S
)
_PIVOT = re.compile(r"\bpivot(_wider)?\b", re.I)


class DuckDBGuard:
    """One run on a cursor of a `DuckDBPyConnection`."""

    threaded = True

    def __init__(self, session: Session, checked: CheckedSQL, limits: Limits) -> None:
        import duckdb

        self.errors: tuple[type[Exception], ...] = (
            duckdb.Error,
            RuntimeError,
            OverflowError,
            ValueError,
        )
        self.columns: tuple[str, ...] = ()
        self._tables = spellings(checked.tables)
        # duckdb-engine's wrapper has a `cursor` of its own; `duplicate` reaches DuckDB's.
        self._cursor: duckdb.DuckDBPyConnection = session.raw.duplicate()
        self._json: frozenset[int] = frozenset()

    def begin(self) -> None:
        """See `Guard.begin`."""
        import duckdb

        self._cursor.execute("SET python_enable_replacements = false")  # DataFrames as tables
        self._cursor.execute(_READ_ONLY)
        try:
            self._cursor.execute(_PROBE)
            refused = False
        except duckdb.Error as error:
            refused = "read-only" in str(error)
        if not refused:
            raise unproven("DuckDB", "creating a table")
        self._cursor.execute("ROLLBACK")  # the refusal has ended the transaction
        self._cursor.execute(_READ_ONLY)

    def execute(self, sql: str) -> None:
        """See `Guard.execute`. Raises RunError for what DuckDB's own parser does not vouch for."""
        self._vouch(sql)
        self._cursor.execute(sql)
        description = self._cursor.description or []
        self.columns = tuple(str(column[0]) for column in description)
        self._json = frozenset(i for i, c in enumerate(description) if str(c[1]) == "JSON")

    def fetch(self, count: int) -> list[tuple[Any, ...]]:
        """See `Guard.fetch`."""
        rows = self._cursor.fetchmany(count)
        if not self._json:
            return rows
        return [
            tuple(_parsed(value) if i in self._json else value for i, value in enumerate(row))
            for row in rows
        ]

    def cancel(self) -> None:
        """See `Guard.cancel`."""
        self._cursor.interrupt()

    def restore(self) -> None:
        """See `Guard.restore`. Closing the cursor rolls back and forgets its settings."""
        self._cursor.close()

    def failure(self, error: Exception) -> Failure:
        """See `Guard.failure`."""
        text = str(error)
        fix = "%pip install pytz" if "'pytz'" in text else ""
        return Failure(text.split("\n\nLINE", 1)[0], fix=fix)

    # ------------------------------------------------------------ DuckDB's own parser

    def _vouch(self, sql: str) -> None:
        statements = self._cursor.extract_statements(sql)
        if len(statements) != 1:
            raise _refused(f"{len(statements)} statements, not one")
        kind = statements[0].type.name
        if kind == "EXPLAIN" and (match := _EXPLAIN.match(sql)):
            return self._vouch(sql[match.end() :])
        if kind == "MULTI" and _PIVOT.search(sql):
            return None
        if kind != "SELECT":
            raise _refused(f"a statement of kind {kind}")
        row = self._cursor.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
        tree = json.loads(row[0]) if row else {"error": True}
        if tree.get("error"):
            raise _refused("a statement that its parser cannot describe")
        return self._vouch_sources(tree)

    def _vouch_sources(self, tree: Any) -> None:
        found = _Sources()
        found.walk(tree)
        for name in found.tables - self._tables:
            # A CTE opens nothing, unless its name could be a file's as well.
            if name not in found.ctes or re.search(r"[./\\:*]", name):
                raise _refused(f"a query that reads {name!r}, which is none of the checked tables")
        unknown = found.functions - _TABLE_FUNCTIONS
        if unknown - self._own_macros():
            raise _refused(f"a query that calls the table function {min(unknown)}")

    def _own_macros(self) -> frozenset[str]:
        rows = self._cursor.execute(
            "SELECT lower(function_name) FROM duckdb_functions() "
            "WHERE function_type = 'table_macro' AND NOT internal"
        ).fetchall()
        return frozenset(str(row[0]) for row in rows)


class _Sources:
    """Lower-case names that a parsed statement reads from."""

    def __init__(self) -> None:
        self.tables: set[str] = set()
        self.functions: set[str] = set()
        self.ctes: set[str] = set()

    def walk(self, top: Any) -> None:
        """Collect from the whole tree, without recursion: it may be deep."""
        todo = [top]
        while todo:
            node = todo.pop()
            if isinstance(node, dict):
                self._visit(node)
                todo.extend(node.values())
            elif isinstance(node, list):
                todo.extend(node)

    def _visit(self, node: dict[str, Any]) -> None:
        if node.get("type") == "BASE_TABLE":
            self.tables.add(lowered(str(node.get("table_name"))))
        elif node.get("type") == "TABLE_FUNCTION":
            self.functions.add(str(node["function"].get("function_name")).lower())
        elif isinstance(node.get("cte_map"), dict):
            self.ctes |= {lowered(str(entry["key"])) for entry in node["cte_map"].get("map", ())}
        if node.get("cte_name"):  # a recursive one
            self.ctes.add(lowered(str(node["cte_name"])))


def _refused(what: str) -> RunError:
    return RunError(
        f"DuckDB's own parser sees {what}; nothing was run.",
        fix="Read the SQL, and if it is right run it yourself in a `%%sql` cell.",
    )


def _parsed(value: Any) -> Any:
    """A JSON value as Python objects; the text itself where it is not JSON after all."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value
