"""The runner: gold scores 100 %, a wrong answer 0, and every way a draft can end."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import pytest

from sqlcoder_magic.errors import GenerationError, ModelError
from sqlcoder_magic.evals.outcome import Outcome
from sqlcoder_magic.evals.runner import given_predictor, model_predictor, run_suite
from sqlcoder_magic.evals.suites import Suite, open_suite
from sqlcoder_magic.models import FakeModel
from sqlcoder_magic.sample import QUESTIONS
from sqlcoder_magic.types import Draft, ModelSpec, Question, Schema


def always(text: str) -> Callable[[Question, Schema], Draft]:
    return lambda question, schema: Draft(text, "test", 10, 5, 0.5, 0.1)


def golds(suite: Suite) -> dict[str, str]:
    return {item.id: item.golds[0] for item in suite.items}


def scores(outcomes: tuple[Outcome, ...]) -> tuple[int, int]:
    return sum(one.defog for one in outcomes), sum(one.strict for one in outcomes)


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("dialect", ["sql", "sql_sqlite"])
def test_gold_as_prediction_scores_all(check: bool, dialect: str) -> None:
    """The PostgreSQL gold too, by way of the translation."""
    suite = open_suite("own")
    predictions = {question.id: getattr(question, dialect)[0] + ";" for question in QUESTIONS}
    outcomes = run_suite(suite, given_predictor(suite, predictions), check=check)
    assert [(one.id, one.status, one.message) for one in outcomes if not one.strict] == []
    assert scores(outcomes) == (len(QUESTIONS), len(QUESTIONS))


@pytest.mark.parametrize(
    "wrong", ["SELECT 0", "SELECT name FROM sqlite_master", "I do not know", "SELECT * FROM none"]
)
def test_a_wrong_prediction_scores_nothing(wrong: str) -> None:
    outcomes = run_suite(open_suite("own"), always(wrong), check=False)
    assert scores(outcomes) == (0, 0)


def test_the_answer_of_another_question_is_wrong() -> None:
    suite = open_suite("sample")
    answers = list(golds(suite).values())
    shifted = dict(zip(golds(suite), answers[1:] + answers[:1], strict=True))
    assert scores(run_suite(suite, given_predictor(suite, shifted))) == (0, 0)


def test_a_files_gold_scores_all(zoo: Suite) -> None:
    assert scores(run_suite(zoo, given_predictor(zoo, golds(zoo)))) == (4, 4)


@pytest.mark.parametrize(
    ("draft", "check", "status"),
    [
        ("SELECT COUNT(*) FROM animal", True, "ran"),
        ("```sql\nSELECT COUNT(*) FROM animal;\n```", True, "ran"),
        ("I do not know;", True, "refused"),
        ("There are three of them.", True, "no_sql"),
        ("", False, "refused"),
        ("SELECT COUNT( FROM animal", True, "unparsable"),
        ("SELECT COUNT( FROM animal", False, "unparsable"),
        ("SELECT COUNT(*) FROM animals", True, "rejected"),
        ("SELECT COUNT(*) FROM animals", False, "failed"),
        ("DELETE FROM animal", True, "rejected"),
        ("DELETE FROM animal", False, "failed"),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n",
            False,
            "timeout",
        ),
    ],
)
def test_how_a_draft_ends(zoo: Suite, draft: str, check: bool, status: str) -> None:
    (outcome,) = run_suite(zoo.first(1), always(draft), check=check, timeout_s=0.2)
    assert (outcome.status, outcome.strict) == (status, status == "ran")
    assert outcome.draft == draft
    assert (outcome.seconds, outcome.new_tokens) == (0.5, 5)
    assert bool(outcome.message) is (status != "ran")
    assert outcome.parsed is (status in ("ran", "rejected", "failed", "timeout"))
    with closing(sqlite3.connect(zoo.databases["zoo"])) as connection:
        assert connection.execute("SELECT COUNT(*) FROM animal").fetchone() == (3,)


def test_a_model_that_fails_is_one_wrong_answer(zoo: Suite) -> None:
    def fail(question: Question, schema: Schema) -> Draft:
        raise GenerationError("The prompt is too long.")

    outcomes = run_suite(zoo, fail)
    assert [one.status for one in outcomes] == ["no_sql"] * 4
    assert outcomes[0].message == "The prompt is too long."


def test_a_gold_that_fails_does_not_count(zoo: Suite) -> None:
    broken = replace(zoo, items=(replace(zoo.items[0], golds=("SELECT x FROM y",)), *zoo.items[1:]))
    asked = []

    def predict(question: Question, schema: Schema) -> Draft:
        asked.append(question.text)
        return Draft("SELECT 1", "test", 0, 0, 0.0, 0.0)

    outcomes = run_suite(broken, predict)
    assert outcomes[0].status == "gold"
    assert "no such table: y" in outcomes[0].message
    assert zoo.items[0].question not in asked


def test_what_is_done_is_not_asked_again(zoo: Suite) -> None:
    done = run_suite(zoo.first(2), given_predictor(zoo, golds(zoo)))
    seen: list[tuple[int, int, str]] = []
    outcomes = run_suite(
        zoo,
        always("SELECT 1"),
        done=done,
        on_outcome=lambda number, total, one: seen.append((number, total, one.id)),
    )
    assert [one.strict for one in outcomes] == [True, False, True, False]
    assert seen == [(3, 4, "zoo-0001"), (4, 4, "zoo-0003")]


def test_a_model_is_asked_with_its_own_prompt(zoo: Suite) -> None:
    model = FakeModel(["SELECT COUNT(*) FROM animal"])
    (outcome,) = run_suite(zoo.first(1), model_predictor(model))
    assert outcome.strict
    assert model.prompts[0].text == (
        "CREATE TABLE house (\n  id INT PRIMARY KEY,\n  name TEXT -- e.g. 'North', 'South'\n);\n"
        "CREATE TABLE animal (\n  id INT PRIMARY KEY,\n  name TEXT,\n  weight REAL,\n"
        "  house_id INT\n);\n-- animal.house_id can be joined with house.id\n\n"
        "-- Question: How many animals are there?\n"
    )


def test_a_model_without_a_template_is_a_sentence() -> None:
    model = FakeModel()
    model.spec = ModelSpec("odd", "fake", "none")
    with pytest.raises(ModelError, match="odd has no prompt template"):
        model_predictor(model)
