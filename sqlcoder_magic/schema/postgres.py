"""PostgreSQL's catalogue in five statements.

Tables, views, materialised views, foreign tables (whose server is not asked); a partition is
folded into its parent, and what an extension brought along is left out. A table has no
namespace if the search path reaches it. Not covered: Redshift (`redshift`), CockroachDB and
others that speak its protocol but lack parts of its catalogue (`inspector`).
"""

from __future__ import annotations

from typing import Any

from sqlcoder_magic.connection import Session
from sqlcoder_magic.schema.enums import MOST_VALUES
from sqlcoder_magic.schema.found import Found, Key, named, plural
from sqlcoder_magic.types import Column

_KINDS = {"v": "view", "m": "materialized view", "f": "foreign table"}

# The relations that count, for the statements below.
_RELATIONS = """
SELECT c.oid, c.relnamespace, n.nspname, c.relname, c.relkind, c.reltuples, c.relpages
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_toast'
  AND NOT pg_catalog.pg_is_other_temp_schema(n.oid)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.deptype = 'e' AND e.objid = c.oid
                  AND e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass)"""

# A table that was never analysed has no pages and -1 rows, 0 before version 14.
_TABLES = f"""
SELECT r.oid::bigint, r.nspname::text, r.relname::text,
       pg_catalog.pg_table_is_visible(r.oid) AS visible,
       pg_catalog.has_schema_privilege(r.relnamespace, 'USAGE')
           AND pg_catalog.has_any_column_privilege(r.oid, 'SELECT') AS readable,
       d.description, r.relkind::text,
       CASE WHEN r.relkind = 'v' OR (r.relkind <> 'p' AND r.relpages = 0) THEN NULL
            WHEN r.reltuples >= 0 AND r.relpages > 0 THEN r.reltuples::bigint
            WHEN r.relkind = 'p' THEN (
                SELECT sum(l.reltuples)::bigint FROM pg_catalog.pg_partition_tree(r.oid) t
                JOIN pg_catalog.pg_class l ON l.oid = t.relid
                WHERE t.isleaf AND l.relpages > 0)
            END AS rows
FROM ({_RELATIONS}) r
LEFT JOIN pg_catalog.pg_description d
  ON d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objoid = r.oid
  AND d.objsubid = 0
ORDER BY 2, 3"""

_COLUMNS = f"""
SELECT a.attrelid::bigint AS relation, a.attnum::int AS number, a.attname::text AS name,
       pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull, d.description,
       COALESCE(NULLIF(t.typbasetype, 0), NULLIF(t.typelem, 0), t.oid)::bigint AS base,
       pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT') AS readable,
       a.attgenerated <> '' AS generated
FROM ({_RELATIONS}) r
JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_description d
  ON d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objoid = a.attrelid
  AND d.objsubid = a.attnum
ORDER BY 1, 2"""

# A key on a partition repeats its parent's: conparentid is set there.
_KEYS = f"""
SELECT k.conrelid::bigint, k.contype::text, k.conkey, k.confrelid::bigint, k.confkey
FROM ({_RELATIONS}) r
JOIN pg_catalog.pg_constraint k ON k.conrelid = r.oid
WHERE k.contype IN ('p', 'f') AND k.conparentid = 0
ORDER BY k.conrelid, k.conname"""

# Of a constraint or an index alike; not one of some rows, of terms, or still being built.
_UNIQUE = f"""
SELECT i.indrelid::bigint, (i.indkey::int2[])[0:i.indnkeyatts - 1] AS numbers
FROM ({_RELATIONS}) r
JOIN pg_catalog.pg_index i ON i.indrelid = r.oid
WHERE i.indisunique AND NOT i.indisprimary AND i.indisvalid
  AND i.indpred IS NULL AND i.indexprs IS NULL
ORDER BY i.indrelid, i.indexrelid"""

_ENUMS = """
SELECT enumtypid::bigint, enumlabel::text FROM pg_catalog.pg_enum
ORDER BY enumtypid, enumsortorder"""

# Any change of a catalogue row gives it a new xmin; a removed row changes sum and count.
_CATALOGUES = (
    *("pg_class", "pg_attribute", "pg_constraint", "pg_index", "pg_description", "pg_enum"),
    *("pg_type", "pg_namespace", "pg_inherits", "pg_auth_members"),
)
_FINGERPRINT = (
    "SELECT current_database(), current_user, pg_catalog.current_schemas(true)::text, "
    + ", ".join(
        f"(SELECT pg_catalog.concat(count(*), ':', sum(xmin::text::bigint)) "
        f"FROM pg_catalog.{catalogue}{' WHERE attnum > 0' if catalogue == 'pg_attribute' else ''})"
        for catalogue in _CATALOGUES
    )
)


def read(session: Session) -> Found:
    """Every table that this user may read; a note names how many may not be read."""
    found = Found()
    keys: dict[int, Key] = {}
    refused = []
    for oid, namespace, name, visible, readable, comment, kind, rows in session.fetch(_TABLES):
        if not readable:
            refused.append(name if visible else f"{namespace}.{name}")
            continue
        key = keys[oid] = ("" if visible else namespace, name)
        found.tables[key] = comment or ""
        if kind in _KINDS:
            found.kinds[key] = _KINDS[kind]
        if rows is not None:
            found.rows[key] = rows
    if refused:
        count = plural(len(refused), "table")
        found.notes.append(f"{count} left out, because you may not read them: {named(refused)}.")
    names = _read_columns(session, keys, found)
    _read_keys(session, keys, names, found)
    return found


def fingerprint(session: Session) -> str:
    """Changes with every change of the catalogue, the search path or the user."""
    return repr(session.fetch(_FINGERPRINT))


def _read_columns(
    session: Session, keys: dict[int, Key], found: Found
) -> dict[tuple[int, int], str]:
    """Enter the columns; their names by relation and number."""
    labels: dict[int, list[str]] = {}
    for type_oid, label in session.fetch(_ENUMS):
        labels.setdefault(type_oid, []).append(label)
    enums = {oid: tuple(values[:MOST_VALUES]) for oid, values in labels.items()}
    names = {}
    for row in session.fetch(_COLUMNS):
        relation, number, name, kind, not_null, comment, base, readable, generated = row
        if relation in keys and readable:
            names[relation, number] = name
            values = enums.get(base, ())
            column = Column(name, kind, not not_null, comment or "", values, generated)
            found.add_column(keys[relation], column)
    return names


def _read_keys(
    session: Session, keys: dict[int, Key], names: dict[tuple[int, int], str], found: Found
) -> None:
    def named_columns(relation: int, numbers: Any) -> tuple[str, ...]:
        return tuple(names.get((relation, number), "") for number in numbers or ())

    for relation, kind, numbers, other, other_numbers in session.fetch(_KEYS):
        columns = named_columns(relation, numbers)
        others = named_columns(other, other_numbers)
        if relation not in keys or not all(columns) or not all(others):
            continue
        if kind == "p":
            found.primary_keys[keys[relation]] = columns
        elif other in keys:
            found.add_reference(keys[relation], columns, keys[other], others)
    for relation, numbers in session.fetch(_UNIQUE):
        columns = named_columns(relation, numbers)
        if relation in keys and all(columns):
            found.add_unique(keys[relation], columns)
