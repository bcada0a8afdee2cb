"""Building the sample databases: what is in them, and every way in which building can go wrong."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from sqlcoder_magic.errors import DatabaseConnectionError
from sqlcoder_magic.sample import clinic_path, sample_path
from sqlcoder_magic.sample.build import _temporary_directory, cache_directory, database_path
from sqlcoder_magic.sample.clinic import CLINIC
from sqlcoder_magic.sample.shop import SHOP

SHOP_TABLES = {
    "products": ["product_id", "name", "price", "quantity"],
    "customers": ["customer_id", "name", "address"],
    "salespeople": ["salesperson_id", "name", "region"],
    "sales": [
        "sale_id",
        "product_id",
        "customer_id",
        "salesperson_id",
        "sale_date",
        "quantity",
    ],
    "product_suppliers": ["supplier_id", "product_id", "supply_price"],
}


def fetch(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache directory for one test, named by the variable."""
    directory = tmp_path / "cache"
    monkeypatch.setenv("SQLCODER_MAGIC_CACHE", str(directory))
    return directory


def tables(path: Path) -> dict[str, list[str]]:
    names = fetch(path, "SELECT name FROM sqlite_master WHERE type = 'table'")
    return {
        str(name): [str(row[1]) for row in fetch(path, f"PRAGMA table_info({name})")]
        for (name,) in names
    }


def test_the_shop_has_exactly_these_tables_and_columns() -> None:
    assert tables(sample_path()) == SHOP_TABLES


def test_the_clinic_has_six_tables() -> None:
    assert set(tables(clinic_path())) == {
        "departments",
        "doctors",
        "patients",
        "appointments",
        "medicines",
        "prescriptions",
    }


@pytest.mark.parametrize("database", [SHOP, CLINIC], ids=lambda one: one.name)
def test_keys_are_declared_and_hold(database: object) -> None:
    path = sample_path() if database is SHOP else clinic_path()
    for name in tables(path):
        keys = [row[1] for row in fetch(path, f"PRAGMA table_info({name})") if row[5]]
        assert len(keys) == 1, f"{name} has no single primary key"
    assert fetch(path, "PRAGMA foreign_key_check") == []
    references = sum(len(fetch(path, f"PRAGMA foreign_key_list({name})")) for name in tables(path))
    assert references == (4 if database is SHOP else 5)


@pytest.mark.parametrize("database", [SHOP, CLINIC], ids=lambda one: one.name)
def test_every_column_has_a_comment_that_sqlite_keeps(database: object) -> None:
    path = sample_path() if database is SHOP else clinic_path()
    for name, sql in fetch(path, "SELECT name, sql FROM sqlite_master WHERE type = 'table'"):
        lines = str(sql).splitlines()[1:-1]
        assert len(lines) == len(tables(path)[str(name)])
        assert all(re.fullmatch(r"  \w+ [A-Z].* -- \w.+", line) for line in lines)


def test_three_years_of_plausible_sales() -> None:
    dates = [
        date.fromisoformat(str(row[0]))
        for row in fetch(sample_path(), "SELECT sale_date FROM sales ORDER BY sale_date")
    ]
    assert len(dates) >= 5000
    assert (dates[0], dates[-1]) == (date(2022, 1, 1), date(2024, 12, 31))
    years = Counter(day.year for day in dates)
    assert years[2022] < years[2023] < years[2024]
    months = Counter(day.month for day in dates)
    assert months[12] > 1.4 * months[2], "no Christmas business"
    weekdays = Counter(day.weekday() for day in dates)
    assert max(weekdays, key=weekdays.__getitem__) == 4, "Friday is the busiest day"
    assert min(weekdays, key=weekdays.__getitem__) == 6, "Sunday is the quietest day"


def test_customers_live_at_addresses_in_real_cities() -> None:
    addresses = [str(row[0]) for row in fetch(sample_path(), "SELECT address FROM customers")]
    pattern = re.compile(r"\d+ [\w ]+ (?:St|Ave|Rd), ([A-Z][A-Za-z ]+), ([A-Z]{2}) \d{5}")
    found = [pattern.fullmatch(address) for address in addresses]
    assert all(found)
    cities = Counter(match.group(1) for match in found if match)
    assert len(cities) >= 12
    assert cities["New York"] >= 10
    assert cities["San Francisco"] >= 10


