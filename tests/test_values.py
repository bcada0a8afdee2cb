"""`--values` from end to end: the values that a question mentions reach the prompt, by way of the
guard, on every engine that has one; and guessed joins, which `guess_joins` switches off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, text

from sqlcoder_magic import FakeModel, Settings, ask
from sqlcoder_magic.connection import open_database
from sqlcoder_magic.types import Answer

SCRIPT = (
    "CREATE TABLE shops (id INTEGER PRIMARY KEY, town VARCHAR(40), remark VARCHAR(200))",
    "CREATE TABLE visits (id INTEGER PRIMARY KEY, shop_id INTEGER, kind VARCHAR(20))",
    "INSERT INTO shops VALUES (1, 'New York', 'big'), (2, 'OSLO', 'small'), (3, 'Rome', NULL)",
    "INSERT INTO visits VALUES (1, 1, 'on foot'), (2, 2, 'By bicycle')",
)
QUESTION = "How many visits on foot or by bicycle had the shops in new york, Oslo and Kiel?"
SETTINGS = Settings(values=True)


@pytest.fixture(params=["sqlite", "duckdb", "postgres", "mariadb"])
def shops(request: pytest.FixtureRequest, tmp_path: object) -> Iterator[Engine]:
    urls = {"sqlite": f"sqlite:///{tmp_path}/a.db", "duckdb": "duckdb:///:memory:"}
    servers = {"postgres": "postgres_url", "mariadb": "mariadb_fresh_url"}
    server = servers.get(request.param)
    engine = create_engine(request.getfixturevalue(server) if server else urls[request.param])
    with engine.begin() as connection:
        for statement in SCRIPT:
            connection.execute(text(statement))
    yield engine
    engine.dispose()


def asked(engine: object, settings: Settings = SETTINGS) -> Answer:
    return ask(QUESTION, engine, FakeModel(["SELECT COUNT(*) FROM visits"]), settings=settings)


def prompt_of(answer: Answer) -> str:
    assert answer.prompt is not None
    return answer.prompt.text


def test_values_reach_the_prompt_and_a_note(shops: Engine) -> None:
    answer = asked(shops)
    prompt = prompt_of(answer)
    assert "'New York'" in prompt and "'OSLO'" in prompt  # as the database spells them
    assert "'on foot'" in prompt and "'By bicycle'" in prompt
    assert "Rome" not in prompt and "Kiel'" not in prompt and "'big'" not in prompt
    said = next(note for note in answer.notes if note.startswith("Values that the question"))
    assert "shops.town = 'New York'" in said and "visits.kind = 'By bicycle'" in said


def test_nothing_is_looked_up_unless_asked_for(shops: Engine) -> None:
    answer = asked(shops, Settings())
    assert "OSLO" not in prompt_of(answer)
    assert not any("Values" in note for note in answer.notes)


def test_a_guessed_join_is_in_the_prompt_and_in_a_note(shops: Engine) -> None:
    answer = asked(shops, Settings())
    assert "visits.shop_id can be joined with shops.id" in prompt_of(answer)
    assert "Guessed joins: visits.shop_id → shops.id." in answer.notes
    off = asked(shops, Settings(guess_joins=False))
    assert "can be joined" not in prompt_of(off)
    assert not any("Guessed" in note for note in off.notes)


def test_samples_do_not_lose_the_guessed_join(shops: Engine) -> None:
    prompt = prompt_of(asked(shops, Settings(samples_per_column=2, values=True)))
    assert "visits.shop_id can be joined with shops.id" in prompt
    assert "'small'" in prompt  # a sample that nobody mentioned


def test_a_broken_view_costs_a_note(tmp_path: object) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/b.db")
    with engine.begin() as connection:
        for statement in SCRIPT:
            connection.execute(text(statement))
        connection.execute(text("CREATE VIEW gone AS SELECT abs(town) AS t, town FROM shops"))
        connection.execute(
            text("CREATE VIEW bad AS SELECT town, json_extract(town, '$') AS j FROM shops")
        )
    answer = asked(engine)
    assert "'New York'" in prompt_of(answer)
    engine.dispose()


def test_a_slow_table_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/c.db")
    with engine.begin() as connection:
        for statement in SCRIPT:
            connection.execute(text(statement))
        connection.execute(
            text(
                "CREATE VIEW slow AS SELECT town FROM shops JOIN (WITH RECURSIVE n(i) AS "
                "(SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n) AS m ON m.i < 0"
            )
        )
    monkeypatch.setattr("sqlcoder_magic.context._LOOKUP_S", 0.5)
    answer = asked(engine)
    assert any(note.startswith("No values were looked up in ") for note in answer.notes)
    assert answer.sql == "SELECT COUNT(*) FROM visits"
    engine.dispose()


def test_a_session_of_the_users_is_left_alone(tmp_path: object) -> None:
    """An open transaction on the user's own connection stays open, its work unsaved."""
    engine = create_engine(f"sqlite:///{tmp_path}/d.db")
    with engine.begin() as connection:
        for statement in SCRIPT:
            connection.execute(text(statement))
    with engine.connect() as connection:
        connection.execute(text("INSERT INTO shops VALUES (4, 'Kiel', 'new')"))
        answer = asked(open_database(connection))
        assert "'Kiel'" in prompt_of(answer)
        connection.rollback()
        assert connection.execute(text("SELECT COUNT(*) FROM shops")).scalar() == 3
    engine.dispose()
