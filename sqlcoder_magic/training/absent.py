"""Does the model say no? Questions about data that a suite's databases do not hold.

Two kinds, both made of the suite's own questions. `foreign`: asked of another database, with which
the known answer shares no word of a name. `lost`: asked of their own, from whose schema a column
that the answer needs was taken out, and no other column is called like it. A question
counts as refused if the refusal is the likeliest answer, token by token, which is what greedy
decoding writes. Not covered: refusals of questions that can be answered (`evals` counts those).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from sqlcoder_magic.evals.suites import Item, Suite
from sqlcoder_magic.training import augment
from sqlcoder_magic.training.mix import ROWS, Lesson
from sqlcoder_magic.training.network import answer_logits
from sqlcoder_magic.training.pack import NO_LOSS, collate, pack
from sqlcoder_magic.training.query import REFUSAL, Query, read_query, words_of
from sqlcoder_magic.types import Schema


def foreign(suite: Suite, limit: int = 3 * ROWS) -> Iterator[Lesson]:
    """Questions of other databases, spread evenly over all that fit, `limit` for each schema."""
    asked = list(_read(suite))
    for name, schema in suite.schemas.items():
        known = {word for one in _names(schema) for word in words_of(one)}
        strange = [
            item.question
            for item, query in asked
            if item.db != name and not known & _words(query) and query.tables
        ]
        step = max(len(strange) / limit, 1)
        spread = [strange[int(place * step)] for place in range(min(limit, len(strange)))]
        yield from _lessons(schema, spread)


def lost(suite: Suite) -> Iterator[Lesson]:
    """Questions whose column is not there, column by column."""
    needed: dict[tuple[str, str, str], list[str]] = {}
    for item, query in _read(suite):
        for table, column in sorted(query.columns):
            if _alone(suite.schemas[item.db], table, column):
                needed.setdefault((item.db, table, column), []).append(item.question)
    for (name, table, column), questions in needed.items():
        yield from _lessons(augment.without_column(suite.schemas[name], table, column), questions)


def _read(suite: Suite) -> Iterator[tuple[Item, Query]]:
    for item in suite.items:
        query = read_query((item.golds_postgres or item.golds)[0], suite.schemas[item.db])
        if query is not None:
            yield item, query


def _names(schema: Schema) -> Iterator[str]:
    for table in schema.tables:
        yield from (table.name, *(column.name for column in table.columns))


def _words(query: Query) -> set[str]:
    names = chain(query.tables, (column for _, column in query.columns))
    return {word for name in names for word in words_of(name)}


def _alone(schema: Schema, table: str, column: str) -> bool:
    """True for a column that is no key and is called like no other column or table."""
    keys = {
        (one.name, name)
        for one in schema.tables
        for name in chain(one.primary_key, *(key.columns for key in one.foreign_keys))
    }
    words = set(words_of(column))
    others = list(_names(schema))
    others.remove(column)
    return (table, column) not in keys and not any(words & set(words_of(name)) for name in others)


def _lessons(schema: Schema, questions: Sequence[str]) -> Iterator[Lesson]:
    for start in range(0, len(questions), ROWS):
        rows = tuple((question, REFUSAL) for question in questions[start : start + ROWS])
        yield Lesson(schema, rows)


def refused(
    network: Any, tokens: Any, lessons: Iterator[Lesson], *, half: bool = False
) -> list[bool]:
    """For each question of these lessons, whether the network refuses it."""
    import torch

    found: list[bool] = []
    for lesson in lessons:
        made = pack(lesson, tokens, limit=4_096)
        if made is None:
            continue
        batch = collate([made]).to("cpu")
        with torch.no_grad():
            logits, targets = answer_logits(network, batch, "cpu", half=half)
        answers = targets[0] != NO_LOSS
        same = logits.argmax(-1) == targets[0][answers]
        owners = batch.segments[0, 1:][answers]
        found += [bool(same[owners == number].all()) for number in range(1, made.questions + 1)]
    return found
