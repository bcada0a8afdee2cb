"""What SQL Server, Oracle, Snowflake, BigQuery, Redshift, Trino and Databricks are asked.

Written from their documentation (named at each), and tested against rows of the documented
layout only: none of these engines runs where this project is tested. Not covered: other
databases than the current one (catalog, project), and row estimates where a catalogue has none.
"""

from __future__ import annotations

from sqlcoder_magic.connection import Session
from sqlcoder_magic.schema.catalogues import Catalogue, Rows, Statement

# https://learn.microsoft.com/sql/relational-databases/system-catalog-views/
# Text lengths are in bytes there; -1 means max.
_SQL_SERVER_TYPE = """
    CASE WHEN t.name IN ('nvarchar', 'nchar')
             THEN CONCAT(t.name, '(', IIF(c.max_length < 0, 'max',
                         CAST(c.max_length / 2 AS varchar(5))), ')')
         WHEN t.name IN ('varchar', 'char', 'varbinary', 'binary')
             THEN CONCAT(t.name, '(', IIF(c.max_length < 0, 'max',
                         CAST(c.max_length AS varchar(5))), ')')
         WHEN t.name IN ('decimal', 'numeric')
             THEN CONCAT(t.name, '(', c.precision, ',', c.scale, ')')
         ELSE t.name END"""

_SQL_SERVER = Catalogue(
    here="SELECT SCHEMA_NAME()",
    tables="""
SELECT s.name, o.name, CASE o.type WHEN 'V' THEN 'view' ELSE 'table' END,
       CAST(p.value AS nvarchar(4000)), r.n
FROM sys.objects o
JOIN sys.schemas s ON s.schema_id = o.schema_id
LEFT JOIN sys.extended_properties p
  ON p.class = 1 AND p.major_id = o.object_id AND p.minor_id = 0 AND p.name = 'MS_Description'
LEFT JOIN (SELECT object_id, SUM(rows) AS n FROM sys.partitions WHERE index_id IN (0, 1)
           GROUP BY object_id) r ON r.object_id = o.object_id
WHERE o.type IN ('U', 'V') AND o.is_ms_shipped = 0
ORDER BY s.name, o.name""",
    columns=f"""
SELECT s.name, o.name, c.name, {_SQL_SERVER_TYPE}, c.is_nullable,
       CAST(p.value AS nvarchar(4000)), c.is_computed
FROM sys.objects o
JOIN sys.schemas s ON s.schema_id = o.schema_id
JOIN sys.columns c ON c.object_id = o.object_id
JOIN sys.types t ON t.user_type_id = c.user_type_id
LEFT JOIN sys.extended_properties p
  ON p.class = 1 AND p.major_id = o.object_id AND p.minor_id = c.column_id
  AND p.name = 'MS_Description'
WHERE o.type IN ('U', 'V') AND o.is_ms_shipped = 0
ORDER BY s.name, o.name, c.column_id""",
    keys=(
        Statement("""
SELECT s.name, o.name, i.name, i.is_primary_key, c.name
FROM sys.indexes i
JOIN sys.objects o ON o.object_id = i.object_id AND o.type = 'U' AND o.is_ms_shipped = 0
JOIN sys.schemas s ON s.schema_id = o.schema_id
JOIN sys.index_columns x ON x.object_id = i.object_id AND x.index_id = i.index_id
JOIN sys.columns c ON c.object_id = x.object_id AND c.column_id = x.column_id
WHERE i.is_unique = 1 AND i.has_filter = 0 AND x.key_ordinal > 0
ORDER BY s.name, o.name, i.index_id, x.key_ordinal"""),
    ),
    references=Statement("""
SELECT s.name, o.name, f.constraint_object_id, c.name, rs.name, ro.name, rc.name
FROM sys.foreign_key_columns f
JOIN sys.objects o ON o.object_id = f.parent_object_id
JOIN sys.schemas s ON s.schema_id = o.schema_id
JOIN sys.columns c ON c.object_id = f.parent_object_id AND c.column_id = f.parent_column_id
JOIN sys.objects ro ON ro.object_id = f.referenced_object_id
JOIN sys.schemas rs ON rs.schema_id = ro.schema_id
JOIN sys.columns rc
  ON rc.object_id = f.referenced_object_id AND rc.column_id = f.referenced_column_id
ORDER BY s.name, o.name, f.constraint_object_id, f.constraint_column_id"""),
    fingerprint="""
SELECT DB_NAME(), SCHEMA_NAME(), COUNT_BIG(*), MAX(modify_date),
       (SELECT CHECKSUM_AGG(CHECKSUM(object_id, column_id, name, user_type_id, max_length,
               precision, scale, is_nullable)) FROM sys.columns),
       (SELECT CHECKSUM_AGG(CHECKSUM(major_id, minor_id, CAST(value AS nvarchar(4000))))
        FROM sys.extended_properties)
FROM sys.objects""",
)

