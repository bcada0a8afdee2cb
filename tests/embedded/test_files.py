"""Files as views of the embedded DuckDB: those that were named, as they are now, and no others."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sqlcoder_magic.check import check_sql
from sqlcoder_magic.connection import open_database
from sqlcoder_magic.embedded import files
from sqlcoder_magic.errors import DatabaseConnectionError, RunError, SQLRejected
from sqlcoder_magic.execute import run_sql
from sqlcoder_magic.schema import read_schema
from sqlcoder_magic.types import CheckedSQL


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a file of each kind, which is the current one."""
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    (data / "orders.csv").write_text("id,city\n1,Oslo\n2,Bern\n")
    (data / "cities.tsv").write_text("city\tcountry\nOslo\tNorway\n")
    (data / "lines.ndjson").write_text('{"id": 1, "net": 2.5}\n{"id": 2, "net": 3}\n')
    (data / "notes.json").write_text('[{"note": "a"}]')
    duckdb.connect().execute(f"COPY (SELECT 7 AS seven) TO '{data}/numbers.parquet'")
    (data / "packed.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n"))
    (data / "readme.txt").write_text("not a table")
    return tmp_path


def tables(where: str) -> dict[str, list[str]]:
    return {t.name: [c.name for c in t.columns] for t in read_schema(where).tables}


def rows(where: str, sql: str) -> list[tuple[Any, ...]]:
    frame = run_sql(check_sql(sql, read_schema(where)), where)
    return list(frame.itertuples(index=False, name=None))


def test_a_directory_is_a_table_a_file(here: Path) -> None:
    assert tables("data") == {
        "cities": ["city", "country"],
        "lines": ["id", "net"],
        "notes": ["note"],
        "numbers": ["seven"],
        "orders": ["id", "city"],
        "packed": ["a", "b"],
    }
    assert rows(
        "data",
        "SELECT country, net FROM orders JOIN cities ON orders.city = cities.city "
        "JOIN lines ON lines.id = orders.id",
    ) == [("Norway", 2.5)]


def test_a_glob_a_file_and_the_home_directory(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(tables("data/*.csv")) == {"orders"}
    assert set(tables("**/*.parquet")) == {"numbers"}
    assert set(tables(str(here / "data" / "notes.json"))) == {"notes"}
    monkeypatch.setenv("HOME", str(here))
    assert set(tables("~/data/cities.tsv")) == {"cities"}


def test_names_are_plain_and_unique(here: Path) -> None:
    odd = here / "odd"
    odd.mkdir()
    for name in ("a b.csv", "a_b.csv", "A-B.tsv", "2024.csv", "-.csv", "qu'ote\".csv", "x*.csv"):
        (odd / name).write_text("p\n1\n")
    (odd / "xy.csv").write_text("p\n2\n")
    names = set(tables("odd"))
    assert names == {"A_B", "a_b_2", "a_b_3", "t_2024", "file", "qu_ote", "x", "xy"}
    assert rows("odd", "SELECT p FROM x") == [(1,)]  # the star in its name is no pattern
    assert rows("odd/x[*].csv", "SELECT p FROM x") == [(1,)]


def test_a_file_is_read_anew_at_each_question(here: Path) -> None:
    assert rows("data/orders.csv", "SELECT COUNT(*) FROM orders") == [(2,)]
    assert open_database("data/orders.csv").native is open_database("data/orders.csv").native
    with (here / "data" / "orders.csv").open("a") as file:
        file.write("3,Rome\n")
    assert rows("data/orders.csv", "SELECT COUNT(*) FROM orders") == [(3,)]
    (here / "data" / "orders.csv").write_text("other,names,now\n1,2,3\n")
    assert tables("data/orders.csv") == {"orders": ["other", "names", "now"]}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('{dir}/cities.tsv')",
        "SELECT * FROM '{dir}/cities.tsv'",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('{dir}/*')",
        "SELECT * FROM read_parquet('{dir}/*.parquet')",
        "SELECT * FROM read_json('{dir}/../data/notes.json')",
        "COPY orders TO '{dir}/out.csv'",
        "ATTACH '{dir}/new.db'",
        "INSTALL httpfs",
    ],
)
def test_no_other_file_can_be_reached(here: Path, sql: str) -> None:
    """Refused by the check, by the guard (though forged past the check), and by the engine."""
    text = sql.format(dir=here / "data")
    before = sorted((here / "data").iterdir())
    database = open_database("data/orders.csv")
    schema = read_schema(database)
    with pytest.raises(SQLRejected):
        check_sql(text, schema)
    good = check_sql("SELECT id FROM orders", schema)
    with pytest.raises(RunError):
        run_sql(CheckedSQL(text, "duckdb", good.tables, seal=good.seal), database)
    with pytest.raises(duckdb.Error):
        database.native.cursor().execute(text).fetchall()
    assert sorted((here / "data").iterdir()) == before


