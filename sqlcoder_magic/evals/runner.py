"""Ask every question of a suite, run what comes back beside the gold, and judge it.

    outcomes = run_suite(suite, predict)

`predict` is any function of a Question and a Schema that returns a Draft: a model's (see
`model_predictor`), one that looks up given predictions, or a test's own. Not covered: what is
right (`rules`), what is printed (`report`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlcoder_magic.check import check_sql, extract_sql, is_refusal, repair, translate
from sqlcoder_magic.errors import (
    GenerationError,
    ModelError,
    QueryTimeoutError,
    RunError,
    SQLRejected,
)
from sqlcoder_magic.evals.engine import Engine, SqliteEngine
from sqlcoder_magic.evals.hardness import parses
from sqlcoder_magic.evals.outcome import Outcome
from sqlcoder_magic.evals.rules import Gold, Verdict, judge
from sqlcoder_magic.evals.suites import Item, Suite
from sqlcoder_magic.prompt import build_prompt
from sqlcoder_magic.sample.compare import Result
from sqlcoder_magic.types import Draft, Question, Schema

if TYPE_CHECKING:
    from sqlcoder_magic.models import Model

Predict = Callable[[Question, Schema], Draft]
Progress = Callable[[int, int, Outcome], None]

_WRONG = Verdict(defog=False, strict=False)


def model_predictor(
    model: Model, *, max_new_tokens: int = 300, timeout_s: float = 120.0, beams: int = 1
) -> Predict:
    """A model as a `predict`: its own prompt, then generation. Raises ModelError without one."""
    template = model.spec.template
    if template is None:
        raise ModelError(
            f"{model.spec.name} has no prompt template.", fix="Name a model of the catalog."
        )

    def predict(question: Question, schema: Schema) -> Draft:
        prompt = build_prompt(question, schema, template=template)
        return model.generate(
            prompt, max_new_tokens=max_new_tokens, timeout_s=timeout_s, beams=beams
        )

    return predict


def given_predictor(suite: Suite, predictions: Mapping[str, str | Draft]) -> Predict:
    """Given predictions (question id -> text) as a `predict`; GenerationError for a missing one."""
    ids = {(item.question, id(suite.schemas[item.db])): item.id for item in suite.items}

    def predict(question: Question, schema: Schema) -> Draft:
        given = predictions.get(ids[question.text, id(schema)])
        if given is None:
            raise GenerationError("There is no prediction for this question.")
        return given if isinstance(given, Draft) else Draft(given, "given", 0, 0, 0.0, 0.0)

    return predict


def run_suite(
    suite: Suite,
    predict: Predict,
    *,
    check: bool | None = None,
    repaired: bool | None = None,
    engine: Engine | None = None,
    workers: int = 0,
    done: Sequence[Outcome] = (),
    timeout_s: float = 30.0,
    on_outcome: Progress | None = None,
) -> tuple[Outcome, ...]:
    """An outcome for each question, in the suite's order; those in `done` are not asked again.

    `check` puts the guard between draft and run, `repaired` mends the draft with the schema
    before it (None: as the suite has it). `engine` runs the SQL (None: the suite's own SQLite
    files). `timeout_s` is for each statement. With `workers`, so many processes score beside
    the model, and one that hangs is ended; 0 scores here.
    `on_outcome` is called with the number so far, the total and the outcome, for new ones alone.
    """
    scorer = Scorer(
        suite,
        engine or SqliteEngine(suite.databases),
        suite.check if check is None else check,
        timeout_s,
        suite.check if repaired is None else repaired,
    )
    wanted = {item.id for item in suite.items}
    known = {outcome.id: outcome for outcome in done if outcome.id in wanted}

    def keep(outcome: Outcome) -> None:
        known[outcome.id] = outcome
        if on_outcome:
            on_outcome(len(known), len(suite.items), outcome)

    items = [item for item in suite.items if item.id not in known]
    if workers:
        from sqlcoder_magic.evals.pool import Pool

        with Pool(scorer, min(workers, max(len(items), 1)), keep) as pool:
            for item in items:
                drafted = scorer.draft(item, predict)
                if isinstance(drafted, Outcome):
                    keep(drafted)
                else:
                    pool.submit(item, drafted)
    else:
        for item in items:
            keep(scorer.score(item, predict))
    return tuple(known[item.id] for item in suite.items)


_NOTHING = Draft("", "", 0, 0, 0.0, 0.0)


@dataclass(frozen=True)
class Scorer:
    """What turns an item and its draft into an outcome. Worker processes get a copy."""

    suite: Suite
    engine: Engine
    guarded: bool
    timeout_s: float
    repaired: bool = False

    def score(self, item: Item, predict: Predict) -> Outcome:
        """Gold first: where it fails, nobody is asked. Then draft, SQL, rows, verdict."""
        golds = self.golds(item)
        if isinstance(golds, Outcome):
            return golds
        drafted = self.draft(item, predict)
        return drafted if isinstance(drafted, Outcome) else self.judged(item, drafted, golds)

    def golds(self, item: Item) -> tuple[Gold, ...] | Outcome:
        """The known answers with their rows, or the outcome if one fails."""
        try:
            return tuple(Gold(sql, self._run(item, sql)) for sql in item.golds)
        except RunError as error:
            return self.outcome(item, _NOTHING, "", "gold", str(error))

    def draft(self, item: Item, predict: Predict) -> Draft | Outcome:
        """What is predicted, or the outcome if there is none."""
        question = Question(item.question, item.instructions)
        try:
            return predict(question, self.suite.schemas[item.db])
        except GenerationError as error:
            return self.outcome(item, _NOTHING, "", "no_sql", error.message)

    def judged(self, item: Item, draft: Draft, golds: Sequence[Gold]) -> Outcome:
        """The draft on its way to a verdict."""
        schema = self.suite.schemas[item.db]
        sql, status, message, repairs = _prepared(draft.text, schema, self.guarded, self.repaired)
        if status != "ran":
            return self.outcome(item, draft, sql, status, message)
        try:
            rows = self._run(item, sql)
        except QueryTimeoutError as error:
            return self.outcome(item, draft, sql, "timeout", error.message)
        except RunError as error:
            status = "failed" if parses(sql, self.engine.dialect) else "unparsable"
            return self.outcome(item, draft, sql, status, error.message)
        verdict = judge(golds, rows, category=item.category, question=item.question)
        return self.outcome(item, draft, sql, "ran", "", verdict, repairs)

    def _run(self, item: Item, sql: str) -> Result:
        return self.engine.run(item.db, sql, timeout_s=self.timeout_s)

    def outcome(
        self,
        item: Item,
        draft: Draft,
        sql: str,
        status: str,
        message: str,
        verdict: Verdict = _WRONG,
        repairs: int = 0,
    ) -> Outcome:
        """The facts of one question, put together."""
        return Outcome(
            id=item.id,
            db=item.db,
            category=item.category,
            hardness=item.hardness,
            question=item.question,
            draft=draft.text,
            sql=sql,
            status=status,
            message=message,
            defog=verdict.defog,
            strict=verdict.strict,
            seconds=draft.seconds,
            new_tokens=draft.new_tokens,
            first_token_s=draft.first_token_s,
            prompt_tokens=draft.prompt_tokens,
            logprob=draft.logprob,
            least_logprob=draft.least_logprob,
            repairs=repairs,
            agreement=draft.agreement,
        )


def _prepared(
    text: str, schema: Schema, guarded: bool, repaired: bool
) -> tuple[str, str, str, int]:
    """A draft -> (SQL in the database's dialect, "ran" if it may run or what else, why, number of
    repairs)."""
    if is_refusal(text):
        return "", "refused", text.strip() or "The answer is empty.", 0
    sql, repairs = "", 0
    try:
        sql = extract_sql(text)
        sql, _ = translate(sql, write=schema.dialect)
        if repaired:
            mended = repair(sql, schema)
            sql, repairs = mended.sql, len(mended.notes)
        if guarded:
            check_sql(sql, schema)
    except GenerationError as error:
        return sql, "no_sql", error.message, repairs
    except SQLRejected as error:
        status = "unparsable" if error.rule == "parse" else "rejected"
        return sql, status, error.message, repairs
    return sql, "ran", "", repairs