# https://docs.oracle.com/en/database/oracle/oracle-database/19/refrn/ (ALL_TAB_COMMENTS,
# ALL_TAB_COLS, ALL_CONSTRAINTS, ALL_CONS_COLUMNS; ALL_USERS.ORACLE_MAINTAINED since 12c)
_OURS = "IN (SELECT username FROM all_users WHERE oracle_maintained = 'N')"
_ORACLE_TYPE = """
    CASE WHEN c.data_type IN ('VARCHAR2', 'NVARCHAR2', 'CHAR', 'NCHAR')
             THEN c.data_type || '(' || c.char_length || ')'
         WHEN c.data_type = 'NUMBER' AND c.data_precision IS NOT NULL
             THEN 'NUMBER(' || c.data_precision || ',' || NVL(c.data_scale, 0) || ')'
         ELSE c.data_type END"""

_ORACLE = Catalogue(
    here="SELECT SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA') FROM dual",
    tables=f"""
SELECT n.owner, n.table_name,
       CASE WHEN m.mview_name IS NOT NULL THEN 'materialized view'
            WHEN n.table_type = 'VIEW' THEN 'view' ELSE 'table' END,
       COALESCE(mc.comments, n.comments), t.num_rows
FROM all_tab_comments n
LEFT JOIN all_tables t ON t.owner = n.owner AND t.table_name = n.table_name
LEFT JOIN all_mviews m ON m.owner = n.owner AND m.mview_name = n.table_name
LEFT JOIN all_mview_comments mc ON mc.owner = n.owner AND mc.mview_name = n.table_name
WHERE n.owner {_OURS} AND n.table_name NOT LIKE 'BIN$%'
ORDER BY n.owner, n.table_name""",
    columns=f"""
SELECT c.owner, c.table_name, c.column_name, {_ORACLE_TYPE}, c.nullable, d.comments,
       c.virtual_column
FROM all_tab_cols c
LEFT JOIN all_col_comments d
  ON d.owner = c.owner AND d.table_name = c.table_name AND d.column_name = c.column_name
WHERE c.hidden_column = 'NO' AND c.owner {_OURS}
ORDER BY c.owner, c.table_name, c.column_id""",
    keys=(
        Statement(f"""
SELECT k.owner, k.table_name, k.constraint_name, CASE k.constraint_type WHEN 'P' THEN 1 ELSE 0 END,
       c.column_name
FROM all_constraints k
JOIN all_cons_columns c ON c.owner = k.owner AND c.constraint_name = k.constraint_name
WHERE k.constraint_type IN ('P', 'U') AND k.owner {_OURS}
ORDER BY k.owner, k.table_name, k.constraint_name, c.position"""),
    ),
    references=Statement(f"""
SELECT k.owner, k.table_name, k.constraint_name, c.column_name, o.owner, o.table_name, o.column_name
FROM all_constraints k
JOIN all_cons_columns c ON c.owner = k.owner AND c.constraint_name = k.constraint_name
JOIN all_cons_columns o
  ON o.owner = k.r_owner AND o.constraint_name = k.r_constraint_name AND o.position = c.position
WHERE k.constraint_type = 'R' AND k.owner {_OURS}
ORDER BY k.owner, k.table_name, k.constraint_name, c.position"""),
    fingerprint=f"""
SELECT SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA'), COUNT(*), SUM(object_id), MAX(last_ddl_time),
       (SELECT SUM(ORA_HASH(owner || table_name || comments)) FROM all_tab_comments
        WHERE owner {_OURS}),
       (SELECT SUM(ORA_HASH(owner || table_name || column_name || comments))
        FROM all_col_comments WHERE owner {_OURS})
FROM all_objects WHERE owner {_OURS}""",
)


