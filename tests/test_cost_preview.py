"""What a user says about a run beforehand, from `ask` to what is shown: the plan, the limit on its
estimate, functions of their own, engines that nobody could try.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, text

from sqlcoder_magic import FakeModel, Plan, Settings, ask, explain_sql, pipeline, use_model
from sqlcoder_magic.__main__ import main
from sqlcoder_magic.connection import Database
from sqlcoder_magic.display import answer_html, answer_text
from sqlcoder_magic.errors import (
    EngineNotGuardedError,
    OptionError,
    RunError,
    SQLRejected,
    TooCostlyError,
)
from sqlcoder_magic.models import unload_model
from sqlcoder_magic.types import Answer, CheckedSQL, Column, Question, Schema, Table

COUNT = "SELECT COUNT(*) AS n FROM sales"
PRODUCT = "SELECT COUNT(*) AS n FROM sales a, sales b, sales c"


@pytest.fixture
def sqlite(tmp_path: object) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE sales (sale_id INTEGER, city TEXT)"))
    yield engine
    engine.dispose()


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE sales AS SELECT i FROM generate_series(1, 500) i"))
        connection.execute(text("ANALYZE sales"))
    yield engine
    engine.dispose()


def answered(engine: Any, reply: str, **settings: Any) -> Answer:
    return ask("How many?", engine, FakeModel([reply]), settings=Settings(**settings))


# ---------------------------------------------------------------- the plan


def test_explain_shows_the_plan_and_runs_nothing(sqlite: Engine) -> None:
    answer = answered(sqlite, COUNT, explain=True)
    assert answer.plan is not None and "SCAN sales" in answer.plan.text
    assert answer.frame is None and answer.error is None
    assert "plan" in answer.timings and "query" not in answer.timings
    assert answer.to_dict()["plan"] == answer.plan.text


def test_explain_and_run_do_both(sqlite: Engine) -> None:
    answer = answered(sqlite, COUNT, explain=True, run=True)
    assert answer.plan is not None and answer.frame is not None
    assert answer.frame.iat[0, 0] == 0


def test_without_it_no_plan_is_asked_for(sqlite: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def heard(checked: CheckedSQL, *others: Any, **options: Any) -> Plan:
        asked.append(checked.sql)
        return explain_sql(checked, *others, **options)

    monkeypatch.setattr(pipeline, "explain_sql", heard)
    answer = answered(sqlite, COUNT, run=True)
    assert answer.plan is None and answer.frame is not None and not asked
    assert answered(sqlite, COUNT, run=True, explain=True).plan is not None and asked == [COUNT]


def test_what_the_guard_refuses_is_not_explained(sqlite: Engine) -> None:
    answer = answered(sqlite, "DROP TABLE sales", explain=True)
    assert isinstance(answer.error, SQLRejected) and answer.plan is None


def test_a_plan_that_cannot_be_had_is_an_error_beside_the_sql(sqlite: Engine) -> None:
    answer = answered(sqlite, "SELECT SUM(COUNT(*)) FROM sales", explain=True)
    assert isinstance(answer.error, RunError) and "misuse of aggregate" in answer.error.message
    assert answer.sql == "SELECT SUM(COUNT(*)) FROM sales"


# ---------------------------------------------------------------- the limit


def test_a_run_above_the_limit_is_shown_and_not_run(postgres: Engine) -> None:
    answer = answered(postgres, PRODUCT, run=True, max_estimated_rows=1_000_000)
    assert isinstance(answer.error, TooCostlyError) and answer.frame is None
    assert "125,000,000 rows; the limit is 1,000,000" in answer.error.message
    assert "max_estimated_rows" in answer.error.fix
    assert answer.plan is not None and answer.plan.rows == 125_000_000
    assert "query" not in answer.timings


def test_a_run_below_the_limit_runs(postgres: Engine) -> None:
    answer = answered(postgres, COUNT, run=True, max_estimated_rows=1000)
    assert answer.error is None and answer.frame is not None and answer.frame.iat[0, 0] == 500
    assert answer.plan is None


def test_an_engine_without_estimates_says_so(sqlite: Engine) -> None:
    answer = answered(sqlite, COUNT, run=True, max_estimated_rows=1)
    assert answer.frame is not None
    assert any("max_estimated_rows did not apply" in note for note in answer.notes)


def test_the_limit_is_off_by_default_and_never_negative() -> None:
    assert Settings().max_estimated_rows == 0
    with pytest.raises(OptionError, match="max_estimated_rows cannot be -1") as caught:
        Settings(max_estimated_rows=-1)
    assert "no limit" not in caught.value.fix


# ---------------------------------------------------------------- how it is shown


def shown(plan: Plan) -> Answer:
    made = pipeline.Draft("", "fake", 1, 1, 0.0, 0.0)
    return Answer(Question("q"), "SELECT 1", None, None, made, plan=plan)


def test_the_plan_as_text() -> None:
    lines = answer_text(shown(Plan("Scan\n  Sort", 12345, 99))).splitlines()
    assert lines[-3:] == [
        "Scan",
        "  Sort",
        "Expected: about 12,345 rows from the largest step, 99 bytes read.",
    ]
    assert answer_text(shown(Plan("Scan"))).endswith("The engine gives no estimate.")


def test_the_plan_is_escaped() -> None:
    """Names of tables and indexes stand in it, and their makers are not the reader."""
    hostile = Plan("Scan <script>alert(1)</script> $x$ \x1b[31m \u202e")
    page, plain = answer_html(shown(hostile)), answer_text(shown(hostile))
    assert "<script>" not in page and "&lt;script&gt;" in page and "$x$" not in page
    for output in (page, plain):
        assert "\x1b" not in output and "\u202e" not in output


def test_the_shell_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    use_model(FakeModel(["SELECT COUNT(*) FROM sales", "SELECT nothing FROM sales"]))
    try:
        assert main(["-q", "How many sales?", "--explain"]) == 0
        printed = capsys.readouterr().out
        assert "SCAN sales" in printed and "no estimate" in printed and "rows ×" not in printed
        assert main(["-q", "How many sales?", "--explain"]) == 3
        assert "has a column nothing" in capsys.readouterr().out
    finally:
        unload_model()


# ---------------------------------------------------------------- functions of the user's own


@pytest.fixture
def with_function(sqlite: Engine) -> Engine:
    def add(raw: Any, _: Any) -> None:
        raw.create_function("vat", 1, lambda price: price * 0.25)

    sqlite.dispose()  # the next connection is a new one
    event.listen(sqlite, "connect", add)
    return sqlite


def test_a_function_of_ones_own_is_refused_until_it_is_named(with_function: Engine) -> None:
    sql = "SELECT vat(8) AS tax"
    answer = answered(with_function, sql, run=True)
    assert isinstance(answer.error, SQLRejected) and answer.error.rule == "functions"
    assert "--allow-function vat" in answer.error.fix
    answer = answered(with_function, sql, run=True, allowed_functions=" VAT , other")
    assert answer.frame is not None and answer.frame.iat[0, 0] == 2.0


def test_naming_one_allows_no_other(with_function: Engine) -> None:
    answer = answered(with_function, "SELECT load_extension('x')", allowed_functions="vat")
    assert isinstance(answer.error, SQLRejected)


@pytest.mark.parametrize("names", ["*", "a b", "a;b", "pg_catalog.f", "f()", "1f"])
def test_only_plain_names_are_taken(names: str) -> None:
    with pytest.raises(OptionError, match="--allow-function cannot name"):
        Settings(allowed_functions=names)


# ---------------------------------------------------------------- engines that nobody could try


@pytest.fixture
def trino(monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database whose driver is not there, with a schema as if it had been read."""
    columns = (Column("sale_id", "integer", True),)
    schema = Schema("trino", (Table("sales", "", columns, (), ()),))
    monkeypatch.setattr(pipeline, "read_schema", lambda *_, **__: schema)
    return Database("trino", "trino", "trino://host/hive", native=object())