def test_a_city_is_found_by_like_alone() -> None:
    """No street is called like a city, so the obvious SQL is right."""
    loose = fetch(sample_path(), "SELECT COUNT(*) FROM customers WHERE address LIKE '%New York%'")
    tight = fetch(
        sample_path(), "SELECT COUNT(*) FROM customers WHERE address LIKE '%, New York, NY _____'"
    )
    assert loose == tight


def test_sizes() -> None:
    (counts,) = fetch(
        sample_path(),
        "SELECT (SELECT COUNT(*) FROM products), (SELECT COUNT(*) FROM customers), "
        "(SELECT COUNT(*) FROM salespeople), (SELECT COUNT(DISTINCT region) FROM salespeople)",
    )
    assert counts == (40, 300, 12, 4)
    assert sample_path().stat().st_size < 1_000_000
    assert clinic_path().stat().st_size < 1_000_000


@pytest.mark.parametrize("database", [SHOP, CLINIC], ids=lambda one: one.name)
def test_the_rows_are_the_same_every_time(database: object) -> None:
    assert database.rows() == database.rows()  # type: ignore[attr-defined]


def test_the_rows_are_the_same_in_another_process(cache: Path) -> None:
    """Another process has another hash seed: no order of a set may get into the rows."""
    script = "import sqlcoder_magic.sample as s; s.sample_path(); s.clinic_path()"
    for seed in ("1", "2"):
        directory = cache / seed
        environment = {**os.environ, "SQLCODER_MAGIC_CACHE": str(directory), "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    for name in ("shop-1.sqlite", "clinic-1.sqlite"):
        assert (cache / "1" / name).read_bytes() == (cache / "2" / name).read_bytes()


def test_two_processes_at_once_are_fine(cache: Path) -> None:
    script = "import sqlcoder_magic.sample as s; print(s.sample_path())"
    running = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = {process.communicate()[0].strip() for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert answers == {str(cache / SHOP.file_name)}
    assert [path.name for path in cache.iterdir()] == [SHOP.file_name], "a temporary file stayed"


def test_it_is_built_once(cache: Path) -> None:
    first = sample_path().stat()
    second = sample_path().stat()
    assert (first.st_ino, first.st_mtime_ns) == (second.st_ino, second.st_mtime_ns)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.write_bytes(b"not a database" * 100), id="other file"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:5000]), id="cut off"),
        pytest.param(lambda path: fetch(path, "PRAGMA user_version = 99"), id="other version"),
        pytest.param(lambda path: fetch(path, "DROP TABLE sales"), id="table dropped"),
    ],
)
def test_a_damaged_or_stale_file_is_built_anew(cache: Path, damage: object) -> None:
    path = sample_path()
    whole = path.read_bytes()
    damage(path)  # type: ignore[operator]
    assert path.read_bytes() != whole
    assert sample_path() == path
    assert path.read_bytes() == whole


def test_a_name_with_odd_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "a b%20?#ü"
    monkeypatch.setenv("SQLCODER_MAGIC_CACHE", str(directory))
    assert tables(sample_path()) == SHOP_TABLES
    assert sample_path().parent == directory


def test_the_cache_follows_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SQLCODER_MAGIC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "sqlcoder_magic"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_directory() == tmp_path / ".cache" / "sqlcoder_magic"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_directory() == tmp_path / "Library" / "Caches" / "sqlcoder_magic"


def test_a_home_that_cannot_be_written_means_a_temporary_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file where a directory should be stops even root, unlike a mode of 0o500."""
    blocker = tmp_path / "home"
    blocker.write_text("")
    monkeypatch.delenv("SQLCODER_MAGIC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocker))
    path = database_path(SHOP)
    assert path.parent == _temporary_directory()
    assert tables(path) == SHOP_TABLES


def test_a_chosen_directory_that_cannot_be_written_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    monkeypatch.setenv("SQLCODER_MAGIC_CACHE", str(blocker / "below"))
    with pytest.raises(DatabaseConnectionError) as caught:
        sample_path()
    assert str(blocker / "below") in caught.value.message
    assert "SQLCODER_MAGIC_CACHE" in caught.value.fix


def test_nothing_stays_where_the_disk_is_full(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("sqlcoder_magic.sample.build._fill", full)
    with pytest.raises(DatabaseConnectionError, match="disk is full"):
        sample_path()
    assert list(cache.iterdir()) == []