# https://docs.snowflake.com/en/sql-reference/info-schema, …/sql/show-primary-keys,
# …/show-unique-keys, …/show-imported-keys: the order of the columns is documented there.
def _shown_keys(primary: bool) -> Statement:
    def arrange(rows: Rows) -> Rows:
        ordered = sorted(rows, key=lambda row: (row[2], row[3], row[6], row[5]))
        return [(row[2], row[3], row[6], primary, row[4]) for row in ordered]

    kind = "PRIMARY" if primary else "UNIQUE"
    return Statement(f"SHOW {kind} KEYS IN DATABASE", arrange)


def _shown_references(rows: Rows) -> Rows:
    ordered = sorted(rows, key=lambda row: (row[6], row[7], row[12], row[9]))
    return [(row[6], row[7], row[12], row[8], row[2], row[3], row[4]) for row in ordered]


_SNOWFLAKE = Catalogue(
    here="SELECT CURRENT_SCHEMA()",
    tables="""
SELECT table_schema, table_name,
       CASE table_type WHEN 'VIEW' THEN 'view' WHEN 'MATERIALIZED VIEW' THEN 'materialized view'
            WHEN 'EXTERNAL TABLE' THEN 'foreign table' ELSE 'table' END,
       comment, row_count
FROM information_schema.tables WHERE table_schema <> 'INFORMATION_SCHEMA'
ORDER BY table_schema, table_name""",
    columns="""
SELECT table_schema, table_name, column_name,
       CASE WHEN data_type = 'NUMBER'
                THEN 'NUMBER(' || numeric_precision || ',' || numeric_scale || ')'
            ELSE data_type END,
       is_nullable, comment, FALSE
FROM information_schema.columns WHERE table_schema <> 'INFORMATION_SCHEMA'
ORDER BY table_schema, table_name, ordinal_position""",
    keys=(_shown_keys(primary=True), _shown_keys(primary=False)),
    references=Statement("SHOW IMPORTED KEYS IN DATABASE", _shown_references),
    fingerprint="""
SELECT CURRENT_DATABASE(), CURRENT_SCHEMA(), CURRENT_ROLE(), COUNT(*), MAX(last_ddl),
       HASH_AGG(table_schema, table_name, comment)
FROM information_schema.tables WHERE table_schema <> 'INFORMATION_SCHEMA'""",
)


def _dataset(session: Session) -> str:
    """BigQuery's default dataset, in quotes; a query of INFORMATION_SCHEMA has to name one."""
    name = getattr(getattr(session.alchemy, "dialect", None), "dataset_id", None) or ""
    return "`" + str(name).replace("`", "") + "`" if name else ""


