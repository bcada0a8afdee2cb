"""A DuckDB in memory that sees nothing by itself: no file, no variable, no extension's download.

Not covered: what is put into it (`frames`, `files`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlcoder_magic.errors import DatabaseConnectionError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_CLOSED = {
    "python_enable_replacements": "false",  # a variable's name in SQL must not be its table
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


def fresh_engine(*, external: bool) -> DuckDBPyConnection:
    """An empty in-memory DuckDB; with `external` it may still open files, until told not to."""
    try:
        import duckdb
    except ImportError:
        raise DatabaseConnectionError(
            "DataFrames and files are asked through DuckDB, which is not installed.",
            fix="%pip install duckdb",
        ) from None
    access = {"enable_external_access": "true" if external else "false"}
    return duckdb.connect(":memory:", config={**_CLOSED, **access})


def is_open(engine: DuckDBPyConnection | None) -> bool:
    """Whether it is there, and nobody has closed it (jupysql's `%sql --close` does)."""
    if engine is None:
        return False
    import duckdb

    try:
        engine.cursor().close()
    except duckdb.ConnectionException:
        return False
    return True
