"""The hostile corpus on real engines: nothing gets through, and the everyday statements all do.

The same functions as `benchmarks/guard_corpus.py`, which prints the figures. Here each engine is
fingerprinted (rows, tables, roles, files, settings, locks, an open transaction) around the
statements: with the whole guard, and with the engine's own lock alone, under a forged seal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "benchmarks")]

from guard_corpus import (  # noqa: E402
    EVERYDAY_LIMIT_S,
    guard_off,
    guard_on,
    hostile,
    lock_alone,
    refused_by_check,
    tally,
)
from playground import ENGINES, Playground, PostgresPlay, closing  # noqa: E402
from servers import NoServerError  # noqa: E402

# What a read-only transaction is known to let through: these are functions, which the check
# refuses. Whatever else appears here fails the test.
BEYOND_THE_LOCK: dict[str, set[str]] = {
    "sqlite": set(),
    "duckdb": set(),
    "postgresql": {"SELECT pg_advisory_lock(1)", "SELECT pg_try_advisory_lock(1)"},
    "mariadb": {"SELECT @x := 1"},
}
# At least so many of the corpus must do harm where nothing guards, or the corpus proves little.
HARMFUL = {"sqlite": 25, "duckdb": 30, "postgresql": 40, "mariadb": 30}


@pytest.fixture(scope="module", params=list(ENGINES))
def play(request: pytest.FixtureRequest) -> Iterator[Playground]:
    """Each engine in turn; its administrator's connection, so that nothing but the guard helps."""
    if request.param == "postgres":
        with closing(PostgresPlay(request.getfixturevalue("postgres_server"))) as made:
            yield made
        return
    try:
        with ENGINES[request.param]() as made:
            yield made
    except NoServerError as error:
        pytest.skip(str(error))


def test_the_check_refuses_them_all(play: Playground) -> None:
    refused, tried = refused_by_check(play.dialect)
    assert refused == tried >= 250


def test_nothing_hostile_gets_through(play: Playground) -> None:
    ran: list[str] = []
    run = guard_on(play)

    def attempt(sql: str) -> None:
        with suppress(Exception):
            run(sql)
            ran.append(sql)

    assert play.changed_by(hostile(play.dialect), attempt) == []
    assert ran == []


def test_the_engines_lock_alone_lets_no_change_through(play: Playground) -> None:
    run = lock_alone(play)

    def attempt(sql: str) -> None:
        with suppress(Exception):  # most are refused, each in its engine's way
            run(sql)

    assert set(play.changed_by(hostile(play.dialect), attempt)) <= BEYOND_THE_LOCK[play.label]


def test_everyday_statements_run_and_change_nothing(play: Playground) -> None:
    from check_shop import good_statements

    statements = good_statements(play.dialect)
    assert len(statements) > 100
    run = guard_on(play, EVERYDAY_LIMIT_S)
    assert play.changed_by(statements, run) == []  # an error would fail the test


@pytest.mark.slow
def test_the_corpus_is_hostile(play: Playground) -> None:
    """With nothing to guard, these statements do what the others are refused for."""
    found: Any = tally(play, hostile(play.dialect), guard_off(play))
    assert len(found.changed) >= HARMFUL[play.label]
    assert len(found.changed) + len(found.ran) >= 2 * HARMFUL[play.label]
