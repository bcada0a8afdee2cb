"""`ask` from end to end with queued replies: what runs, what is only shown, what is a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Engine, create_engine, event, text

from sqlcoder_magic import FakeModel, Question, Settings, ask
from sqlcoder_magic.context import Watcher
from sqlcoder_magic.errors import (
    GenerationError,
    NoConnectionError,
    NoSQLError,
    QuestionError,
    RunError,
    SQLRejected,
    Stopped,
)
from sqlcoder_magic.models import Model
from sqlcoder_magic.models.catalog import entry_for
from sqlcoder_magic.types import Answer, CheckedSQL, Draft


@pytest.fixture
def shop(tmp_path: object) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE sales (sale_id INTEGER PRIMARY KEY, city TEXT)"))
        connection.execute(text("INSERT INTO sales (city) VALUES ('Oslo'), ('Rome'), ('Rome')"))
    yield engine
    engine.dispose()


@pytest.fixture
def statements(shop: Engine) -> list[str]:
    """What SQLAlchemy sends; drivers are watched in the tests of `execute`."""
    sent: list[str] = []
    event.listen(shop, "before_cursor_execute", lambda *args: sent.append(args[2]))
    return sent


def count(shop: Engine) -> int:
    with shop.connect() as connection:
        return int(connection.execute(text("SELECT COUNT(*) FROM sales")).scalar_one())


def test_a_question_becomes_rows(shop: Engine) -> None:
    model = FakeModel(["SELECT city, COUNT(*) AS n FROM sales GROUP BY city ORDER BY city"])
    answer = ask("How many sales in each city?", shop, model, run=True)
    assert answer.frame is not None
    assert answer.frame.values.tolist() == [["Oslo", 1], ["Rome", 2]]
    assert isinstance(answer.checked, CheckedSQL) and answer.checked.tables == ("sales",)
    assert (
        answer.checked.sql
        == answer.sql
        == "SELECT city, COUNT(*) AS n FROM sales GROUP BY city ORDER BY city"
    )
    assert answer.error is None and not answer.refused
    assert {"schema", "load", "generate", "check", "query", "first_token"} <= set(answer.timings)
    assert "CREATE TABLE sales" in model.prompts[0].text


def test_without_run_there_are_no_rows(shop: Engine) -> None:
    answer = ask("How many?", shop, FakeModel(["SELECT COUNT(*) FROM sales"]))
    assert answer.frame is None and answer.checked is not None and "query" not in answer.timings


@pytest.mark.parametrize(
    "reply",
    ["DROP TABLE sales", "DELETE FROM sales", "WITH x AS (DELETE FROM sales RETURNING *) SELECT 1"],
)
def test_a_write_is_shown_and_not_run(shop: Engine, reply: str) -> None:
    answer = ask("Empty it", shop, FakeModel([reply]), run=True)
    assert isinstance(answer.error, SQLRejected)
    assert answer.checked is None and answer.frame is None
    assert answer.sql == reply
    assert count(shop) == 3


def test_an_unknown_column_names_the_nearest(shop: Engine) -> None:
    given = Settings(run=True, repair=False)
    answer = ask("Cities?", shop, FakeModel(["SELECT citty FROM sales"]), settings=given)
    assert isinstance(answer.error, SQLRejected)
    assert "city" in str(answer.error) and answer.error.rule == "columns"
    assert answer.sql == "SELECT citty FROM sales"


def test_a_nearly_right_name_is_mended_and_told(shop: Engine) -> None:
    answer = ask("Cities?", shop, FakeModel(["SELECT citty FROM sales"]), run=True)
    assert answer.error is None and answer.frame is not None and len(answer.frame) == 3
    assert "`citty` → `sales.city`" in answer.notes
    assert answer.checked is not None and answer.checked.sql == answer.sql
    assert answer.draft.text == "SELECT citty FROM sales"


def test_a_name_with_two_readings_is_not_guessed(shop: Engine) -> None:
    with shop.begin() as connection:
        key = "INTEGER REFERENCES sales (sale_id)"
        connection.execute(text(f"CREATE TABLE swaps (given {key}, taken {key})"))
    answer = ask("Cities?", shop, FakeModel(["SELECT city FROM swaps"]), run=True)
    assert answer.sql == "SELECT city FROM swaps" and answer.frame is None
    both = ("`sales.city` through `swaps.given`", "through `swaps.taken`")
    told = str(answer.error).replace("or through", "through")
    assert all(way in told for way in both), told


def test_an_unknown_table_names_the_nearest(shop: Engine) -> None:
    given = Settings(run=True, repair=False)
    answer = ask("Cities?", shop, FakeModel(["SELECT * FROM sale"]), settings=given)
    assert isinstance(answer.error, SQLRejected)
    assert "sales" in str(answer.error)


@pytest.mark.parametrize("reply", ["I do not know", "I do not know;", "SELECT 'I do not know'"])
def test_an_honest_no_is_no_error(shop: Engine, reply: str) -> None:
    answer = ask("What is love?", shop, FakeModel([reply]), run=True)
    assert answer.refused and answer.sql == "" and answer.frame is None and answer.error is None


@pytest.mark.parametrize("reply", ["", "```sql\n```", "I DON'T KNOW.", "SELECT 'I do not know'"])
@pytest.mark.parametrize(
    ("question", "near"),
    [
        ("How many sails per city?", "Nearest to your words: sales (city)."),  # a slip of the pen
        ("What is the weather?", "Nothing in the schema is near your words. It has sales."),
    ],
)
def test_a_refusal_says_what_there_is(shop: Engine, reply: str, question: str, near: str) -> None:
    answer = ask(question, shop, FakeModel([reply]), run=True)
    assert answer.refused and answer.error is None
    assert answer.notes[-1] == near


@pytest.mark.parametrize(
    ("question", "doubt"),
    [
        ("How many sales?", ""),
        ("Wie viele Kunden gibt es?", "No word of the question is in the schema"),
        ("What is the weather?", "No word of the question is in the schema"),
        ("Hello, how are you?", "No word of the question is in the schema"),
        ("Delete all sales", "Questions only read"),
    ],
)
def test_an_answer_to_something_else_is_doubted(shop: Engine, question: str, doubt: str) -> None:
    """A model that always writes SQL: the answer stands, with a note."""
    answer = ask(question, shop, FakeModel(["SELECT COUNT(*) FROM sales"]), run=True)
    assert answer.frame is not None and not answer.refused
    doubts = [note for note in answer.notes if note.startswith(("No word", "Questions only"))]
    assert [note.startswith(doubt) for note in doubts] == ([True] if doubt else [])


@pytest.mark.parametrize("reply", ["Sure! I can help with that.", "-- nothing"])
def test_a_draft_without_sql_is_a_sentence(shop: Engine, reply: str) -> None:
    with pytest.raises(NoSQLError) as caught:
        ask("How many?", shop, FakeModel([reply]), run=True)
    assert caught.value.text == reply and caught.value.fix


def test_two_statements_are_not_run(shop: Engine) -> None:
    replies = ["SELECT 1; DROP TABLE sales"]
    try:
        answer = ask("How many?", shop, FakeModel(replies), run=True)
        assert answer.error is not None and answer.frame is None
    except NoSQLError as error:
        assert "DROP" in error.text
    assert count(shop) == 3


@pytest.mark.parametrize("question", ["", "  \n ", "# a note", "-- a note\n# another"])
def test_an_empty_question_calls_no_model(shop: Engine, question: str) -> None:
    model = FakeModel(["SELECT 1"])
    with pytest.raises(QuestionError):
        ask(question, shop, model)
    assert model.prompts == []


def test_no_connection_calls_no_model() -> None:
    model = FakeModel(["SELECT 1"])
    with pytest.raises(NoConnectionError):
        ask("How many?", None, model)
    assert model.prompts == []


def test_ctrl_c_while_the_model_writes(shop: Engine, statements: list[str]) -> None:
    model = FakeModel([KeyboardInterrupt(), "SELECT COUNT(*) FROM sales"])
    with pytest.raises(Stopped, match="writing"):
        ask("How many?", shop, model, run=True)
    assert ask("How many?", shop, model, run=True).frame is not None


class Unfinished(FakeModel):
    """Never comes to an end."""

    def generate(self, *args: object, **kwargs: object) -> Draft:  # type: ignore[override]
        return Draft("SELECT a, a, a", "fake", 1, 300, 1.0, 0.1, finished=False)


def test_a_model_that_loops_is_stopped_and_not_run(shop: Engine) -> None:
    with pytest.raises(GenerationError, match="did not come to an end in 300 tokens") as caught:
        ask("How many?", shop, Unfinished(), run=True)
    assert "SELECT a, a, a" in str(caught.value)


def test_a_failing_query_keeps_the_sql(shop: Engine) -> None:
    reply = "SELECT ABS(-9223372036854775808) FROM sales"  # an integer overflow at run time
    answer = ask("How many?", shop, FakeModel([reply]), run=True)
    assert isinstance(answer.error, RunError) and answer.frame is None
    assert answer.sql == reply and answer.checked is not None


def test_the_row_limit_is_told(shop: Engine) -> None:
    settings = Settings(run=True, row_limit=2)
    answer = ask("All", shop, FakeModel(["SELECT * FROM sales"]), settings=settings)
    assert answer.frame is not None
    assert len(answer.frame) == 2 and answer.frame.attrs["truncated"]


def test_an_answer_is_shown_without_what_fills_pages(shop: Engine) -> None:
    answer = ask("How many?", shop, FakeModel(["SELECT city FROM sales"]), run=True)
    assert answer.frame is not None and answer.prompt is not None
    shown = repr(answer)
    assert "How many?" in shown and "SELECT city FROM sales" in shown
    assert "CREATE TABLE" not in shown and "Draft(" not in shown and "Oslo" not in shown


def test_only_the_named_tables_reach_the_prompt(shop: Engine) -> None:
    with shop.begin() as connection:
        connection.execute(text("CREATE TABLE secrets (a TEXT)"))
    model = FakeModel(["SELECT 1 AS one", "SELECT a FROM secrets"])
    ask("x", shop, model, settings=Settings(tables="sales"))
    assert model.prompts[0].tables == ("sales",)
    answer = ask("x", shop, model, settings=Settings(tables="sales"), run=True)
    assert isinstance(answer.error, SQLRejected)


def test_instructions_reach_the_prompt(shop: Engine) -> None:
    model = FakeModel(["SELECT 1 AS one", "SELECT 1 AS one"])
    ask("How many?", shop, model, settings=Settings(instructions="be brief"))
    ask(Question("How many?", "be kind"), shop, model, settings=Settings(instructions="be brief"))
    assert "be brief" in model.prompts[0].text
    assert "be kind" in model.prompts[1].text and "be brief" not in model.prompts[1].text


def test_the_schema_goes_first_where_that_is_asked_for(shop: Engine) -> None:
    model = FakeModel(["SELECT 1 AS one", "SELECT 1 AS one"])
    model.spec = replace(model.spec, template=entry_for("sqlcoder-7b-2")[0].template)
    ask("How many?", shop, model)
    ask("How many?", shop, model, settings=Settings(schema_first=True))
    usual, other = (prompt.text for prompt in model.prompts)
    assert usual.index("How many?") < usual.index("CREATE TABLE")
    assert other.index("CREATE TABLE") < other.index("How many?")


def test_samples_reach_the_prompt_only_when_asked_for(shop: Engine) -> None:
    model = FakeModel(["SELECT 1 AS one", "SELECT 1 AS one"])
    ask("How many?", shop, model)
    ask("How many?", shop, model, settings=Settings(samples_per_column=2))
    assert "Rome" not in model.prompts[0].text
    assert "e.g. 'Rome', 'Oslo'" in model.prompts[1].text


def test_postgres_spelling_is_translated_and_said(shop: Engine) -> None:
    reply = "SELECT COUNT(*) AS n FROM sales WHERE city ILIKE '%rome%'"
    answer = ask("How many?", shop, FakeModel([reply]), run=True)
    assert answer.frame is not None and answer.frame.iloc[0, 0] == 2
    assert answer.sql != reply and answer.notes


def test_the_watcher_hears_each_step(shop: Engine) -> None:
    heard: list[str] = []

    class Ear(Watcher):
        def progress(self, doing: str, share: float | None) -> None:
            heard.append(doing)

        def model(self, model: Model) -> None:
            heard.append("model")

        def prompt(self, prompt: object) -> None:
            heard.append("prompt")

        def text(self, text: str) -> None:
            heard.append("text")

    ask("How many?", shop, FakeModel(["SELECT 1 AS a"]), run=True, watcher=Ear())
    assert heard == ["reading the schema", "model", "prompt", "text", "running the query"]


def test_checked_sql_cannot_be_made_by_hand() -> None:
    with pytest.raises(TypeError, match="check_sql"):
        CheckedSQL("DROP TABLE sales", "sqlite", ())


def test_an_answer_as_plain_facts(shop: Engine) -> None:
    answer = ask("How many?", shop, FakeModel(["SELECT COUNT(*) FROM sales"]), run=True)
    assert isinstance(answer, Answer)
    facts = answer.to_dict()
    assert facts["sql"] == "SELECT COUNT(*) FROM sales" and "frame" not in facts
