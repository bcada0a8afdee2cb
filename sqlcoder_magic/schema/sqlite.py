"""SQLite's catalogue in at most six statements for each attached database.

SQLAlchemy asks table by table, and its keys are quadratic in the number of tables; joining
`sqlite_master` with the pragma functions is one pass. SQLite has no comments of its own: the
ones written in a table's DDL count (`ddl_comments`). Not covered: what a type means; types
are spelled as declared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlcoder_magic.connection import Session
from sqlcoder_magic.schema.ddl_comments import ddl_comments
from sqlcoder_magic.schema.found import Found, Key, named, plural
from sqlcoder_magic.types import Column

_OURS = "m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
_PLAIN = "m.type = 'table' AND m.sql NOT LIKE 'CREATE VIRTUAL%'"
# pragma_table_xinfo.hidden: 1 in virtual tables, 2 and 3 for generated columns. In one number
# with the other small facts, a row takes half as long to fetch.
_BITS = 'x."notnull" + 2 * x.hidden + 8 * x.pk'
_HIDDEN = 1


@dataclass
class _Database:
    """One attached database: its tables and views in order, by rowid, with their DDL."""

    name: str
    rows: list[tuple[int, str, str, str]]  # rowid, name, type, DDL
    has_sizes: bool
    keys: dict[str, Key] = field(default_factory=dict)  # by name

    @property
    def master(self) -> str:
        return f"{_quoted(self.name)}.sqlite_master"


def read(session: Session) -> Found:
    """Every table and view of the main, temporary and attached databases."""
    try:
        with _quick_text(session.raw):
            return _read(session)
    except Exception as error:
        if not _is_undecodable(error):
            raise
    return _read(session)  # a name that is no UTF-8: as the session decodes it


def glance(session: Session) -> tuple[Any, ...]:
    """Equal to an earlier one if nothing can have changed; a file's schema is not even parsed."""
    parts = []
    for _, name, path in session.fetch("PRAGMA database_list"):
        version = session.fetch(f"PRAGMA {_quoted(name)}.schema_version")
        parts.append((name, path, *version, _file_state(path) or _size(session, name)))
    return tuple(parts)


def fingerprint(session: Session) -> str:
    """Changes with every change: the schema's version, and its size in case of a new file."""
    parts = []
    for _, name, path in session.fetch("PRAGMA database_list"):
        version = session.fetch(f"PRAGMA {_quoted(name)}.schema_version")
        parts.append((name, path, *version, *_size(session, name)))
    return repr(parts)


def _size(session: Session, database: str) -> tuple[Any, ...]:
    master = f"{_quoted(database)}.sqlite_master"
    return session.fetch(f"SELECT count(*), total(length(sql)) FROM {master}")[0]


def _file_state(path: str) -> tuple[int, ...]:
    """Which file it is and when it was written; never opened here: closing it would drop
    SQLite's locks (https://www.sqlite.org/howtocorrupt.html, 2.2)."""
    try:
        stat = Path(path).stat() if path else None
    except OSError:
        stat = None
    return (stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size) if stat else ()


def _read(session: Session) -> Found:
    found = Found()
    names = [str(row[1]) for row in session.fetch("PRAGMA database_list")]
    databases = [_master(session, name) for name in names]
    _name(databases)
    for database in databases:
        comments = _declare(database, found)
        _read_columns(session, database, comments, found)
        _read_references(session, database, found)
        _read_unique_keys(session, database, found)
        if database.has_sizes:
            _read_sizes(session, database, found)
    found.without_columns()  # broken views, noted while their columns were read
    return found


def _master(session: Session, name: str) -> _Database:
    rows = session.fetch(
        f"SELECT m.rowid, m.name, m.type, m.sql FROM {_quoted(name)}.sqlite_master AS m "
        f"WHERE {_OURS} OR m.name = 'sqlite_stat1' ORDER BY m.rowid"
    )
    shadows: set[str] = set()
    if any(re.match(r"CREATE VIRTUAL", row[3] or "", re.I) for row in rows):
        shadows = {str(row[0]) for row in _shadow_tables(session, name)}
    shadows.add("sqlite_stat1")
    kept = [(number, table, kind, sql or "") for number, table, kind, sql in rows
            if table not in shadows]  # fmt: skip
    return _Database(name, kept, has_sizes=any(row[1] == "sqlite_stat1" for row in rows))


def _shadow_tables(session: Session, database: str) -> list[tuple[Any, ...]]:
    """The tables in which a virtual table keeps its data. Known since SQLite 3.37."""
    if not session.fetch("SELECT 1 FROM pragma_module_list LIMIT 1"):
        return []
    if not session.fetch("SELECT 1 FROM pragma_pragma_list WHERE name = 'table_list'"):
        return []
    return session.fetch(
        f"SELECT name FROM pragma_table_list WHERE type = 'shadow' AND schema = {_text(database)}"
    )


def _name(databases: list[_Database]) -> None:
    """Give every table its namespace; a temporary table hides one of `main`."""
    hidden = {row[1].casefold() for base in databases if base.name == "temp" for row in base.rows}
    for base in databases:
        for _, name, _, _ in base.rows:
            plain = base.name == "temp" or (base.name == "main" and name.casefold() not in hidden)
            base.keys[name] = ("" if plain else base.name, name)


def _declare(database: _Database, found: Found) -> dict[str, dict[str, str]]:
    """Enter the tables; the comments of their columns by table and lower-case name."""
    comments = {}
    for _, name, kind, sql in database.rows:
        table_comment = ""
        if kind == "view":
            found.kinds[database.keys[name]] = kind
        elif "--" in sql or "/*" in sql:
            table_comment, comments[name] = ddl_comments(sql)
        found.tables[database.keys[name]] = table_comment
    return comments


