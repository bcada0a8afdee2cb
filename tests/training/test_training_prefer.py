"""Wrong aliases: queries that parse and fail; direct preference optimisation on them."""

from __future__ import annotations

import math
import sqlite3
from itertools import islice
from pathlib import Path
from random import Random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp, parse_one
from training_library import LIBRARY, QUESTIONS, database

from sqlcoder_magic.models.catalog import WEIGHTS
from sqlcoder_magic.training.__main__ import main
from sqlcoder_magic.training.feed import Feed
from sqlcoder_magic.training.mix import Lesson
from sqlcoder_magic.training.network import loss_of, open_network, state_of
from sqlcoder_magic.training.pack import collate, load_tokens, pack
from sqlcoder_magic.training.prefer import (
    dpo_loss,
    log_probabilities,
    pack_pairs,
    paired,
    pairs,
    prefer,
    wrong_alias,
)
from sqlcoder_magic.training.query import Names, read_query, render
from sqlcoder_magic.training.train import read_state

JOINED = [sql for _, sql in QUESTIONS if " JOIN " in sql]


def written(sql: str, style: str) -> str:
    """The query with its aliases in this style."""
    query = read_query(sql, LIBRARY)
    assert query is not None
    return render(query, Names(), "sqlite", style)


@given(st.sampled_from(JOINED), st.sampled_from(["numbered", "initials", "none"]), st.randoms())
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_a_wrong_alias_parses_differs_in_one_column_and_fails(
    sql: str, style: str, rng: Random
) -> None:
    right = written(sql, style)
    wrong = wrong_alias(right, LIBRARY, rng)
    assert wrong is not None
    before, after = (
        [(c.table, c.name) for c in parse_one(text, read="sqlite").find_all(exp.Column)]
        for text in (right, wrong)
    )
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert len(changed) == 1
    assert changed[0][0][1] == changed[0][1][1]  # the same column, of another table
    assert database(LIBRARY, Names()).execute(right).fetchall()
    with pytest.raises(sqlite3.OperationalError, match="no such column"):
        database(LIBRARY, Names()).execute(wrong)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT Name FROM Author",
        "SELECT Author.Name FROM Author",
        "I do not know",
        "SELECT Author.Name FROM Author JOIN Shelf ON Author.Author_ID = Shelf.Author_ID",
        "SELECT a.Author_ID FROM Author AS a JOIN Author AS b ON a.Author_ID = b.Author_ID",
    ],
)
def test_no_wrong_alias_where_none_can_be(sql: str) -> None:
    assert wrong_alias(sql, LIBRARY, Random(0)) is None


def test_the_wrong_table_is_of_the_same_select() -> None:
    sql = (
        "SELECT Loan.Quantity FROM Loan WHERE Loan.Book_ID IN (SELECT Book.Book_ID FROM Book "
        "JOIN Author ON Book.Author_ID = Author.Author_ID WHERE Author.Age > 40)"
    )
    found = {wrong_alias(sql, LIBRARY, Random(seed)) for seed in range(60)}
    assert found == {
        sql.replace("SELECT Book.Book_ID", "SELECT Author.Book_ID"),
        sql.replace("Author.Age", "Book.Age"),
    }


def test_pairs_share_a_pack_and_stay_together() -> None:
    tokens = load_tokens(WEIGHTS / "tokenizer.json")
    lesson = paired(Lesson(LIBRARY, tuple(QUESTIONS)), Random(0))
    rights = [row for row in QUESTIONS if " JOIN " in row[1]]
    assert list(lesson.rows[::2]) == rights
    assert [question for question, _ in lesson.rows[1::2]] == [q for q, _ in rights]
    whole = pack_pairs(lesson, tokens, 4_000)
    assert whole is not None
    less = pack_pairs(lesson, tokens, len(whole.ids) - 1)
    assert less is not None
    assert (whole.questions, less.questions) == (2 * len(rights), 2 * len(rights) - 2)
    assert pack_pairs(lesson, tokens, 50) is None


def test_log_probabilities_are_those_of_the_answers_alone(tiny_model: Path) -> None:
    tokens, network = load_tokens(tiny_model / "tokenizer.json"), open_network(tiny_model).eval()
    lesson = paired(Lesson(LIBRARY, tuple(QUESTIONS)), Random(0))
    short = Lesson(LIBRARY, lesson.rows[:2])
    made = [pack_pairs(one, tokens, 4_000) for one in (lesson, short)]
    batch = collate([one for one in made if one is not None]).to("cpu")
    with torch.no_grad():
        found = log_probabilities(network, batch, "cpu").flatten().tolist()
        wanted = []
        for row in (*lesson.rows, *short.rows):
            alone = pack(Lesson(LIBRARY, (row,)), tokens, 4_000)
            assert alone is not None
            size = sum(label >= 0 for label in alone.labels)
            wanted.append(-size * loss_of(network, collate([alone]).to("cpu"), "cpu").item())
    assert found == pytest.approx(wanted, rel=1e-4)


def test_the_loss_is_that_of_the_formula() -> None:
    """-log sigma(beta log(pi(w)/ref(w)) - beta log(pi(l)/ref(l))), by hand."""
    policy, reference = [(-3.0, -4.5), (-10.0, -6.0)], [(-3.5, -4.0), (-9.0, -9.5)]
    beta, wanted = 0.3, 0.0
    for (won, lost), (ref_won, ref_lost) in zip(policy, reference, strict=True):
        inner = beta * (won - ref_won) - beta * (lost - ref_lost)
        wanted += -math.log(1 / (1 + math.exp(-inner))) / 2
    found = dpo_loss(torch.tensor(policy), torch.tensor(reference), beta)
    assert found.item() == pytest.approx(wanted, rel=1e-6)
    same = torch.tensor(policy)
    assert dpo_loss(same, same, beta).item() == pytest.approx(math.log(2))


def test_preferring_raises_the_margin(feed: Feed, tiny_model: Path) -> None:
    network, before = open_network(tiny_model), open_network(tiny_model).eval()
    batches = list(islice(pairs(feed), 1)) * 8
    steps = list(prefer(network, before, batches, rate=3e-3, beta=0.5))
    assert steps[0].margin == pytest.approx(0.0, abs=1e-4)
    assert steps[0].loss == pytest.approx(math.log(2), abs=1e-4)
    assert steps[-1].margin > 1.0
    assert steps[-1].loss < 0.5 * steps[0].loss
    name = "model.embed_tokens.weight"
    assert torch.equal(state_of(network)[name], state_of(before)[name])


def test_the_command_goes_on_from_a_state(feed: Feed, tiny_model: Path, tmp_path: Path) -> None:
    here = f"--corpus {feed.corpus} --start {tiny_model} --tokens 800 --limit 700"
    state, out = tmp_path / "s.pt", tmp_path / "out.pt"
    assert main(f"train {here} --state {state} --steps 1".split()) == 0
    line = f"prefer {here} --state {state} --out {out} --steps 2 --rate 1e-3"
    assert main(line.split()) == 0
    before, after = (read_state(path)["average"] for path in (state, out))
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert main(f"export --state {out} --start {tiny_model} --out {tmp_path / 'w'}".split()) == 0
