"""Ranking tables by meaning: a tiny random checkpoint stands in, whose arithmetic is the same.

How much a real one helps is measured by `benchmarks/paraphrases.py`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sqlcoder_magic import FakeModel, Settings, ask
from sqlcoder_magic.errors import ModelLoadError, ModelNotFoundError
from sqlcoder_magic.models.embedding import Embedder, open_embedder
from sqlcoder_magic.schema import select_tables
from sqlcoder_magic.schema.selection import fused
from sqlcoder_magic.types import Column, Schema, Table

WORDS = "customer order line country sales wage flight plane id name a b c d e f g h".split()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of two layers with a vocabulary of a few words, as sentence-transformers
    lays it out."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    place = tmp_path_factory.mktemp("embedder")
    vocabulary = {word: at for at, word in enumerate(["[PAD]", "[UNK]", *WORDS])}
    plain = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    plain.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(place)
    torch.manual_seed(3)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    config = BertConfig(vocab_size=len(vocabulary), num_hidden_layers=2, **sizes)
    BertModel(config).save_pretrained(place)
    (place / "1_Pooling").mkdir()
    pooling = {"pooling_mode_mean_tokens": True, "word_embedding_dimension": 32}
    (place / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return place


def schema_of(*names: str) -> Schema:
    columns = (Column("id", "INT", False), Column("name", "TEXT", True))
    return Schema("sqlite", tuple(Table(name, "", columns, ("id",), ()) for name in names))


def test_a_vector_has_length_one_and_no_padding_in_it(directory: Path) -> None:
    embedder = open_embedder(str(directory))
    together = embedder.vectors(["customer", "order line sales wage flight plane a b c"])
    assert together.shape == (2, 32)
    assert together.norm(dim=1).tolist() == pytest.approx([1, 1], abs=1e-5)
    alone = embedder.vectors(["customer"])
    assert together[0].tolist() == pytest.approx(alone[0].tolist(), abs=1e-5)


def test_the_nearest_table_comes_first(directory: Path) -> None:
    embedder = open_embedder(str(directory))
    schema = schema_of("customer", "order_line", "flightPlane", "wage")
    said: list[tuple[str, float | None]] = []
    for position, question in enumerate(("customer", "order line", "flight plane", "wage")):
        ranked = embedder.ranked(
            schema, f"{question}: id, name", lambda doing, share: said.append((doing, share))
        )
        assert sorted(ranked) == [0, 1, 2, 3]
        assert ranked[0] == position
    assert said == [("reading what the tables mean", 0.0)]  # once, though asked four times
    assert embedder.ranked(schema_of(), "customer") == []


def test_it_is_loaded_once(directory: Path) -> None:
    assert isinstance(open_embedder(str(directory)), Embedder)
    assert open_embedder(str(directory)) is open_embedder(str(directory))


def test_what_is_no_embedding_model_is_a_sentence(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        open_embedder(str(tmp_path / "nowhere"))
    with pytest.raises(ModelLoadError, match="no embedding model that pools the mean") as caught:
        open_embedder("sqlcoder-tiny")
    assert "all-MiniLM-L6-v2" in caught.value.fix


def test_two_rankings_become_one() -> None:
    assert fused([0, 1, 2, 3], [0, 1, 2, 3]) == [0, 1, 2, 3]
    assert fused([0, 1, 2, 3], [2, 0, 1, 3])[0] == 0
    assert fused([0, 1, 2], [2, 1, 0]) in ([0, 2, 1], [2, 0, 1], [1, 0, 2])


def test_a_table_that_only_the_meaning_finds_is_chosen() -> None:
    schema = schema_of(*(f"thing{n}" for n in range(100)), "wage")
    without = select_tables(schema, "what do people earn", max_tokens=100)
    assert "wage" not in {table.name for table in without.tables}
    with_it = select_tables(
        schema, "earnings", max_tokens=100, similar=lambda question: [100, *range(100)]
    )
    assert "wage" in {table.name for table in with_it.tables}


def test_a_question_uses_it_only_where_not_all_tables_fit(tmp_path: Path, directory: Path) -> None:
    import sqlite3

    path = tmp_path / "many.db"
    connection = sqlite3.connect(path)
    for number in range(300):
        connection.execute(f"CREATE TABLE thing{number} (id INTEGER PRIMARY KEY, name TEXT)")
    connection.execute("CREATE TABLE plane (id INTEGER PRIMARY KEY, name TEXT)")
    connection.close()

    def tables(model: str) -> tuple[str, ...]:
        fake = FakeModel(["SELECT COUNT(*) FROM thing1"])
        settings = Settings(embedding_model=model)
        made = ask("plane : id , name", f"sqlite:///{path}", fake, settings=settings)
        assert made.prompt is not None
        return made.prompt.tables

    assert "plane" in tables(str(directory))
    with pytest.raises(ModelNotFoundError):
        tables(str(tmp_path / "nowhere"))
    fake = FakeModel(["SELECT COUNT(*) FROM sales"])
    settings = Settings(embedding_model=str(tmp_path / "nowhere"))
    assert ask("How many sales?", "sample", fake, settings=settings).sql  # five tables fit
