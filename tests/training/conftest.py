"""The library as training files and as a corpus; a tiny random network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from training_library import LIBRARY, QUESTIONS

from sqlcoder_magic.training.data import Corpus, prepare, save
from sqlcoder_magic.training.feed import Feed


@pytest.fixture
def training_file(tmp_path: Path) -> Path:
    """The library in the layout of the multi-table training file."""
    tables = [
        {
            "name": table.name,
            "columns": [
                {
                    "name": column.name,
                    "type": column.type,
                    "primary_key": int(column.name in table.primary_key),
                    "samples": list(column.samples),
                }
                for column in table.columns
            ],
        }
        for table in LIBRARY.tables
    ]
    joins = [
        [table.name, key.columns[0], key.other_table, key.other_columns[0]]
        for table in LIBRARY.tables
        for key in table.foreign_keys
    ]
    questions = [{"db": "library", "question": q, "sql": sql} for q, sql in QUESTIONS]
    path = tmp_path / "train.json"
    schemas = {"library": {"tables": tables, "joins": joins}}
    path.write_text(json.dumps({"schemas": schemas, "questions": questions}), "utf-8")
    return path


@pytest.fixture
def tables_file(tmp_path: Path) -> Path:
    """Two single tables in the layout of the single-table training file."""
    entry = {
        "columns": [
            {"name": "player", "numeric": False, "samples": ["Ada", "Ben"]},
            {"name": "goals", "numeric": True, "samples": []},
        ],
        "questions": [
            {
                "question": "How many goals did Ada score?",
                "aggregate": None,
                "select": "goals",
                "where": [{"column": "player", "op": "=", "value": "ada", "numeric": False}],
            }
        ],
    }
    path = tmp_path / "tables.json"
    path.write_text(json.dumps([entry, entry]), "utf-8")
    return path


@pytest.fixture
def corpus(training_file: Path, tables_file: Path) -> Corpus:
    """Both files, prepared."""
    return prepare([training_file], tables_file)


@pytest.fixture
def tiny_model(tmp_path: Path) -> Path:
    """A random Llama of two small layers with the bundled tokenizer, as a checkpoint."""
    import shutil

    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from sqlcoder_magic.models.catalog import WEIGHTS

    torch.manual_seed(0)
    options: dict[str, Any] = {
        "vocab_size": 49_152,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        "eos_token_id": 2,
        "pad_token_id": 2,
    }
    directory = tmp_path / "tiny"
    LlamaForCausalLM(LlamaConfig(**options)).save_pretrained(directory)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy2(WEIGHTS / name, directory / name)
    return directory


@pytest.fixture
def feed(corpus: Corpus, tiny_model: Path, tmp_path: Path) -> Feed:
    """Small batches of lessons from the corpus."""
    save(corpus, tmp_path / "corpus.json.xz")
    tokenizer = tiny_model / "tokenizer.json"
    return Feed(tmp_path / "corpus.json.xz", tokenizer, budget=800, limit=700)
