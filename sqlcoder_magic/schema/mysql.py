"""MySQL's and MariaDB's catalogue: information_schema in five statements.

Only the current database is read; where none is chosen, every one that is not the server's
own. Not covered: rights on single columns (information_schema leaves out what may not be read),
and temporary tables, which information_schema does not list before MariaDB 11.2.
"""

from __future__ import annotations

from typing import Any

from sqlcoder_magic.connection import Session
from sqlcoder_magic.schema.enums import enum_values
from sqlcoder_magic.schema.found import Found, Key, named, plural
from sqlcoder_magic.types import Column

_HERE = (
    "table_schema NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys') "
    "AND table_schema = COALESCE(DATABASE(), table_schema)"
)
_TABLES = f"""
SELECT table_schema AS s, table_name AS n, table_type AS k, table_comment AS c, table_rows AS r
FROM information_schema.tables WHERE {_HERE} AND table_type <> 'SEQUENCE'
ORDER BY table_schema, table_name"""

_COLUMNS = f"""
SELECT table_schema AS s, table_name AS t, column_name AS n, column_type AS k,
       is_nullable AS o, column_comment AS c, generation_expression AS g
FROM information_schema.columns WHERE {_HERE}
ORDER BY table_schema, table_name, ordinal_position"""

_KEYS = f"""
SELECT table_schema AS s, table_name AS t, constraint_name AS k, column_name AS n,
       referenced_table_schema AS rs, referenced_table_name AS rt, referenced_column_name AS rn
FROM information_schema.key_column_usage
WHERE {_HERE} AND (constraint_name = 'PRIMARY' OR referenced_table_name IS NOT NULL)
ORDER BY table_schema, table_name, constraint_name, ordinal_position"""

# A part of an index that is a term has no column.
_UNIQUE = f"""
SELECT table_schema AS s, table_name AS t, index_name AS k, column_name AS n
FROM information_schema.statistics
WHERE {_HERE} AND non_unique = 0 AND index_name <> 'PRIMARY'
ORDER BY table_schema, table_name, index_name, seq_in_index"""

_FINGERPRINT = f"""
SELECT DATABASE(), CURRENT_USER(), CURRENT_ROLE(), COUNT(*),
       SUM(CRC32(CONCAT_WS('/', table_schema, table_name, column_name, ordinal_position,
           column_type, is_nullable, column_key, column_comment, generation_expression))),
       (SELECT CONCAT_WS('/', COUNT(*), SUM(CRC32(CONCAT_WS('/', table_schema, table_name,
               table_type, table_comment)))) FROM information_schema.tables WHERE {_HERE}),
       (SELECT CONCAT_WS('/', COUNT(*), SUM(CRC32(CONCAT_WS('/', table_schema, table_name,
               constraint_name, column_name, referenced_table_name, referenced_column_name))))
        FROM information_schema.key_column_usage WHERE {_HERE})
FROM information_schema.columns WHERE {_HERE}"""

# What the server counts of the statements that change a catalogue, as each begins: two short
# statements in place of a checksum over every column.
# https://dev.mysql.com/doc/refman/8.4/en/server-status-variables.html#statvar_Com_xxx
_COUNTED = (
    *("create_table", "alter_table", "drop_table", "rename_table", "create_view", "drop_view"),
    *("create_db", "alter_db", "drop_db", "create_index", "drop_index"),
    *("grant", "revoke", "revoke_all"),
)
_OPTIONAL = ("grant_role", "revoke_role", "create_sequence", "drop_sequence")
_STATUS = "SHOW GLOBAL STATUS WHERE Variable_name IN ({})".format(
    ", ".join(f"'Com_{name}'" for name in (*_COUNTED, *_OPTIONAL)) + ", 'Threads_running'"
)
_SERVER = (
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('hostname', 'port', 'read_only', "
    "'innodb_read_only', 'wsrep_on', 'group_replication_group_name')"
)


def read(session: Session) -> Found:
    """Every table and view of the current database."""
    found = Found()
    ((here,),) = session.fetch("SELECT DATABASE()")

    def key(database: str, table: str) -> Key:
        return ("" if database == here else database, table)

    for database, table, kind, comment, rows in session.fetch(_TABLES):
        if "VIEW" in kind:  # its comment is the word VIEW, or why it is broken
            found.tables[key(database, table)] = ""
            found.kinds[key(database, table)] = "view"
        else:
            found.tables[key(database, table)] = comment or ""
            if rows is not None:
                found.rows[key(database, table)] = int(rows)
    for database, table, name, declared, nullable, comment, expression in session.fetch(_COLUMNS):
        kind = declared.decode() if isinstance(declared, bytes) else declared
        values, generated = enum_values(kind), bool(expression)
        column = Column(name, kind, nullable == "YES", comment or "", values, generated)
        found.add_column(key(database, table), column)
    for (database, table, _), parts in _grouped(session.fetch(_KEYS)).items():
        columns = tuple(part[0] for part in parts)
        if parts[0][2] is None:
            found.primary_keys[key(database, table)] = columns
        else:
            other = key(parts[0][1], parts[0][2])
            found.add_reference(key(database, table), columns, other, [p[3] for p in parts])
    for (database, table, _), parts in _grouped(session.fetch(_UNIQUE)).items():
        if all(part[0] is not None for part in parts):
            found.add_unique(key(database, table), [part[0] for part in parts])
    empty = [f"{space}.{name}" if space else name for space, name in found.without_columns()]
    if empty:
        found.notes.append(
            f"{plural(len(empty), 'table')} left out, because the server tells no column of "
            f"them (a broken view, or no right to read it): {named(empty)}."
        )
    return found


def glance(session: Session) -> tuple[Any, ...] | None:
    """Equal to an earlier one if nothing can have changed; None where that cannot be told.

    It cannot while another thread runs, which may be in the middle of a change that was counted
    before, nor on a copy whose changes are made elsewhere.
    """
    counted = {name.casefold(): value for name, value in session.fetch(_STATUS)}
    server = {name.casefold(): value for name, value in session.fetch(_SERVER)}
    copy = ("read_only", "innodb_read_only", "wsrep_on", "group_replication_group_name")
    followed = any(server.get(name, "OFF") not in ("OFF", "0", "") for name in copy)
    known = all(f"com_{name}" in counted for name in _COUNTED)
    if not known or followed or str(counted.pop("threads_running", "")) != "1":
        return None
    user = session.fetch("SELECT DATABASE(), CURRENT_USER(), CURRENT_ROLE()")
    return (*sorted(counted.items()), *sorted(server.items()), *user)


def fingerprint(session: Session) -> str:
    """A checksum over every column and key."""
    return repr(session.fetch(_FINGERPRINT))


def _grouped(rows: list[tuple[Any, ...]]) -> dict[tuple[Any, ...], list[tuple[Any, ...]]]:
    """The rows of each key, by its database, table and name, which come first in a row."""
    groups: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for row in rows:
        groups.setdefault(row[:3], []).append(row[3:])
    return groups
