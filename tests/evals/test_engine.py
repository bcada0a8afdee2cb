"""Running SQL for a measurement: rows, limits, and nothing but reading."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sqlcoder_magic.errors import QueryTimeoutError, RunError
from sqlcoder_magic.evals import engine
from sqlcoder_magic.evals.engine import run_sqlite
from sqlcoder_magic.sample.compare import Result


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "a b.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (a INTEGER, b TEXT)")
        connection.execute("INSERT INTO t VALUES (1, 'x'), (2, CAST(x'ff41' AS TEXT))")
        connection.commit()
    return path


def test_rows_and_names(database: Path) -> None:
    assert run_sqlite(database, "SELECT a AS n, b FROM t", timeout_s=5) == Result(
        ("n", "b"), ((1, "x"), (2, "\ufffdA"))
    )


@pytest.mark.parametrize("sql", ["SELEC 1", "SELECT c FROM t", "SELECT 1; SELECT 2", "SELECT '\0'"])
def test_what_does_not_run_is_a_sentence(database: Path, sql: str) -> None:
    with pytest.raises(RunError):
        run_sqlite(database, sql, timeout_s=5)


WRITES = [
    "DELETE FROM t",
    "DROP TABLE t",
    "CREATE TABLE u (a)",
    "PRAGMA user_version = 7",
    "ATTACH '{other}' AS o",
    "VACUUM INTO '{other}'",
]


@pytest.mark.parametrize("sql", WRITES)
def test_a_prediction_cannot_write(database: Path, tmp_path: Path, sql: str) -> None:
    other = tmp_path / "other.sqlite"
    statement = sql.format(other=other)
    before = database.read_bytes()
    with pytest.raises(RunError):
        run_sqlite(database, statement, timeout_s=5)
    assert database.read_bytes() == before
    assert not other.exists()
    with closing(sqlite3.connect(database, isolation_level=None)) as unguarded:
        unguarded.execute(statement)
    assert database.read_bytes() != before or other.exists() or sql.startswith("ATTACH")


def test_a_query_without_end_is_stopped(database: Path) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n"
    with pytest.raises(QueryTimeoutError, match=r"0\.2 s"):
        run_sqlite(database, endless, timeout_s=0.2)


def test_too_many_rows_are_not_an_answer(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "ROW_LIMIT", 1)
    with pytest.raises(RunError, match="More than 1 rows"):
        run_sqlite(database, "SELECT a FROM t", timeout_s=5)


def test_a_missing_file_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="unable to open"):
        run_sqlite(tmp_path / "none.sqlite", "SELECT 1", timeout_s=5)
    assert list(tmp_path.iterdir()) == []