# https://cloud.google.com/bigquery/docs/information-schema-intro; each of these statements is
# billed as 10 MB. A description is an SQL literal there: "…".
_BIGQUERY = Catalogue(
    place=_dataset,
    here="SELECT TRIM('{place}', '`')",
    tables="""
SELECT t.table_schema, t.table_name,
       CASE t.table_type WHEN 'VIEW' THEN 'view' WHEN 'MATERIALIZED VIEW' THEN 'materialized view'
            WHEN 'EXTERNAL' THEN 'foreign table' ELSE 'table' END,
       JSON_VALUE(o.option_value), NULL
FROM {place}.INFORMATION_SCHEMA.TABLES t
LEFT JOIN {place}.INFORMATION_SCHEMA.TABLE_OPTIONS o
  ON o.table_name = t.table_name AND o.option_name = 'description'
ORDER BY t.table_name""",
    columns="""
SELECT c.table_schema, c.table_name, c.column_name, c.data_type, c.is_nullable, f.description,
       c.is_generated
FROM {place}.INFORMATION_SCHEMA.COLUMNS c
LEFT JOIN {place}.INFORMATION_SCHEMA.COLUMN_FIELD_PATHS f
  ON f.table_name = c.table_name AND f.column_name = c.column_name
  AND f.field_path = c.column_name
WHERE c.is_hidden = 'NO'
ORDER BY c.table_name, c.ordinal_position""",
    keys=(
        Statement("""
SELECT k.table_schema, k.table_name, k.constraint_name, TRUE, k.column_name
FROM {place}.INFORMATION_SCHEMA.KEY_COLUMN_USAGE k
JOIN {place}.INFORMATION_SCHEMA.TABLE_CONSTRAINTS t
  ON t.constraint_name = k.constraint_name AND t.constraint_type = 'PRIMARY KEY'
ORDER BY k.table_name, k.constraint_name, k.ordinal_position"""),
    ),
    references=Statement("""
SELECT k.table_schema, k.table_name, k.constraint_name, k.column_name,
       p.table_schema, p.table_name, p.column_name
FROM {place}.INFORMATION_SCHEMA.KEY_COLUMN_USAGE k
JOIN {place}.INFORMATION_SCHEMA.TABLE_CONSTRAINTS t
  ON t.constraint_name = k.constraint_name AND t.constraint_type = 'FOREIGN KEY'
JOIN (SELECT DISTINCT constraint_name, table_schema, table_name
      FROM {place}.INFORMATION_SCHEMA.CONSTRAINT_COLUMN_USAGE) u
  ON u.constraint_name = k.constraint_name
JOIN {place}.INFORMATION_SCHEMA.KEY_COLUMN_USAGE p
  ON p.table_name = u.table_name AND p.constraint_name = CONCAT(u.table_name, '.pk$')
  AND p.ordinal_position = k.position_in_unique_constraint
ORDER BY k.table_name, k.constraint_name, k.ordinal_position"""),
)

# https://docs.aws.amazon.com/redshift/latest/dg/svv_views.html (SVV_ALL_TABLES,
# SVV_ALL_COLUMNS: external schemas too; SVV_TABLE_INFO: what is not empty). The catalogue
# tables that it shares with PostgreSQL lack half of what `postgres` asks for.
_SYSTEM = "('information_schema', 'pg_catalog', 'pg_internal', 'pg_automv', 'catalog_history')"
_STANDARD_KEYS = """
SELECT k.table_schema, k.table_name, k.constraint_name,
       CASE t.constraint_type WHEN 'PRIMARY KEY' THEN 1 ELSE 0 END, k.column_name
FROM information_schema.table_constraints t
JOIN information_schema.key_column_usage k
  ON k.constraint_schema = t.constraint_schema AND k.constraint_name = t.constraint_name
  AND k.table_name = t.table_name
WHERE t.constraint_type IN ('PRIMARY KEY', 'UNIQUE')
ORDER BY k.table_schema, k.table_name, k.constraint_name, k.ordinal_position"""
_STANDARD_REFERENCES = """
SELECT k.table_schema, k.table_name, k.constraint_name, k.column_name,
       o.table_schema, o.table_name, o.column_name
FROM information_schema.referential_constraints r
JOIN information_schema.key_column_usage k
  ON k.constraint_schema = r.constraint_schema AND k.constraint_name = r.constraint_name
JOIN information_schema.key_column_usage o
  ON o.constraint_schema = r.unique_constraint_schema
  AND o.constraint_name = r.unique_constraint_name
  AND o.ordinal_position = k.{matched}
ORDER BY k.table_schema, k.table_name, k.constraint_name, k.ordinal_position"""

