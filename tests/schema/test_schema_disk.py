"""Schemas kept on disk: found again, checked, never trusted when damaged, and without a secret."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from schema_helpers import counted, names
from sqlalchemy import Engine, make_url

from sqlcoder_magic.connection import open_database
from sqlcoder_magic.schema import disk, read_schema, refresh_schema, sqlite

Engines = Callable[..., Engine]

SHOP = """CREATE TABLE a (x INT PRIMARY KEY, y TEXT UNIQUE, z INT AS (x + 1));  -- ünïcode 😀
CREATE TABLE b (x INT REFERENCES a); CREATE VIEW v AS SELECT x FROM a;
INSERT INTO a (x) VALUES (1); ANALYZE"""
SECRET = "hunter2-planted"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SQLCODER_MAGIC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "schemas"


@pytest.fixture
def shop(tmp_path: Path) -> str:
    path = tmp_path / "shop.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(SHOP)
    return f"sqlite:///{path}"


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("*")) if folder.exists() else []


def test_nothing_is_kept_unless_asked(shop: str, folder: Path) -> None:
    read_schema(shop)
    assert not kept(folder)


def test_a_kept_schema_is_the_same_and_is_not_read_again(
    shop: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_schema(shop, on_disk=True)
    (path,) = kept(folder)
    assert path.stat().st_mode & 0o077 == 0
    refresh_schema()  # as in a new session: only what is in memory is forgotten
    monkeypatch.setattr(sqlite, "_read", lambda _: pytest.fail("read again"))
    assert read_schema(shop, on_disk=True) == before
    assert kept(folder) == [path]


def test_a_changed_database_is_read_and_kept_anew(shop: str, folder: Path) -> None:
    read_schema(shop, on_disk=True)
    refresh_schema()
    with sqlite3.connect(shop.removeprefix("sqlite:///")) as connection:
        connection.execute("CREATE TABLE c (x INT)")
    assert "c" in names(read_schema(shop, on_disk=True))
    (path,) = kept(folder)
    assert "c" in [table["name"] for table in json.loads(path.read_text())["schema"]["tables"]]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[" * 100_000,
        lambda text: text.replace('"columns"', '"colums"'),
        lambda text: text.replace('"nullable"', '"nulable"'),
        lambda text: "null",
        lambda text: text.replace('"dialect": "sqlite"', '"dialect": "postgres"'),
        lambda text: text.replace('"namespace": ""', '"namespace": [1]'),
    ],
)
def test_a_damaged_file_is_a_note(shop: str, folder: Path, damage: Callable[[str], str]) -> None:
    before = read_schema(shop, on_disk=True)
    (path,) = kept(folder)
    text = path.read_text()
    path.write_text(damage(text))
    refresh_schema()
    schema = read_schema(shop, on_disk=True)
    assert schema.tables == before.tables
    assert schema.notes == ("The schema kept on disk was damaged; it was read anew.",)
    assert path.read_text() == text
    refresh_schema()
    assert read_schema(shop, on_disk=True).notes == ()


def test_bytes_that_are_no_text_are_damage(shop: str, folder: Path) -> None:
    read_schema(shop, on_disk=True)
    (path,) = kept(folder)
    path.write_bytes(b"\xff\xfe\x00garbage")
    refresh_schema()
    assert read_schema(shop, on_disk=True).notes


def test_refreshing_forgets_the_file(shop: str, folder: Path) -> None:
    read_schema(shop, on_disk=True)
    refresh_schema(shop)
    assert not kept(folder)


def test_a_directory_that_cannot_be_written_is_no_harm(
    shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("SQLCODER_MAGIC_CACHE", str(blocked))
    assert names(read_schema(shop, on_disk=True)) == ["a", "b", "v"]


def test_a_database_in_memory_is_not_kept(engines: Engines, folder: Path) -> None:
    engine = engines("sqlite:///:memory:")
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE t (a INT)")
        read_schema(connection, on_disk=True)
    assert not kept(folder)


def test_no_password_in_name_or_content(
    postgres_url: str, engines: Engines, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_url(postgres_url).set(password=SECRET)
    engine = engines(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (a int)")
    before = read_schema(engine, on_disk=True)
    (path,) = kept(folder)
    found = f"{path}\n{path.read_text()}"
    assert SECRET not in found
    assert str(url.host or url.query["host"]) not in found
    refresh_schema()
    with counted(monkeypatch) as sent:
        assert read_schema(engine, on_disk=True) == before
    assert len(sent) == 1
    other = open_database(engines(url.set(username="somebody_else")))
    assert disk._path(other) != path
