"""More than the first draft: candidates, the second try, what stops them, what never runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, text

from sqlcoder_magic import FakeModel, Settings, ask, drafting
from sqlcoder_magic.errors import GenerationError, QueryTimeoutError, RunError, SQLRejected, Stopped
from sqlcoder_magic.types import Answer, CheckedSQL, Draft, Plan

FIRST = "SELECT COUNT(*) FROM sales"
OTHER = "SELECT COUNT(sale_id) FROM sales"
ROME = "SELECT COUNT(*) FROM sales WHERE city = 'Rome'"
WRITE = "DELETE FROM sales"


@pytest.fixture
def shop(tmp_path: object) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE sales (sale_id INTEGER, city TEXT)"))  # no keys
        connection.execute(text("CREATE TABLE shops (town TEXT, area INTEGER)"))
        connection.execute(text("INSERT INTO sales VALUES (1, 'Oslo'), (2, 'Rome'), (3, 'Rome')"))
    yield engine
    engine.dispose()


@pytest.fixture
def sent(shop: Engine) -> list[str]:
    """What reaches SQLite, told by its driver."""
    found: list[str] = []
    shop.dispose()
    event.listen(shop, "connect", lambda raw, _: raw.set_trace_callback(found.append))
    return found


@pytest.fixture
def real_budgets() -> dict[str, float]:
    return dict(drafting.EFFORT_S)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch, real_budgets: dict[str, float]) -> None:
    """Budgets that a busy machine, which takes seconds to import pandas, does not use up."""
    long = {effort: 12 * seconds for effort, seconds in real_budgets.items()}
    monkeypatch.setattr(drafting, "EFFORT_S", long)


def draft(sql: str, share: float = 0.5, least: float | None = None) -> Draft:
    low = math.log(share if least is None else least)
    return Draft(sql, "fake", 1, 1, 0.0, 0.0, math.log(share), least_logprob=low)


def beams(*candidates: tuple[str, float]) -> Draft:
    """What a search gives: its best with all of them."""
    (sql, share), *_ = candidates
    found = tuple((one, math.log(p)) for one, p in candidates)
    return Draft(sql, "fake", 1, 1, 0.0, 0.0, math.log(share), candidates=found)


def asked(shop: Engine, replies: list[Any], **settings: Any) -> tuple[Answer, FakeModel]:
    model = FakeModel(replies)
    given = Settings(**({"effort": "normal", "run": True} | settings))
    return ask("How many sales?", shop, model, settings=given), model


# ---------------------------------------------------------------- candidates


def test_the_result_that_most_of_the_weight_gives(shop: Engine) -> None:
    replies = [draft(ROME, 0.4), beams((ROME, 0.4), (FIRST, 0.3), (OTHER, 0.25))]
    answer, _ = asked(shop, replies)
    assert answer.sql == FIRST and answer.frame is not None and answer.frame.iat[0, 0] == 3
    assert answer.draft.agreement == pytest.approx(0.55 / 0.95)
    assert "Chosen among 3 candidates; the first draft was another." in answer.notes
    assert "candidates" in answer.timings


def test_without_a_run_no_row_is_read(
    shop: Engine, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[str] = []
    plan = drafting.explain_sql

    def spied(checked: CheckedSQL, *rest: Any, **options: Any) -> Plan:
        planned.append(checked.sql)
        return plan(checked, *rest, **options)

    monkeypatch.setattr(drafting, "explain_sql", spied)
    replies = [draft(ROME, 0.4), beams((ROME, 0.4), (FIRST, 0.3), (OTHER, 0.25))]
    answer, _ = asked(shop, replies, run=False)
    assert answer.sql == ROME, "two spellings do not agree where nobody may look at their rows"
    assert planned == [ROME, FIRST, OTHER]
    assert FIRST not in sent and ROME not in sent


def test_fast_asks_once(shop: Engine) -> None:
    answer, model = asked(shop, [draft(FIRST), beams((ROME, 0.9))], effort="fast")
    assert answer.sql == FIRST and len(model.prompts) == 1 and "candidates" not in answer.timings


def test_a_sure_first_draft_costs_no_seconds(shop: Engine) -> None:
    replies = [draft(FIRST, 0.9, least=0.95), beams((ROME, 0.99))]
    answer, model = asked(shop, replies)
    assert answer.sql == FIRST and len(model.prompts) == 1


def test_a_mended_first_draft_is_not_sure(shop: Engine) -> None:
    mended = draft("SELECT COUNT(citty) FROM sales", 0.9, least=0.95)
    answer, model = asked(shop, [mended, beams((FIRST, 0.5))])
    assert len(model.prompts) > 1 and answer.frame is not None


def test_a_refused_candidate_never_reaches_the_database(shop: Engine, sent: list[str]) -> None:
    replies = [draft(FIRST, 0.1), beams((WRITE, 0.9), ("SELECT nothing FROM nowhere", 0.05))]
    answer, _ = asked(shop, replies)
    assert answer.sql == FIRST and answer.frame is not None and answer.frame.iat[0, 0] == 3
    assert not any("DELETE" in one or "nowhere" in one for one in sent)


def test_a_candidate_that_the_engine_refuses_loses(shop: Engine) -> None:
    wrong = "SELECT SUM(COUNT(*)) FROM sales"
    answer, _ = asked(shop, [draft(wrong, 0.9, least=0.1), beams((wrong, 0.9), (FIRST, 0.05))])
    assert answer.sql == FIRST and answer.error is None


def test_candidates_come_where_the_first_draft_was_refused(shop: Engine) -> None:
    answer, _ = asked(shop, [draft("SELECT zzz FROM sales"), beams((FIRST, 0.2))])
    assert answer.sql == FIRST and answer.error is None


class Slow(FakeModel):
    """Takes 72 seconds for each draft, by the draft's own account: more than "normal" has."""

    def generate(self, *args: Any, **options: Any) -> Draft:
        made = super().generate(*args, **options)
        return Draft(made.text, "fake", 1, 1, 72.0, 0.1, made.logprob)