def test_the_door_cannot_be_opened_again(here: Path) -> None:
    engine = open_database("data/orders.csv").native
    for attempt in (
        "SET enable_external_access = true",
        "SET allowed_paths = ['/etc/passwd']",
        "SET allowed_directories = ['/']",
        "RESET enable_external_access",
    ):
        with pytest.raises(duckdb.Error):
            engine.cursor().execute(attempt)
    with pytest.raises(duckdb.PermissionException):
        engine.cursor().execute("SELECT * FROM read_text('/etc/passwd')").fetchall()


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("data/nothing.csv", "There is no file data/nothing.csv."),
        ("data/*.xlsx", "No file matches data/*.xlsx."),
        ("data/*.txt", "data/*.txt has no CSV, TSV, Parquet or JSON file."),
        ("empty", "empty has no CSV, TSV, Parquet or JSON file."),
        ("bad/broken.parquet", "broken.parquet cannot be read: "),
        ("bad/broken.json", "broken.json cannot be read: "),
        ("bad/blank.csv", "blank.csv is empty."),
        ("bad/binary.csv", "binary.csv cannot be read: "),
    ],
)
def test_what_cannot_be_read_is_a_sentence(here: Path, where: str, said: str) -> None:
    (here / "empty").mkdir()
    (here / "bad").mkdir()
    (here / "bad" / "broken.parquet").write_bytes(b"PAR1 and then nothing that makes sense PAR1")
    (here / "bad" / "broken.json").write_text('{"a": ')
    (here / "bad" / "blank.csv").write_text("")
    (here / "bad" / "binary.csv").write_bytes(bytes(range(256)) * 40)
    with pytest.raises(DatabaseConnectionError) as caught:
        open_database(where)
    assert said in caught.value.message
    assert caught.value.fix


def test_too_many_files(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sqlcoder_magic.embedded.files.MOST_FILES", 2)
    with pytest.raises(DatabaseConnectionError, match="names 6 files; 2 at most"):
        open_database("data")


def test_a_database_file_is_still_no_table_file(here: Path) -> None:
    (here / "shop.db").write_bytes(b"SQLite format 3\x00")
    with pytest.raises(DatabaseConnectionError, match="is a file, not a connection"):
        open_database("shop.db")


def test_a_link_is_read_by_its_own_name(here: Path) -> None:
    (here / "data" / "linked.csv").symlink_to(here / "data" / "readme.txt")
    assert "linked" in tables("data")
    assert rows("data", "SELECT COUNT(*) FROM linked") == [(0,)]


def test_what_a_link_leads_to_later_is_not_read(here: Path) -> None:
    (here / "secret.csv").write_text("k\n1\n")
    checked = check_sql("SELECT * FROM orders", read_schema("data/orders.csv"))
    engine = open_database("data/orders.csv")
    (here / "data" / "orders.csv").unlink()
    (here / "data" / "orders.csv").symlink_to(here / "secret.csv")
    with pytest.raises(RunError):
        run_sql(checked, engine)


def test_the_engine_of_an_earlier_state_is_let_go(here: Path) -> None:
    before = len(files._engines)
    for text in ("a\n1\n", "a\n1\n2\n", "a\n1\n2\n3\n"):
        (here / "grows.csv").write_text(text)
        assert rows("grows.csv", "SELECT COUNT(*) FROM grows") == [(text.count("\n") - 1,)]
    assert len(files._engines) == before + 1
