"""`choose`: candidates as values, no model and no database."""

from __future__ import annotations

import math
from collections.abc import Hashable

import pytest

from sqlcoder_magic import check_sql
from sqlcoder_magic.choosing import Candidate, choose, folded
from sqlcoder_magic.errors import RunError
from sqlcoder_magic.types import Column, Draft, Schema, Table

SCHEMA = Schema("sqlite", (Table("t", "", (Column("a", "INTEGER", True),), (), ()),))


def candidate(
    sql: str,
    share: float | None = None,
    result: Hashable = None,
    *,
    repairs: int = 0,
    fails: bool = False,
) -> Candidate:
    logprob = None if share is None else math.log(share)
    draft = Draft(sql, "fake", 1, 1, 0.0, 0.0, logprob)
    error = RunError("No.") if fails else None
    return Candidate(draft, sql, check_sql(sql, SCHEMA), (), error, repairs, result)


def test_a_result_that_several_give_beats_the_likeliest() -> None:
    first = candidate("SELECT a FROM t", 0.4, "x")
    others = [candidate(f"SELECT a FROM t LIMIT {n}", 0.25, "y") for n in (1, 2)]
    chosen = choose([first, *others])
    assert chosen.best.result == "y" and chosen.of == 3
    assert chosen.best.draft.agreement == pytest.approx(0.5 / 0.9)


def test_the_weight_counts_not_the_number() -> None:
    first = candidate("SELECT a FROM t", 0.6, "x")
    others = [candidate(f"SELECT a FROM t LIMIT {n}", 0.1, "y") for n in (1, 2, 3)]
    assert choose([first, *others]).best.result == "x"


def test_one_statement_votes_once() -> None:
    first = candidate("SELECT a FROM t", 0.4, "x")
    same = [candidate(f"SELECT  a FROM t LIMIT 1{end}", 0.3, "y") for end in ("", ";", " ")]
    assert choose([first, *same]).best.result == "x"
    assert folded("SELECT  a\nFROM t ; ") == "SELECT a FROM t"


def test_of_one_result_the_unmended_spelling_wins() -> None:
    mended = candidate("SELECT a FROM t", 0.5, "x", repairs=1)
    plain = candidate("SELECT t.a FROM t", 0.2, "x")
    assert choose([mended, plain]).best.sql == plain.sql


def test_what_fails_has_no_say() -> None:
    failing = candidate("SELECT a FROM t", 0.9, fails=True)
    able = candidate("SELECT a FROM t LIMIT 1", 0.05)
    chosen = choose([failing, able])
    assert chosen.best.sql == able.sql and chosen.best.draft.agreement is None
    alone = choose([failing, failing])
    assert alone.best is failing


def test_without_scores_and_rows_the_first_stays() -> None:
    made = [candidate(f"SELECT a FROM t LIMIT {n}") for n in (1, 2, 3)]
    chosen = choose(made)
    assert chosen.best.sql == made[0].sql
    assert chosen.best.draft.agreement == pytest.approx(1 / 3)