def test_no_round_is_begun_that_the_budget_cannot_end(shop: Engine) -> None:
    model = Slow([FIRST, ROME])
    answer = ask("How many?", shop, model, settings=Settings(effort="normal"))
    assert answer.sql == FIRST and len(model.prompts) == 1
    model = Slow([FIRST, ROME])
    ask("How many?", shop, model, settings=Settings(effort="best"))
    assert len(model.prompts) == 2 + 1, "the third call finds no reply left"


def test_a_model_that_says_nothing_new_is_not_asked_again(shop: Engine) -> None:
    same = [draft(FIRST), *[beams((FIRST, 0.5))] * 5]
    _, model = asked(shop, same, effort="best")
    assert len(model.prompts) == 3  # greedy, beams, samples


def test_a_candidate_that_loops_is_dropped(shop: Engine) -> None:
    loop = Draft("SELECT 1, 1, 1", "fake", 1, 300, 0.1, 0.1, -0.1, finished=False)
    answer, _ = asked(shop, [draft(FIRST, 0.01), loop])
    assert answer.sql == FIRST


def test_memory_that_runs_out_keeps_the_first_draft(shop: Engine) -> None:
    answer, _ = asked(shop, [draft(FIRST), GenerationError("The model failed.")])
    assert answer.sql == FIRST and answer.frame is not None
    assert "No more candidates could be drawn: The model failed." in answer.notes


def test_ctrl_c_while_drawing_keeps_the_first_draft_unrun(shop: Engine, sent: list[str]) -> None:
    answer, _ = asked(shop, [draft(FIRST), KeyboardInterrupt()])
    assert answer.sql == FIRST and isinstance(answer.error, Stopped) and answer.frame is None
    assert FIRST not in sent
    again, _ = asked(shop, [draft(FIRST)], effort="fast")
    assert again.frame is not None