def _read_columns(
    session: Session, database: _Database, comments: dict[str, dict[str, str]], found: Found
) -> None:
    names = {number: name for number, name, _, _ in database.rows}
    primary: dict[Key, list[tuple[int, str]]] = {}
    types: dict[str, str] = {}
    for number, name, declared, bits in _column_rows(session, database, found):
        table = names.get(number)
        not_null, hidden, position = bits & 1, bits >> 1 & 3, bits >> 3
        if table is None or hidden == _HIDDEN:
            continue
        kind = types.get(declared)
        if kind is None:
            kind = re.sub(r"\s*GENERATED ALWAYS$", "", declared or "", flags=re.I)
            types[declared] = kind
        comment = comments[table].get(name.casefold(), "") if table in comments else ""
        key = database.keys[table]
        nullable = not (not_null or position)
        found.add_column(key, Column(name, kind, nullable, comment, (), hidden > _HIDDEN))
        if position:
            primary.setdefault(key, []).append((position, name))
    for key, columns in primary.items():
        found.primary_keys[key] = tuple(name for _, name in sorted(columns))


def _column_rows(session: Session, database: _Database, found: Found) -> list[tuple[Any, ...]]:
    """All columns at once; if one view is broken, the tables at once and the rest singly."""
    try:
        return session.fetch(_columns_sql(database, _OURS))
    except Exception as error:
        if not _is_database_error(error):
            raise
    rows = session.fetch(_columns_sql(database, f"{_OURS} AND {_PLAIN}"))
    done = {row[0] for row in rows}
    broken = []
    for number, name, _, _ in database.rows:
        if number in done:
            continue
        try:
            rows += session.fetch(_columns_sql(database, f"m.rowid = {number}"))
        except Exception as error:
            if not _is_database_error(error):
                raise
            broken.append(name)
    if broken:
        count = plural(len(broken), "view")
        found.notes.append(f"{count} left out, because SQLite cannot read them: {named(broken)}.")
    return rows


def _columns_sql(database: _Database, condition: str) -> str:
    return (
        f"SELECT m.rowid, x.name, x.type, {_BITS} FROM {database.master} AS m "
        f"JOIN pragma_table_xinfo(m.name, {_text(database.name)}) AS x "
        f"WHERE {condition} ORDER BY m.rowid, x.cid"
    )


def _read_references(session: Session, database: _Database, found: Found) -> None:
    by_folded_name = {name.casefold(): key for name, key in database.keys.items()}
    groups: dict[tuple[str, int], list[tuple[Any, ...]]] = {}
    for row in session.fetch(
        'SELECT m.name, f.id, f."table", f."from", f."to" '
        f"FROM {database.master} AS m "
        f"JOIN pragma_foreign_key_list(m.name, {_text(database.name)}) AS f "
        f"WHERE {_OURS} AND {_PLAIN} ORDER BY m.rowid, f.id DESC, f.seq"
    ):
        groups.setdefault((row[0], row[1]), []).append(row)
    for (table, _), rows in groups.items():
        key, other = database.keys.get(table), by_folded_name.get(rows[0][2].casefold())
        if key is None or other is None:
            continue
        columns = [_spelled(row[3], key, found) for row in rows]
        targets = [_spelled(row[4], other, found) for row in rows if row[4] is not None]
        found.add_reference(key, columns, other, targets)


def _read_unique_keys(session: Session, database: _Database, found: Found) -> None:
    """Whole unique indexes, declared or made; not those of a part of the rows or of a term."""
    groups: dict[tuple[str, str], list[str | None]] = {}
    for table, index, column in session.fetch(
        f"SELECT m.tbl_name, m.name, c.name FROM {database.master} AS m "
        f"JOIN pragma_index_list(m.tbl_name, {_text(database.name)}) AS i ON i.name = m.name "
        f"JOIN pragma_index_info(m.name, {_text(database.name)}) AS c "
        "WHERE m.type = 'index' AND i.\"unique\" AND NOT i.partial AND i.origin <> 'pk' "
        "ORDER BY m.rowid, c.seqno"
    ):
        groups.setdefault((table, index), []).append(column)
    for (table, _), columns in groups.items():
        whole = [column for column in columns if column is not None]
        if table in database.keys and len(whole) == len(columns):
            found.add_unique(database.keys[table], whole)


def _read_sizes(session: Session, database: _Database, found: Found) -> None:
    """Rows as ANALYZE counted them: the first number of each index's statistics."""
    for table, rows in session.fetch(
        "SELECT tbl, max(CAST(stat AS INTEGER)) "
        f"FROM {_quoted(database.name)}.sqlite_stat1 GROUP BY tbl"
    ):
        if table in database.keys and rows is not None:
            found.rows[database.keys[table]] = rows


def _spelled(column: str, table: Key, found: Found) -> str:
    """The column as its table spells it: a foreign key may write it in another case."""
    known = found.columns.get(table, ())
    for exact in known:
        if exact.name == column:
            return column
    folded = column.casefold()
    return next((alike.name for alike in known if alike.name.casefold() == folded), column)


@contextmanager
def _quick_text(raw: Any) -> Iterator[None]:
    """Text as plain str meanwhile: a decoder in Python takes as long as all the rest."""
    before = raw.text_factory
    raw.text_factory = str
    try:
        yield
    finally:
        raw.text_factory = before


def _is_undecodable(error: Exception) -> bool:
    return isinstance(error, UnicodeError) or "decode" in str(error)


def _is_database_error(error: Exception) -> bool:
    """True for the driver's errors (sqlite3, pysqlite, SQLCipher alike), but for odd bytes."""
    if _is_undecodable(error):
        return False
    return any(kind.__name__ == "DatabaseError" for kind in type(error).__mro__)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
