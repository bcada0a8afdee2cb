"""Databases for the tests of `schema/`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from sqlcoder_magic.schema import refresh_schema


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """Each test begins without what another read."""
    refresh_schema()
    yield
    refresh_schema()


@pytest.fixture
def engines() -> Iterator[Callable[..., Engine]]:
    """`create_engine`, disposed of at the end."""
    made: list[Engine] = []

    def make(url: str, **options: object) -> Engine:
        made.append(create_engine(url, **options))
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()


@pytest.fixture
def sqlite_engine(tmp_path: Path, engines: Callable[..., Engine]) -> Callable[[str], Engine]:
    """A script -> an engine on a new SQLite file that it made."""

    def make(script: str) -> Engine:
        path = tmp_path / f"db{len(list(tmp_path.iterdir()))}.sqlite"
        connection = sqlite3.connect(path)
        connection.executescript(script)
        connection.close()
        return engines(f"sqlite:///{path}")

    return make