@pytest.mark.parametrize("wanted", [{"run": True}, {"explain": True}])
def test_an_unverified_engine_shows_its_sql_and_says_how_to_lift_it(
    trino: Database, wanted: dict[str, bool]
) -> None:
    answer = answered(trino, COUNT, **wanted)
    assert answer.sql == COUNT and answer.checked is not None
    assert isinstance(answer.error, EngineNotGuardedError)
    assert "Trino" in answer.error.message and "--allow-unverified-engine" in answer.error.fix
    assert not any("never been tried" in note for note in answer.notes)


def test_with_the_lock_lifted_the_answer_carries_a_note(
    trino: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(pipeline, "run_sql", lambda *_, **options: given.update(options))
    answer = answered(trino, COUNT, run=True, allow_unverified_engine=True, max_bytes_billed=7)
    assert any("Trino has never been tried against a real one" in note for note in answer.notes)
    assert given["allow_unverified_engine"] is True and given["max_bytes_billed"] == 7


def test_a_proven_engine_has_no_such_note(sqlite: Engine) -> None:
    answer = answered(sqlite, COUNT, run=True, allow_unverified_engine=True)
    assert answer.frame is not None
    assert not any("never been tried" in note for note in answer.notes)


def test_explain_sql_is_public() -> None:
    assert explain_sql.__module__ == "sqlcoder_magic.execute.explain"
