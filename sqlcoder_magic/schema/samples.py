"""A few values of each text column, for the model. Nothing is read unless the user asked.

One bounded statement a table: the most frequent short values among its first rows. A table
that cannot be sampled keeps its columns and costs a note. Not covered: looking up the values
that a question mentions (`values`).
"""

from __future__ import annotations

import re
from dataclasses import replace

from sqlcoder_magic.connection import Database, Session
from sqlcoder_magic.schema.found import named, plural
from sqlcoder_magic.schema.quiet import attempt
from sqlcoder_magic.types import Column, Schema, Table

FIRST_ROWS = 10_000  # of a table are looked at
LONGEST_VALUE = 60  # characters
SPARE = 2  # more are fetched: the blank one, and what SQLite keeps as a blob, are not shown
MOST_COLUMNS = 100  # of a table are sampled: SQLite joins at most 500 SELECTs by UNION
MOST_TABLES = 200  # are sampled in one go

TEXT_TYPE = re.compile(
    r"\s*(?:n?(?:var)?char2?|character|bpchar|(?:tiny|medium|long|n)?text|citext|n?clob|string|name)"
    r"(?:\s+varying)?\s*(?:\(.*\))?(?:\s+collate\s+\S+)?\s*",
    re.I,
)

Samples = dict[tuple[int, str], tuple[Column, ...]]


def with_samples(
    database: Database, session: Session, schema: Schema, per_column: int, known: Samples
) -> Schema:
    """The schema with `per_column` values in each text column; `known` is what was read before."""
    tables, failed, skipped = [], [], 0
    asked = 0
    for table in schema.tables:
        cached = known.get((per_column, table.full_name))
        if cached is None and not text_columns(table):
            cached = table.columns
        if cached is None and asked >= MOST_TABLES:
            cached, skipped = table.columns, skipped + 1
        elif cached is None:
            asked += 1
            try:
                cached = _sampled(database, session, table, per_column)
            except Exception as error:  # noqa: BLE001 - whatever its driver raises, it is a note
                failed.append(f"{table.full_name} ({type(error).__name__})")
                cached = table.columns
            known[per_column, table.full_name] = cached
        tables.append(replace(table, columns=cached))
    notes = list(schema.notes)
    if failed:
        notes.append(f"No sample values from {named(failed)}.")
    if skipped:
        notes.append(f"No sample values from {plural(skipped, 'further table')}.")
    return replace(schema, tables=tuple(tables), notes=tuple(notes))


def text_columns(table: Table) -> list[Column]:
    """The columns of a table that hold text and have no samples yet."""
    text = [c for c in table.columns if not c.samples and TEXT_TYPE.fullmatch(c.type)]
    return text[:MOST_COLUMNS]


def _sampled(
    database: Database, session: Session, table: Table, per_column: int
) -> tuple[Column, ...]:
    columns = text_columns(table)
    values: dict[str, list[str]] = {column.name: [] for column in columns}
    for position, value, _ in attempt(session, _statement(database, table, columns, per_column)):
        found = values[columns[position].name]
        if isinstance(value, str) and value.strip() and len(found) < per_column:
            found.append(value)
    return tuple(
        replace(column, samples=tuple(values[column.name])) if values.get(column.name) else column
        for column in table.columns
    )


def quoted(name: str, dialect: str) -> str:
    """A name in the quotes of its engine."""
    mark = "`" if dialect in ("mysql", "bigquery", "databricks", "spark", "hive") else '"'
    return mark + name.replace(mark, mark * 2) + mark


def quoted_table(table: Table, dialect: str) -> str:
    """A table's full name, each part in quotes; DuckDB's namespace may be a database's schema."""
    parts = [table.namespace] if table.namespace else []
    if dialect == "duckdb" and table.namespace:
        parts = table.namespace.split(".")
    return ".".join(quoted(part, dialect) for part in [*parts, table.name])


def _statement(database: Database, table: Table, columns: list[Column], per_column: int) -> str:
    """The most frequent values, most frequent first; ties in the values' order."""
    dialect = database.dialect
    source = quoted_table(table, dialect)
    listed = ", ".join(f"{quoted(c.name, dialect)} AS c{i}" for i, c in enumerate(columns))
    each = " UNION ALL ".join(
        f"SELECT * FROM (SELECT {i} AS p, c{i} AS v, count(*) AS n FROM part "
        f"WHERE length(c{i}) <= {LONGEST_VALUE} GROUP BY c{i} "
        f"ORDER BY n DESC, v LIMIT {per_column + SPARE}) AS s{i}"
        for i in range(len(columns))
    )
    return (
        f"WITH part AS (SELECT {listed} FROM {source} LIMIT {FIRST_ROWS}) "
        f"SELECT p, v, n FROM ({each}) AS found ORDER BY p, n DESC, v"
    )