def test_a_database_that_hangs_is_asked_once(shop: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []

    def hangs(*_: Any, timeout_s: float, **__: Any) -> None:
        calls.append(timeout_s)
        raise QueryTimeoutError("Stopped at the time limit.")

    monkeypatch.setattr(drafting, "explain_sql", hangs)
    answer, _ = asked(shop, [draft(FIRST, 0.4), beams((ROME, 0.3), (OTHER, 0.2))])
    assert answer.sql == FIRST and answer.error is None and answer.frame is not None
    assert len(calls) == 1 and calls[0] <= 2.0


def test_a_candidate_above_the_users_limit_is_not_run(
    shop: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    monkeypatch.setattr(drafting, "explain_sql", lambda *_, **__: Plan("", rows=10**9))
    monkeypatch.setattr(drafting, "run_sql", lambda checked, *_, **__: ran.append(checked.sql))
    asked(shop, [draft(FIRST, 0.4), beams((ROME, 0.3))], max_estimated_rows=1000)
    assert ran == []


# ---------------------------------------------------------------- the second try

BAD = "SELECT area FROM sales WHERE city = 'Rome' AND zone = 1"


def test_the_second_try_is_told_what_was_wrong(shop: Engine) -> None:
    answer, model = asked(shop, [BAD, FIRST], effort="fast")
    assert answer.sql == FIRST and answer.error is None and answer.frame is not None
    first, second = (prompt.text for prompt in model.prompts)
    assert "has a column" not in first
    assert "No table of the query has a column area." in second  # the name,
    assert "It has `sale_id` and `city`." in second  # what there is,
    assert "`shops` has a column area." in second  # and who has it
    assert any(note.startswith("Second try; the first had: ") for note in answer.notes)


def test_its_prompt_shows_the_tables_that_matter(shop: Engine) -> None:
    with shop.begin() as connection:
        connection.execute(text("CREATE TABLE staff (name TEXT)"))
    _, model = asked(shop, [BAD, FIRST], effort="fast")
    first, second = model.prompts
    assert set(first.tables) == {"sales", "shops", "staff"}
    assert set(second.tables) == {"sales", "shops"}


@pytest.mark.parametrize("second", [BAD, WRITE, "I do not know", "no SQL at all", WRITE])
def test_a_second_try_that_is_no_better_leaves_the_first(shop: Engine, second: str) -> None:
    answer, model = asked(shop, [BAD, second, FIRST], effort="fast")
    assert answer.sql == BAD and isinstance(answer.error, SQLRejected) and answer.frame is None
    assert len(model.prompts) == 2, "one round at most"


@pytest.mark.parametrize("first", [WRITE, "SELECT load_extension('x')"])
def test_what_is_forbidden_is_not_tried_again(shop: Engine, first: str) -> None:
    answer, model = asked(shop, [first, FIRST], effort="fast")
    assert isinstance(answer.error, SQLRejected) and len(model.prompts) == 1


def test_the_second_try_can_be_switched_off(shop: Engine) -> None:
    _, model = asked(shop, [BAD, FIRST], effort="fast", second_try=False)
    assert len(model.prompts) == 1


def test_ctrl_c_in_the_second_try_keeps_the_refusal(shop: Engine) -> None:
    answer, _ = asked(shop, [BAD, KeyboardInterrupt()], effort="fast")
    assert answer.sql == BAD and isinstance(answer.error, SQLRejected)


class Meanwhile(FakeModel):
    """While it writes its first draft, somebody changes the database."""

    def __init__(self, replies: list[Any], shop: Engine, change: str) -> None:
        super().__init__(replies)
        self._shop, self._change = shop, change

    def generate(self, *args: Any, **options: Any) -> Draft:
        if not self.prompts:
            with self._shop.begin() as connection:
                connection.execute(text(self._change))
        return super().generate(*args, **options)


RENAMED = "ALTER TABLE sales RENAME COLUMN city TO town"
IN_ROME = "SELECT COUNT(*) FROM sales WHERE town = 'Rome'"


def changed(
    shop: Engine, replies: list[Any], change: str = RENAMED, **settings: Any
) -> tuple[Answer, FakeModel]:
    model = Meanwhile(replies, shop, change)
    return ask("How many?", shop, model, settings=Settings(**({"run": True} | settings))), model


def test_a_database_that_changed_meanwhile_is_read_anew_and_the_model_asked_again(
    shop: Engine,
) -> None:
    answer, model = changed(shop, [ROME, IN_ROME])
    assert answer.sql == IN_ROME and answer.error is None
    assert answer.frame is not None and answer.frame.iat[0, 0] == 2
    first, second = (prompt.text for prompt in model.prompts)
    assert "city" in first and "city" not in second and "town" in second
    (note,) = (note for note in answer.notes if note.startswith("Asked again, because"))
    assert "city" in note


@pytest.mark.parametrize(
    ("second", "error"), [(ROME, SQLRejected), (WRITE, SQLRejected), (None, RunError)]
)
def test_after_a_change_it_is_asked_once_more_at_most(
    shop: Engine, sent: list[str], second: str | None, error: type[Exception]
) -> None:
    replies = [ROME] if second is None else [ROME, second, second, FIRST]
    answer, model = changed(shop, replies, second_try=True)
    assert type(answer.error) is error and answer.frame is None
    assert len(model.prompts) <= 3, "the first, the one after the change, its own second try"
    assert not any("DELETE" in one for one in sent)


def test_what_fails_for_another_reason_is_not_asked_again(shop: Engine) -> None:
    overflow = "SELECT ABS(-9223372036854775808) FROM sales"
    for change in ("SELECT 1", RENAMED):  # a change that the failure has nothing to do with
        answer, model = changed(shop, [overflow, FIRST], change)
        assert type(answer.error) is RunError and answer.sql == overflow
        assert len(model.prompts) == 1


def test_without_a_second_try_a_change_is_the_next_questions(shop: Engine) -> None:
    answer, model = changed(shop, [ROME, IN_ROME], second_try=False)
    assert type(answer.error) is RunError and len(model.prompts) == 1
    later = ask("How many?", shop, FakeModel([IN_ROME]), run=True)
    assert later.frame is not None


def test_tables_that_are_gone_leave_the_first_answer(shop: Engine) -> None:
    gone = "DROP TABLE sales"
    answer, model = changed(shop, [FIRST, FIRST], gone, tables="sales")
    assert type(answer.error) is RunError and len(model.prompts) == 1


def test_budgets_are_seconds_and_grow(real_budgets: dict[str, float]) -> None:
    budgets = real_budgets
    assert budgets["fast"] == 0 < budgets["normal"] < budgets["best"]
