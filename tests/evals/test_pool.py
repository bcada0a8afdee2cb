"""Scoring in worker processes: the same outcomes, and a hang or a crash costs one question."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sqlcoder_magic.evals import pool
from sqlcoder_magic.evals.engine import SqliteEngine
from sqlcoder_magic.evals.outcome import Outcome, Record, RunInfo, read_predictions
from sqlcoder_magic.evals.runner import given_predictor, run_suite
from sqlcoder_magic.evals.suites import Suite
from sqlcoder_magic.sample.compare import Result
from sqlcoder_magic.types import Draft, Question, Schema


@dataclass(frozen=True)
class StubbornEngine:
    """SQLite, but `SELECT 'hang'` sleeps where nothing interrupts it, and `'die'` is a crash."""

    inner: SqliteEngine
    dialect: str = "sqlite"

    def run(self, db: str, sql: str, *, timeout_s: float) -> Result:
        if "hang" in sql:
            time.sleep(600)
        if "die" in sql:
            os._exit(9)
        return self.inner.run(db, sql, timeout_s=timeout_s)


def saying(*texts: str) -> Callable[[Question, Schema], Draft]:
    queue = list(texts)
    return lambda question, schema: Draft(queue.pop(0), "test", 10, 5, 0.5, 0.1, logprob=-0.25)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "GRACE_S", 1.0)


def test_workers_give_the_same_outcomes_in_the_same_order(zoo: Suite) -> None:
    golds = {item.id: item.golds[0] for item in zoo.items}
    golds["zoo-0002"] = "SELECT 1"
    del golds["zoo-0003"]
    seen: list[tuple[int, int]] = []

    def note(number: int, total: int, outcome: Outcome) -> None:
        seen.append((number, total))

    alone = run_suite(zoo, given_predictor(zoo, golds))
    shared = run_suite(zoo, given_predictor(zoo, golds), workers=2, on_outcome=note)
    assert shared == alone
    assert [one.strict for one in shared] == [True, True, False, False]
    assert shared[3].message == "There is no prediction for this question."
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_what_a_draft_cost_comes_back(zoo: Suite) -> None:
    (outcome,) = run_suite(zoo.first(1), saying("SELECT 1"), workers=1)
    assert (outcome.seconds, outcome.first_token_s, outcome.prompt_tokens) == (0.5, 0.1, 10)
    assert (outcome.new_tokens, outcome.logprob) == (5, -0.25)


def test_a_runs_drafts_keep_what_they_cost_when_they_are_scored_again(
    zoo: Suite, tmp_path: Path
) -> None:
    info = RunInfo("zoo", 1, "test", False)
    record = Record(tmp_path / "run.jsonl", info)
    first = run_suite(zoo.first(1), saying("SELECT 1"), on_outcome=lambda *_: None)
    record.add(first[0])
    again = given_predictor(zoo, read_predictions(record.path))
    assert run_suite(zoo.first(1), again) == first


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("word", "what"), [("hang", "hung and was ended"), ("die", "died")])
def test_a_worker_that_does_not_come_back_costs_one_question(
    zoo: Suite, word: str, what: str
) -> None:
    engine = StubbornEngine(SqliteEngine(zoo.databases))
    drafts = [f"SELECT '{word}'", zoo.items[1].golds[0], "SELECT 1", zoo.items[3].golds[0]]
    outcomes = run_suite(zoo, saying(*drafts), engine=engine, workers=1, timeout_s=0.5)
    assert [one.status for one in outcomes] == ["timeout", "ran", "ran", "ran"]
    assert outcomes[0].message == f"The process that scored it {what}."
    assert outcomes[0].draft == drafts[0]
    assert [one.strict for one in outcomes] == [False, True, False, True]


@pytest.mark.usefixtures("impatient")
def test_a_gold_that_hangs_is_a_fault_of_the_suite(zoo: Suite) -> None:
    hanging = replace(zoo.items[0], golds=("SELECT 'hang'",))
    suite = replace(zoo, items=(hanging, zoo.items[1]))
    engine = StubbornEngine(SqliteEngine(zoo.databases))
    drafts = saying("SELECT 1", zoo.items[1].golds[0])
    outcomes = run_suite(suite, drafts, engine=engine, workers=1, timeout_s=0.5)
    assert [one.status for one in outcomes] == ["gold", "ran"]
    assert outcomes[0].message == "The process that ran its gold hung and was ended."


def test_an_error_in_the_parent_ends_the_workers(zoo: Suite) -> None:
    import multiprocessing

    with pytest.raises(IndexError):
        run_suite(zoo, saying("SELECT 1"), workers=2)
    assert multiprocessing.active_children() == []