_REDSHIFT = Catalogue(
    here="SELECT current_schema()",
    tables=f"""
SELECT schema_name, table_name,
       CASE table_type WHEN 'VIEW' THEN 'view' WHEN 'EXTERNAL TABLE' THEN 'foreign table'
            ELSE 'table' END, remarks, NULL
FROM svv_all_tables
WHERE database_name = current_database() AND schema_name NOT IN {_SYSTEM}
ORDER BY schema_name, table_name""",
    columns=f"""
SELECT schema_name, table_name, column_name,
       CASE WHEN data_type LIKE 'character%' AND character_maximum_length IS NOT NULL
                THEN data_type || '(' || character_maximum_length || ')'
            WHEN data_type = 'numeric' AND numeric_precision IS NOT NULL
                THEN 'numeric(' || numeric_precision || ',' || numeric_scale || ')'
            ELSE data_type END,
       is_nullable, remarks, 0
FROM svv_all_columns
WHERE database_name = current_database() AND schema_name NOT IN {_SYSTEM}
ORDER BY schema_name, table_name, ordinal_position""",
    keys=(Statement(_STANDARD_KEYS),),
    references=Statement(_STANDARD_REFERENCES.replace("{matched}", "ordinal_position")),
    sizes='SELECT "schema", "table", CAST(tbl_rows AS bigint) FROM svv_table_info',
)

# https://trino.io/docs/current/connector/system.html; Trino knows no keys. Comments of columns
# are in what its JDBC driver reads.
_TRINO = Catalogue(
    here="SELECT current_schema",
    tables="""
SELECT t.table_schema, t.table_name, CASE t.table_type WHEN 'VIEW' THEN 'view' ELSE 'table' END,
       c.comment, NULL
FROM information_schema.tables t
LEFT JOIN system.metadata.table_comments c
  ON c.catalog_name = current_catalog AND c.schema_name = t.table_schema
  AND c.table_name = t.table_name
WHERE t.table_schema <> 'information_schema'
ORDER BY t.table_schema, t.table_name""",
    columns="""
SELECT table_schem, table_name, column_name, type_name, is_nullable, remarks, is_generatedcolumn
FROM system.jdbc.columns
WHERE table_cat = current_catalog AND table_schem <> 'information_schema'
ORDER BY table_schem, table_name, ordinal_position""",
)

# https://docs.databricks.com/en/sql/language-manual/sql-ref-information-schema.html: Unity
# Catalog; without it, the inspector reads.
_DATABRICKS = Catalogue(
    here="SELECT current_schema()",
    tables="""
SELECT table_schema, table_name,
       CASE table_type WHEN 'VIEW' THEN 'view' WHEN 'MATERIALIZED_VIEW' THEN 'materialized view'
            WHEN 'FOREIGN' THEN 'foreign table' ELSE 'table' END,
       comment, NULL
FROM information_schema.tables WHERE table_schema <> 'information_schema'
ORDER BY table_schema, table_name""",
    columns="""
SELECT table_schema, table_name, column_name, full_data_type, is_nullable, comment, is_generated
FROM information_schema.columns WHERE table_schema <> 'information_schema'
ORDER BY table_schema, table_name, ordinal_position""",
    keys=(Statement(_STANDARD_KEYS),),
    references=Statement(
        _STANDARD_REFERENCES.replace("{matched}", "position_in_unique_constraint")
    ),
)

CATALOGUES = {
    "mssql": _SQL_SERVER,
    "oracle": _ORACLE,
    "snowflake": _SNOWFLAKE,
    "bigquery": _BIGQUERY,
    "redshift": _REDSHIFT,
    "trino": _TRINO,
    "databricks": _DATABRICKS,
}
