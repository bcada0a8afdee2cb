"""Grown statements: the check answers each, and what it lets through is harmless on real engines.

Harmless is meant strictly: run by an administrator, without any guard, it changes nothing that a
fingerprint of the whole engine sees (rows, tables, roles, files, settings, locks, an open
transaction) and shows nothing of what is planted in a hidden table and in files. The tests always
grow the same statements, the slow ones for about a minute an engine; for others the environment
has SQLCODER_MAGIC_FUZZ_SEED, a number or `random`. For longer hunts, and for one that follows the
coverage of the check's code: `benchmarks/fuzz_check.py`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from random import Random

import pytest
from check_mutations import mutant, pieces
from check_shop import DIALECTS, good_statements, shop
from hypothesis import given, settings
from hypothesis import strategies as st
from playground import ENGINES, Playground, PostgresPlay, closing
from servers import NoServerError

from sqlcoder_magic.check import check_sql, extract_sql, translate
from sqlcoder_magic.errors import NL2SQLError, NoSQLError, SQLRejected
from sqlcoder_magic.execute import run_sql

SCHEMAS = {dialect: shop(dialect) for dialect in DIALECTS}
# How many statements the quick test grows for an engine: a tenth or less of them is let through.
GROWN = {"sqlite": 2500, "duckdb": 2000, "postgresql": 2500, "mariadb": 1500}
# How many rounds of 400 the slow test grows: a minute or less where nothing else runs.
ROUNDS = {"sqlite": 15, "duckdb": 10, "postgresql": 15, "mariadb": 10}


def accepted(dialect: str, sql: str) -> bool:
    """Whether the check lets it through; anything but SQLRejected fails the test."""
    try:
        return check_sql(sql, SCHEMAS[dialect]).sql == sql
    except SQLRejected as error:
        assert error.rule and error.sql == sql
        return False


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.sampled_from(DIALECTS), st.randoms(use_true_random=False))
def test_whatever_grows_is_answered(dialect: str, random: Random) -> None:
    sql = mutant(dialect, random)
    accepted(dialect, sql)
    try:
        translate(extract_sql(sql), write=dialect)
    except NoSQLError as error:
        assert error.text == sql


# What earlier hunts found to crash the check.
FOUND = (
    ("sqlite", "SELECT x FROM a.b.c, e..g"),
    ("postgres", "SELECT ARRAY(SELECT '東京', 'naïve — “quoted”', '東京'QUALIFY 1 = 1)"),
    ("duckdb", "SELECT * FROM ..datasetproducts"),
)


@pytest.mark.parametrize(("dialect", "sql"), FOUND)
def test_what_was_found_is_answered(dialect: str, sql: str) -> None:
    accepted(dialect, sql)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_tokens_of_a_statement_give_it_again(dialect: str) -> None:
    for sql in good_statements(dialect):
        assert "".join(pieces(sql)) == sql


@pytest.fixture(scope="module", params=list(ENGINES))
def play(request: pytest.FixtureRequest) -> Iterator[Playground]:
    """Each engine in turn, with a table and files that no statement may show."""
    with ExitStack() as stack:
        if request.param == "postgres":
            server = request.getfixturevalue("postgres_server")
            yield stack.enter_context(closing(PostgresPlay(server)))
            return
        try:
            yield stack.enter_context(ENGINES[request.param]())
        except NoServerError as error:
            pytest.skip(str(error))


def test_the_playground_sees_a_harm(play: Playground) -> None:
    """Otherwise its silence below would mean nothing."""
    writes = "DELETE FROM products WHERE quantity > 5"
    reads = "SELECT password FROM secrets"
    assert play.harmful(["SELECT name FROM products", writes, reads]) == [writes, reads]


def test_a_stop_that_comes_late_stops_nothing_else(
    play: Playground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a machine under load would be taken for a statement that does harm."""
    before, stop, sent = play.fingerprint(), play._stop, []
    for delay in range(5):

        def late(delay: int = delay) -> None:
            sent.append(delay)
            time.sleep(delay * 0.02)
            stop()

        monkeypatch.setattr(play, "_stop", late)
        with suppress(Exception):
            play.run("SELECT COUNT(*) FROM sales s, sales t, sales u", seconds=0)
        assert {play.fingerprint_or_gone() for _ in range(8)} == {before}
    assert sent


def test_what_is_let_through_is_harmless(play: Playground) -> None:
    random = Random(20)
    grown = [mutant(play.dialect, random) for _ in range(GROWN[play.label])]
    passed = [sql for sql in dict.fromkeys(grown) if accepted(play.dialect, sql)]
    assert len(passed) > 20
    assert play.harmful(passed) == []
    assert play.changed_by(passed, lambda sql: run_guarded(play, sql)) == []


def run_guarded(play: Playground, sql: str) -> None:
    """As a user runs it: rows, or an error of this package."""
    try:
        checked = check_sql(sql, SCHEMAS[play.dialect])
        run_sql(checked, play.target, row_limit=50, timeout_s=1.0)
    except NL2SQLError as error:
        assert not isinstance(error, SQLRejected)


def seed() -> int:
    """The same for everybody, unless the environment has another."""
    wanted = os.environ.get("SQLCODER_MAGIC_FUZZ_SEED", "20")
    return time.time_ns() if wanted == "random" else int(wanted)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # a fixed amount of work, not of time
def test_a_minute_of_growing_finds_nothing(play: Playground) -> None:
    start = seed()
    random = Random(start)
    again = f"SQLCODER_MAGIC_FUZZ_SEED={start}"  # in the failure, to find it once more
    seen: set[str] = set()
    for _ in range(ROUNDS[play.label]):
        grown = {mutant(play.dialect, random) for _ in range(400)} - seen
        passed = sorted(sql for sql in grown if accepted(play.dialect, sql))
        seen.update(passed)
        assert play.harmful(passed) == [], again
        assert play.changed_by(passed, lambda sql: run_guarded(play, sql)) == [], again
    assert len(seen) > 200
