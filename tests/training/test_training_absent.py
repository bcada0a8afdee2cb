"""Questions that a suite's databases cannot answer, and whether they are refused."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from sqlcoder_magic.evals.suites import Item, Suite, open_suite
from sqlcoder_magic.training.__main__ import main
from sqlcoder_magic.training.absent import foreign, lost, refused
from sqlcoder_magic.training.network import open_network
from sqlcoder_magic.training.pack import load_tokens
from sqlcoder_magic.training.query import REFUSAL
from sqlcoder_magic.types import Column, Schema, Table


@pytest.fixture
def suite(training_file: Path, tmp_path: Path) -> Suite:
    """The library, and a harbour of which nobody asks but once."""
    sqlite3.connect(tmp_path / "library.sqlite").close()
    found = open_suite(str(training_file), str(tmp_path))
    ships = Table(
        "Ship", "", (Column("Tonnage", "INT", True), Column("Price", "INT", True)), (), ()
    )
    item = Item("ship", "harbour", "", "", "How heavy are they?", ("SELECT Tonnage FROM Ship",))
    return replace(
        found,
        items=(*found.items, item),
        schemas={**found.schemas, "harbour": Schema("sqlite", (ships,))},
    )


def test_foreign_questions_share_no_word_with_the_schema(suite: Suite) -> None:
    lessons = list(foreign(suite))
    by_table = {lesson.schema.tables[0].name: [q for q, _ in lesson.rows] for lesson in lessons}
    assert by_table["Author"] == ["How heavy are they?"]
    priced = {item.question for item in suite.items if "rice" in item.golds[0]}
    asked = set(by_table["Ship"])
    assert asked and priced and not asked & priced  # the harbour has prices too
    assert {sql for lesson in lessons for _, sql in lesson.rows} == {REFUSAL}
    assert sum(len(lesson.rows) for lesson in foreign(suite, limit=1)) == 2


def test_lost_columns_are_not_in_the_schema_that_is_shown(suite: Suite) -> None:
    lessons = list(lost(suite))
    assert lessons
    golds = {item.question: item.golds[0] for item in suite.items}
    for lesson in lessons:
        (schema,) = (
            s for s in suite.schemas.values() if s.tables[0].name == lesson.schema.tables[0].name
        )
        there, before = (
            {(table.name, column.name) for table in one.tables for column in table.columns}
            for one in (lesson.schema, schema)
        )
        ((_, column),) = before - there
        for question, _ in lesson.rows:
            assert column.lower() in golds[question].lower()


def test_a_network_that_was_taught_to_refuse_does(suite: Suite, tiny_model: Path) -> None:
    import torch

    network, tokens = open_network(tiny_model), load_tokens(tiny_model / "tokenizer.json")
    asked = sum(len(lesson.rows) for lesson in lost(suite))
    assert refused(network, tokens, lost(suite)) == [False] * asked
    # A head that continues each token of the refusal by the next, and anything else by its first.
    words = [*tokens.encode(f"{REFUSAL};", add_special_tokens=False).ids, 2]
    following = dict(pairwise(words))
    network.model.forward = lambda input_ids, **_: SimpleNamespace(last_hidden_state=input_ids)
    network.lm_head.forward = lambda ids: torch.nn.functional.one_hot(
        torch.tensor([following.get(int(one), words[0]) for one in ids]), 49_152
    )
    assert refused(network, tokens, lost(suite)) == [True] * asked
    assert refused(network, tokens, iter(())) == []


def test_the_command_counts_both_kinds(
    training_file: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sqlite3.connect(tmp_path / "library.sqlite").close()
    line = f"refusals --weights {tiny_model} --suite {training_file} --databases {tmp_path}"
    assert main(line.split()) == 0
    out = capsys.readouterr().out
    assert re.fullmatch(r"foreign: 0 of 0 refused\.\nlost: 0 of [1-9]\d* refused\.\n", out)
