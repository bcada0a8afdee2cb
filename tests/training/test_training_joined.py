"""Databases made of single tables: one tree of keys, and questions whose SQL runs on them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sqlcoder_magic.check import translate
from sqlcoder_magic.models.catalog import TINY
from sqlcoder_magic.prompt import schema_text
from sqlcoder_magic.training.data import Corpus
from sqlcoder_magic.training.joined import joined
from sqlcoder_magic.training.mix import Mix, Mixer
from sqlcoder_magic.types import Column, Schema, Table


def single(name: str) -> Table:
    """A table of which one column is called like a key that it may get."""
    columns = (Column("id", "INTEGER", True), Column("title", "TEXT", True))
    return Table(name, "", (*columns, Column("albums_id", "TEXT", True)), (), ())


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_every_table_is_reached_and_every_key_is_there(seed: int, count: int) -> None:
    names = [f"albums_{number}" for number in range(2 * count)]
    made = joined([single(name) for name in names[:count]], names[count:], Random(seed))
    columns = {table.name: [c.name for c in table.columns] for table in made}
    assert len(columns) == len(made) >= count
    links = [(table, key) for table in made for key in table.foreign_keys]
    assert len(links) == len(made) - 1  # a tree
    for table, key in links:
        assert set(key.columns) <= set(columns[table.name])
        assert key.other_columns == (columns[key.other_table][0],)
    for found in columns.values():
        assert len({name.lower() for name in found}) == len(found)
    reached, new = {made[0].name}, True
    while new:
        new = {
            one
            for table, key in links
            for one, other in ((table.name, key.other_table), (key.other_table, table.name))
            if other in reached and one not in reached
        }
        reached |= new
    assert reached == set(columns)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000))
def test_their_lessons_sql_runs_on_a_database_of_the_schema(corpus: Corpus, seed: int) -> None:
    lesson = Mixer(corpus, Mix(joined=1.0)).lesson(Random(seed), 1)
    bare = Schema("sqlite", lesson.schema.tables)
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(schema_text(bare, TINY.style))
        for _, sql in lesson.rows:
            database.execute(translate(sql, write="sqlite")[0]).fetchall()


def test_most_of_the_questions_written_for_them_join(corpus: Corpus) -> None:
    mixer = Mixer(corpus, Mix(joined=1.0))
    found = [mixer.lesson(Random(seed), 1) for seed in range(60)]
    shown = [one for one in found if any(table.foreign_keys for table in one.schema.tables)]
    written = [sql for lesson in shown for _, sql in lesson.rows if "'Ada'" not in sql]
    assert len(shown) > 30
    assert sum(" JOIN " in sql for sql in written) > len(written) / 2
    assert Mix().joined == 0.0
