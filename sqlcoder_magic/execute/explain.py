"""`explain_sql`: what the engine would do for a `CheckedSQL`, and what it expects that to cost.

The plan is asked for under the same guard as a run: the same read-only session, limits and
cancel. EXPLAIN without ANALYZE runs nothing. The estimates are the engine's own and can be far
off; SQLite and Oracle give none. Not here: refusing what is too costly (`pipeline`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlcoder_magic.errors import NL2SQLError, RunError
from sqlcoder_magic.execute.base import COMMENTS, Guard
from sqlcoder_magic.execute.collect import Rows
from sqlcoder_magic.execute.run import limits_of, run_guarded, stopped
from sqlcoder_magic.types import CheckedSQL, Plan

_ALREADY = re.compile(COMMENTS + r"explain\b", re.I | re.S)
_MOST_LINES = 200  # of a plan's text


@dataclass(frozen=True)
class Step:
    """A line of a plan: how deep it is nested, what is done, how many rows it is to give."""

    depth: int
    text: str
    rows: int | None = None


Steps = Iterator[Step]


def explain_sql(
    checked: CheckedSQL,
    connection: object,
    *,
    timeout_s: float = 30.0,
    allow_unverified_engine: bool = False,
) -> Plan:
    """The plan of `checked`, which is not run. `connection` is anything `open_database` takes.

    A text that is itself an EXPLAIN gives its own plan, without figures. Raises what `run_sql`
    raises, and RunError where the engine has no plan that could be had without writing.
    """
    limits = limits_of(10_000, 2**24, timeout_s)
    try:
        database, rows = run_guarded(
            checked, connection, limits, unverified=allow_unverified_engine, send=_send(checked)
        )
    except KeyboardInterrupt:
        raise stopped() from None
    if _ALREADY.match(checked.sql):
        return Plan(_lines(rows))
    return _READ[database.engine_name](rows)


def _send(checked: CheckedSQL) -> Callable[[str, Guard], None]:
    def send(engine_name: str, guard: Guard) -> None:
        if _ALREADY.match(checked.sql):
            guard.execute(checked.sql)
        elif engine_name in _PREFIXES:
            guard.execute(_PREFIXES[engine_name] + checked.sql)
        elif engine_name in _READ:
            guard.explain(checked.sql)  # type: ignore[attr-defined]  # the warehouses' own
        else:
            raise _no_plan(engine_name)

    return send


def _no_plan(engine_name: str) -> NL2SQLError:
    return RunError(
        f"There is no plan to show: {engine_name} gives none without writing it to a table.",
        fix="Ask without --explain (max_estimated_rows = 0).",
    )


# ---------------------------------------------------------------- from the engine's words


def _plan(steps: Steps, total_bytes: int | None = None) -> Plan:
    found = list(steps)
    lines = [
        "  " * step.depth + step.text + (f"  (~{step.rows:,} rows)" if step.rows else "")
        for step in found
    ]
    estimates = [step.rows for step in found if step.rows is not None]
    text = _cut(lines) or "No table is read."
    return Plan(text, max(estimates, default=None), total_bytes)


def _cut(lines: list[str]) -> str:
    more = [f"… and {len(lines) - _MOST_LINES:,} more lines"] if len(lines) > _MOST_LINES else []
    return "\n".join(lines[:_MOST_LINES] + more)


def _lines(rows: Rows) -> str:
    """A plan that came as text, or (MySQL, SQLite) as a table of steps."""
    shown = ("  ".join(str(value) for value in row if value is not None) for row in rows.rows)
    return _cut([line for text in shown for line in text.splitlines()])


def _json(rows: Rows) -> Any:
    value = rows.rows[0][-1] if rows.rows else None
    return json.loads(value) if isinstance(value, str | bytes) else value


def _number(value: object) -> int | None:
    """A figure as engines write it: 12, 12.0, "12", "1.2e+06"; None for anything else."""
    try:
        return int(float(str(value)))
    except (ValueError, OverflowError):
        return None


def _sqlite(rows: Rows) -> Plan:
    depths: dict[Any, int] = {0: -1}
    steps = []
    for number, parent, _, text in rows.rows:
        depths[number] = depths.get(parent, -1) + 1
        steps.append(Step(depths[number], str(text)))
    return _plan(iter(steps))


def _postgres(rows: Rows) -> Plan:
    def walk(node: Mapping[str, Any], depth: int) -> Steps:
        on = node.get("Relation Name") or node.get("CTE Name") or node.get("Function Name")
        index = f" using {node['Index Name']}" if "Index Name" in node else ""
        text = str(node["Node Type"]) + index + (f" on {on}" if on else "")
        yield Step(depth, text, _number(node.get("Plan Rows")))
        for child in node.get("Plans", ()):
            yield from walk(child, depth + 1)

    return _plan(walk(_json(rows)[0]["Plan"], 0))


def _duckdb(rows: Rows) -> Plan:
    def walk(nodes: list[dict[str, Any]], depth: int) -> Steps:
        for node in nodes:
            on = (node.get("extra_info") or {}).get("Table")
            text = str(node.get("name", "")).strip().replace("_", " ").capitalize()
            yield Step(depth, text + (f" on {on}" if on else ""), _duckdb_rows(node))
            yield from walk(node.get("children") or [], depth + 1)

    return _plan(walk(_json(rows), 0))


def _duckdb_rows(node: dict[str, Any]) -> int | None:
    """A cross product comes without an estimate, and is what a limit is there for."""
    expected = _number((node.get("extra_info") or {}).get("Estimated Cardinality"))
    if expected is not None or "CROSS" not in str(node.get("name")):
        return expected
    parts = [_duckdb_rows(child) for child in node.get("children") or []]
    return math.prod(part for part in parts if part is not None)


# Keys of MySQL's and MariaDB's JSON that hold no steps, and those that are no steps themselves.
_MYSQL_DETAILS = {"cost_info", "possible_keys", "used_key_parts", "used_columns", "ref"}
_MYSQL_FRAMES = {"", "query_block", "nested_loop", "table", "query_specifications", "subqueries"}


def _mysql(rows: Rows) -> Plan:
    """The two differ in many names, and agree on what a table looks like."""
    return _plan(_mysql_steps(_json(rows), 0))


def _mysql_steps(node: Any, depth: int, name: str = "", outer: float = 1.0) -> Steps:
    """`outer` is how many rows the tables before this one in its nested loop give."""
    if isinstance(node, list):
        for item in filter(_is_nested, node):
            yield from _mysql_steps(item, depth, "", outer)
            outer *= _mysql_rows(item) or 1.0 if name == "nested_loop" else 1.0
        return
    if "access_type" in node:
        key = f" using {node['key']}" if node.get("key") else ""
        text = f"{node['access_type']} on {node.get('table_name', '?')}{key}"
        produced = _number(node.get("rows_produced_per_join"))  # MySQL: after all joins so far
        own = _mysql_rows({"table": node})
        yield Step(depth, text, int(outer * own) if produced is None and own else produced)
    elif name not in _MYSQL_FRAMES:
        yield Step(depth, name.replace("_", " "))
    deeper = depth if name in _MYSQL_FRAMES and "access_type" not in node else depth + 1
    for key, value in node.items():
        if _is_nested(value) and key not in _MYSQL_DETAILS:
            same_loop = key == "table" or key.endswith("join")
            yield from _mysql_steps(value, deeper, key, outer if same_loop else 1.0)


def _is_nested(value: object) -> bool:
    """Whether steps can be in it; a list of words (a table's partitions) has none."""
    return isinstance(value, dict | list)


def _mysql_rows(item: Mapping[str, Any]) -> float | None:
    """Rows of the table in an item of a nested loop, of those the part that its filter keeps."""
    inner = next((v for v in item.values() if isinstance(v, dict) and "table" in v), item)
    table = inner.get("table") or {}
    expected = table.get("rows", table.get("rows_examined_per_scan"))
    return None if expected is None else float(expected) * float(table.get("filtered", 100)) / 100


def _redshift(rows: Rows) -> Plan:
    steps = []
    for line in _lines(rows).splitlines():
        found = re.search(r"\brows=(\d+)", line)
        steps.append(Step(0, line.rstrip(), int(found[1]) if found else None))
    return _plan(iter(steps))


def _snowflake(rows: Rows) -> Plan:
    plan = _json(rows)
    steps = (
        Step(0, " ".join([str(node.get("operation")), *map(str, node.get("objects") or ())]))
        for stage in plan.get("Operations", ())
        for node in stage
    )
    return _plan(steps, _number((plan.get("GlobalStats") or {}).get("bytesAssigned")))


def _trino(rows: Rows) -> Plan:
    plan = _json(rows)
    estimate = plan.get("estimate") or {}
    steps = [Step(0, "Output", _number(estimate.get("outputRowCount")))]
    for table in plan.get("inputTableColumnInfos", ()):
        schema_table = table["table"]["schemaTable"]
        expected = _number((table.get("estimate") or {}).get("outputRowCount"))
        steps.append(Step(1, f"{schema_table['schema']}.{schema_table['table']}", expected))
    return _plan(iter(steps), _number(estimate.get("outputSizeInBytes")))


_UNITS = {unit: 1024**power for power, unit in enumerate(("B", "KiB", "MiB", "GiB", "TiB", "PiB"))}


def _spark(rows: Rows) -> Plan:
    """The figures of the optimised plan: the largest of all its steps."""
    text = _lines(rows)
    sizes = [
        int(float(number) * _UNITS[unit])
        for number, unit in re.findall(r"sizeInBytes=([\d.E+]+) ([KMGTP]?i?B)\b", text)
        if unit in _UNITS
    ]
    counts = [int(float(number)) for number in re.findall(r"rowCount=([\d.E+]+)", text)]
    return Plan(text, max(counts, default=None), max(sizes, default=None))


def _sql_server(rows: Rows) -> Plan:
    """The XML's operators, flat; attributes are read by pattern, nothing in it is executed."""
    text = str(rows.rows[0][0]) if rows.rows else ""
    steps = []
    for tag in re.findall(r"<RelOp\b[^>]*>", text):
        values = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        expected = _number(values.get("EstimateRows"))
        steps.append(Step(0, values.get("PhysicalOp", "?"), expected))
    return _plan(iter(steps))


def _bigquery(rows: Rows) -> Plan:
    expected = int(rows.rows[0][0])
    return Plan(f"BigQuery would read {expected:,} bytes.", None, expected)


_PREFIXES = {
    "sqlite": "EXPLAIN QUERY PLAN ",
    "postgresql": "EXPLAIN (FORMAT JSON) ",
    "duckdb": "EXPLAIN (FORMAT JSON) ",
    "mysql": "EXPLAIN FORMAT=JSON ",
    "mariadb": "EXPLAIN FORMAT=JSON ",
}
_READ: Mapping[str, Callable[[Rows], Plan]] = {
    "sqlite": _sqlite,
    "postgresql": _postgres,
    "duckdb": _duckdb,
    "mysql": _mysql,
    "mariadb": _mysql,
    "redshift": _redshift,
    "snowflake": _snowflake,
    "trino": _trino,
    "hive": _spark,
    "databricks": _spark,
    "mssql": _sql_server,
    "bigquery": _bigquery,
}
